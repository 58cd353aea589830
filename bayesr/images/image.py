"""An image and all that is known of it: range, missing pixels, checksum, and windows of it as a network sees them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument, InvalidPixels, NotAnImage
from bayesr.images import axes, image_statistics, lazy, sources
from bayesr.images.nodata import REACH, filled, is_missing

_OVERVIEW = 1024
"""Side of the largest image that the input check looks at as a whole."""
_BLOCKS_OF_JPEG = 8


@dataclass(frozen=True)
class Image:
    """An image that the network can be given, in memory or read by window.

    Attributes
    ----------
    data : DataArray
        ``(band, y, x)``, with the coordinates of the source.
    value_range : tuple of float
        The two values that the network sees as 0 and 1. It scales and never clips.
    bounds : tuple of float or None
        The bounds of the integer type, to which results are clipped; None for floats.
    nodata : float or None
        The value that marks missing pixels; None where no pixel is missing.
    sha256 : str
        Checksum of type, shape and pixels, whatever they came from: of ``"<type> <shape>"`` and, row by row, the
        SHA-256 of every block of 1024 x 1024 pixels, ``(band, y, x)``, little-endian.
    """

    data: xr.DataArray
    value_range: tuple[float, float]
    bounds: tuple[float, float] | None
    nodata: float | None
    sha256: str

    def to_network(self, value: float) -> float:
        """A value of the image as the network sees it."""
        low, high = self.value_range
        return (value - low) / (high - low)

    def to_units(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """From network units to the image's, inside the integer type's bounds against the last rounding error."""
        low, high = self.value_range
        values = x * np.float32(high - low) + np.float32(low)
        if self.bounds is not None:
            np.clip(values, np.float32(self.bounds[0]), np.float32(self.bounds[1]), out=values)
        return values

    def window(
        self, top: int, bottom: int, left: int, right: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """A part of the image as the network sees it, and where it has no data.

        Missing pixels are filled from data up to 32 pixels away, farther ones with 0.5. The fill does not depend on
        the window: where two of them meet, they agree exactly.

        Parameters
        ----------
        top, bottom, left, right : int
            In pixels, ends excluded.

        Returns
        -------
        pixels : ndarray
            `band x y x x`, float32, with `value_range` mapped to [0, 1].
        missing : ndarray of bool or None
            `y x x`; None where nothing is missing.
        """
        if self.nodata is None:
            return self._scaled(lazy.pixels(self.data, slice(top, bottom), slice(left, right))), None
        height, width = self.data.shape[1:]
        rows = slice(max(0, top - REACH), min(height, bottom + REACH))
        columns = slice(max(0, left - REACH), min(width, right + REACH))
        around = lazy.pixels(self.data, rows, columns)
        absent = is_missing(around, self.nodata)
        inside = (..., slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start))
        missing = absent[inside]
        if not missing.any():
            return self._scaled(around[inside]), None
        return filled(self._scaled(around, absent), absent)[inside], missing

    def _scaled(self, pixels: NDArray[Any], absent: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        low, high = self.value_range
        values = pixels.astype(np.float64)
        if absent is not None:
            values[:, absent] = low
        scaled: NDArray[np.float32] = ((values - low) / (high - low)).astype(np.float32)
        return scaled

    def scaled(self) -> NDArray[np.float32]:
        """The pixels of the whole image, as of `window`."""
        return self.window(0, self.data.shape[1], 0, self.data.shape[2])[0]

    @property
    def missing(self) -> NDArray[np.bool_] | None:
        """Pixels of the whole image without data, `y x x`; None where none is missing."""
        return None if self.nodata is None else is_missing(lazy.pixels(self.data), self.nodata)

    def overview(self) -> NDArray[np.float32]:
        """What the input check looks at: all of an image of up to 1024 pixels a side, else nine windows put together.

        They are those of `bayesr.images.image_statistics.windows`, moved by up to 7 pixels so that blocks of JPEG
        meet as in the image. So its statistics are theirs.
        """
        height, width = self.data.shape[1:]
        if max(height, width) <= _OVERVIEW:
            return self.scaled()
        rows: dict[int, list[NDArray[np.float32]]] = {}
        for y, x in image_statistics.windows(height, width):
            top, left = y.start - y.start % _BLOCKS_OF_JPEG, x.start - x.start % _BLOCKS_OF_JPEG
            part, _ = self.window(top, top + y.stop - y.start, left, left + x.stop - x.start)
            rows.setdefault(y.start, []).append(part)
        return np.concatenate([np.concatenate(parts, 2) for parts in rows.values()], 1)


def source(img: Any, dims: Sequence[str] | None = None) -> xr.DataArray:
    """Anything that is an image as ``(band, y, x)``; of what can be read by window nothing is read yet.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        See `bayesr.sample`.
    dims : sequence of str, optional
        The name of every axis, from ``"band"``, ``"y"``, ``"x"``: ``("y", "x", "band")`` or ``"yxb"``.

    Raises
    ------
    ImageNotFound, NotAnImage, AmbiguousDimensions
    """
    array = axes.named(sources.opened(img), dims)
    if array.size == 0:
        raise NotAnImage(f"The image is empty: its shape is {dict(zip(array.dims, array.shape, strict=True))}.")
    if array.dtype.kind not in "uif":
        raise NotAnImage(f"Pixels of type {array.dtype} are not supported: convert them to an integer or a float type.")
    return array


def survey(
    array: xr.DataArray,
    *,
    nodata: float | None = None,
    value_range: tuple[float, float] | None = None,
    keep: Callable[[slice, slice, NDArray[Any]], None] | None = None,
    advance: Callable[[float], None] | None = None,
) -> Image:
    """Check an image and learn what must be known of it, in one pass over its blocks.

    Parameters
    ----------
    array : DataArray
        As of `source`.
    nodata, value_range : optional
        As of `read`.
    keep : callable, optional
        Is given (rows, columns, block) of every block once, in several threads: `band x y x x`, at most 1024 pixels a
        side, which begins at multiples of 1024, of the type of `array` in native byte order.
    advance : callable, optional
        Is told how many values were read; they add up to ``array.size``.

    Returns
    -------
    Image
        Its data is `array`.

    Raises
    ------
    NotAnImage, InvalidPixels, InvalidArgument
    """
    stated = None if value_range is None else _checked(value_range)
    nodata = array.attrs.get("_FillValue") if nodata is None else nodata
    nodata = None if nodata is None else float(nodata)
    digests: dict[tuple[int, int], bytes] = {}
    least, most, missing, left = math.inf, -math.inf, False, array[0].size
    with closing(lazy.mapped(partial(_look, nodata, keep), array)) as blocks:
        for found in blocks:
            left -= found.size
            found.check(left == 0)
            least, most, missing = min(least, found.least), max(most, found.most), missing or found.missing
            digests[found.at] = found.digest
            if advance is not None:
                advance(len(array) * found.size)
    if least > most:
        raise InvalidPixels("Every pixel is nodata: there is nothing to sample.")
    dtype = array.dtype
    if stated is None:
        # Of a constant image, any width will do.
        own = (least, most) if least < most else (least, least + 1.0)
        stated = (0.0, 255.0) if dtype == np.uint8 else _checked(own)
    info = np.iinfo(dtype) if dtype.kind in "ui" else None
    head = f"{dtype.newbyteorder('<').str} {array.shape}".encode()
    return Image(
        array,
        stated,
        (float(info.min), float(info.max)) if info else None,
        nodata if missing else None,
        hashlib.sha256(head + b"".join(digests[at] for at in sorted(digests))).hexdigest(),
    )


@dataclass(frozen=True)
class _Block:
    """What is learnt of a block."""

    at: tuple[int, int]
    size: int
    digest: bytes
    least: float
    most: float
    missing: bool
    bad: int
    nan: bool

    def check(self, last: bool) -> None:
        """Refuse values that are no numbers."""
        if self.bad:
            raise InvalidPixels(
                f"{'' if last else 'At least '}{self.bad} pixel value(s) are {'NaN' if self.nan else 'infinite'}. If "
                "they mark missing data, say so with nodata=float('nan') (or the value that marks it); otherwise "
                "repair the image first."
            )


def _look(
    nodata: float | None, keep: Callable[..., None] | None, rows: slice, columns: slice, block: NDArray[Any]
) -> _Block:
    absent = None if nodata is None else is_missing(block, nodata)
    missing = absent is not None and bool(absent.any())
    valid = block[:, ~absent] if absent is not None and missing else block
    wrong = valid[~np.isfinite(valid)] if block.dtype.kind == "f" else valid[:0]
    if keep is not None and not wrong.size:
        keep(rows, columns, block)
    least, most = (float(valid.min()), float(valid.max())) if valid.size else (math.inf, -math.inf)
    little = block.astype(block.dtype.newbyteorder("<"), copy=False)
    return _Block(
        (rows.start, columns.start), block[0].size, hashlib.sha256(little.data).digest(), least, most, missing,
        wrong.size, bool(np.isnan(wrong).any()),
    )  # fmt: skip


def read(
    img: Any,
    *,
    dims: Sequence[str] | None = None,
    nodata: float | None = None,
    value_range: tuple[float, float] | None = None,
) -> Image:
    """Read and check an image, and keep it in memory.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        See `bayesr.sample`.
    dims : sequence of str, optional
        The name of every axis, from ``"band"``, ``"y"``, ``"x"``: ``("y", "x", "band")`` or ``"yxb"``.
    nodata : float, optional
        The value that marks missing pixels (NaN is one); by default the one that the source declares,
        as GeoTIFFs may. Missing pixels stay missing.
    value_range : tuple of float, optional
        What the network sees as 0 and 1; by default 0..255 for uint8, else the image's own range.

    Raises
    ------
    ImageNotFound, NotAnImage, AmbiguousDimensions, InvalidPixels, InvalidArgument
    """
    return survey(loaded(source(img, dims)), nodata=nodata, value_range=value_range)


def loaded(array: xr.DataArray) -> xr.DataArray:
    """An array of `source` in memory.

    Raises
    ------
    NotAnImage
        When its file turns out to be damaged.
    """
    return array.copy(data=lazy.pixels(array))


def _checked(value_range: Sequence[float]) -> tuple[float, float]:
    low, high = map(float, value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidArgument(f"value_range must be two finite numbers, the lower first, not {value_range!r}.")
    return low, high
