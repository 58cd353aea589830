"""The registry of image readers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from bayesr import plugins
from bayesr.errors import BayesrError, NotAnImage
from bayesr.files import IMAGE_SUFFIXES
from bayesr.images import lazy, limits
from bayesr.images.quiet import quiet

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reader:
    """A way to read one kind of image.

    Attributes
    ----------
    name : str
        The kind's name, unique.
    recognises : callable
        Takes what the user gives as an image and returns whether this reader reads it. Paths to existing files and
        folders arrive as `Path`, URLs as `str`, all else unchanged. The call must be cheap and must not import the
        image's package: `by_suffix` and `by_type` make such functions.
    read : callable
        Takes the same and returns a DataArray, lazy where the format can be read by window
        (`bayesr.images.lazy.windowed`), with axes named only where the source names them. Attributes and encoding say
        what the source states of its values (`bayesr.images.values`) and of its place (`bayesr.images.georeference`).
        Any exception of a reader of paths becomes a `NotAnImage` that names the file.
    fallback : bool
        Whether it is asked only where neither another reader nor one of another distribution recognises the image.
    """

    name: str
    recognises: Callable[[Any], bool]
    read: Callable[[Any], xr.DataArray]
    fallback: bool = False


_READERS: dict[str, Reader] = {}


def register(reader: Reader) -> None:
    """Add a reader, or replace the one of this name. Later ones are asked first."""
    _READERS.pop(reader.name, None)
    _READERS[reader.name] = reader


def registered() -> tuple[Reader, ...]:
    """Return all readers in the order of asking."""
    return tuple(reversed(_READERS.values()))


def _reader_of(img: Any) -> Reader | None:
    """Return the reader of an image: a registered one, one of another distribution, or a fallback."""
    candidates = sorted(registered(), key=lambda reader: reader.fallback)
    reader = next((reader for reader in candidates if reader.recognises(img)), None)
    if isinstance(img, Path) and reader is not None and reader.fallback:
        return _installed(img.suffix.lower()) or reader
    return reader


def _installed(suffix: str) -> Reader | None:
    """Return the reader that another distribution adds for a suffix (`bayesr.plugins`), unless it is a usual one."""
    read = plugins.load(plugins.READERS, suffix) if suffix not in IMAGE_SUFFIXES else None
    return None if read is None else Reader(suffix, by_suffix(suffix), read)


def by_suffix(*suffixes: str) -> Callable[[Any], bool]:
    """Return a function that recognises files by suffixes, in lower case with the dot."""
    return lambda img: isinstance(img, Path) and img.suffix.lower() in suffixes and not img.is_dir()


def by_type(prefix: str) -> Callable[[Any], bool]:
    """Return a function that recognises objects by the start of their type's full name, such as ``"PIL."``."""
    return lambda img: type_name(img).startswith(prefix)


def type_name(img: Any) -> str:
    """Return the full name of an object's type."""
    return f"{type(img).__module__}.{type(img).__qualname__}"


def opened(img: Any) -> xr.DataArray:
    """Open what a user gives as an image; its axes are named only where the source names them.

    Zarr, NetCDF, TIFF and lazy arrays are read part by part on request; PNG, JPEG and WebP are decoded at once.

    Parameters
    ----------
    img : path, URL of a Zarr store, ndarray, Tensor, PIL image, DataArray, Dataset of one image or zarr.Array
        Or anything that another registered reader recognises.

    Raises
    ------
    ImageNotFound
        When there is no such file or store.
    NotAnImage
        When no reader recognises the image, it cannot be read, or it is no regular file.
    PluginFailed
        When the distribution that reads this suffix cannot be loaded.
    TooLarge
        When the file can only be decoded as a whole, and is too large for it; see `bayesr.images.limits`.
    """
    if isinstance(img, os.PathLike) or (isinstance(img, str) and "://" not in img):
        img = limits.existing(Path(img))
    reader = _reader_of(img)
    if reader is None:
        raise NotAnImage(
            f"An image cannot be made of {type_name(img)}: give a path, a NumPy array, a torch tensor, a PIL image or "
            f"an xarray.DataArray.{_conversion(img)}"
        )
    _log.debug("%s is read as %s", img if isinstance(img, str | Path) else type_name(img), reader.name)
    try:
        with quiet():
            array = reader.read(img)
        limits.check_chunks(array)
        return array
    except BayesrError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        if isinstance(img, Path):
            raise lazy.unreadable(img, error) from error
        raise


def _conversion(img: Any) -> str:
    """Return how an array of another library becomes one of NumPy; it may hold more than values, so it is not read."""
    if isinstance(img, list | tuple):
        return " For a list of rows, np.asarray(img) is one; of several images, give one at a time."
    if hasattr(type(img), "__array__") or hasattr(type(img), "__dlpack__"):
        return " np.asarray(img) is one, or np.asarray(img.get()) for an array of CuPy."
    return ""
