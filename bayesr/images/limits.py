"""Checks before the bytes of an image are read: it must be a regular file, and fit into memory."""

from __future__ import annotations

import math
import stat
from pathlib import Path

import psutil
import xarray as xr

from bayesr.errors import ImageNotFound, NotAnImage, TooLarge

LARGEST = 2**29
"""Most bytes of a part of a file that can only be decoded as a whole, such as a chunk or a PNG."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def existing(path: Path) -> Path:
    """Return the path of a regular file or a folder; anything else could block for ever, or never end.

    Raises
    ------
    ImageNotFound
        When there is nothing at this path.
    NotAnImage
        When it is a named pipe, a socket or a device, or it may not be looked at.
    """
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise NotAnImage(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error})"
        raise ImageNotFound(
            f"There is no file {path}{reason}: check the path (the working directory is {Path.cwd()})."
        ) from error
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return path
    raise NotAnImage(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'no file')}: give a regular file.")


def check_part(size: float, what: str, advice: str) -> None:
    """Refuse a part of a file that is too large to be decoded as a whole.

    Parameters
    ----------
    size : float
        Its decoded size in bytes.
    what, advice : str
        Its name, and what else to do, for the message.

    Raises
    ------
    TooLarge
    """
    if size > LARGEST:
        raise TooLarge(
            f"{what} takes {size / 2**30:.1f} GiB, more than {LARGEST / 2**30:g} GiB that are decoded at once, because "
            f"a small file can claim any size. {advice}"
        )


def check_chunks(array: xr.DataArray) -> None:
    """Refuse a lazy image whose source decodes too much at once.

    Raises
    ------
    TooLarge
    """
    if array.variable._in_memory or array.chunks is not None:
        return
    chunks = array.encoding.get("preferred_chunks", {}).values()
    check_part(
        array.dtype.itemsize * math.prod(float(side) for side in chunks),  # a chunk may extend beyond the array
        f"A chunk of {array.encoding.get('source', 'the image')}",
        "Write it with smaller chunks or tiles; or, if you trust it, load it and give the array.",
    )


def check_memory(array: xr.DataArray) -> None:
    """Refuse to load a lazy image that does not fit into free memory.

    Raises
    ------
    TooLarge
    """
    free = psutil.virtual_memory().available
    if not array.variable._in_memory and array.nbytes > free:
        raise TooLarge(
            f"{array.encoding.get('source', 'The image')} takes {array.nbytes / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB of memory are free: give a part of it, or store= where there is this argument."
        )
