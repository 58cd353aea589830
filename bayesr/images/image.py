"""An image with value range, missing pixels and checksum, and its windows as network input."""

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
"""Side in pixels of the largest image that the input check sees whole."""
_JPEG_BLOCK = 8
"""Side in pixels of a JPEG block."""


@dataclass(frozen=True)
class Image:
    """An image for a network, in memory or read by window.

    Attributes
    ----------
    data : DataArray
        Pixels ``(band, y, x)`` with the source's coordinates.
    value_range : tuple of float
        The values that become 0 and 1 in network units. They scale and never clip.
    bounds : tuple of float or None
        Bounds of the integer type, to which results are clipped; None for floats.
    nodata : float or None
        The value of missing pixels; None if there are none.
    sha256 : str
        Checksum of type, shape and pixels, independent of the source: the SHA-256 of ``"<type> <shape>"`` and, row by
        row, the SHA-256 of every block of 1024 x 1024 pixels, ``(band, y, x)``, little-endian.
    """

    data: xr.DataArray
    value_range: tuple[float, float]
    bounds: tuple[float, float] | None
    nodata: float | None
    sha256: str

    def to_network(self, value: float) -> float:
        """Convert a value of the image to network units."""
        low, high = self.value_range
        return (value - low) / (high - low)

    def to_units(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert network units to the image's units, clipped to the bounds of its integer type."""
        low, high = self.value_range
        values = x * np.float32(high - low) + np.float32(low)
        if self.bounds is not None:
            np.clip(values, np.float32(self.bounds[0]), np.float32(self.bounds[1]), out=values)
        return values

    def window(
        self, top: int, bottom: int, left: int, right: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Read a part of the image in network units, and where it has no data.

        Missing pixels are filled from data up to 32 pixels away, farther ones with 0.5. The fill does not depend on
        the window: overlapping windows agree exactly.

        Parameters
        ----------
        top, bottom, left, right : int
            Bounds of the window in pixels, ends excluded.

        Returns
        -------
        pixels : ndarray
            `band x y x x`, float32, with `value_range` mapped to [0, 1].
        missing : ndarray of bool or None
            Missing pixels, `y x x`; None if there are none.
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
            values[:, absent] = low  # finite, and replaced by `filled`
        scaled: NDArray[np.float32] = ((values - low) / (high - low)).astype(np.float32)
        return scaled

    def scaled(self) -> NDArray[np.float32]:
        """Return the whole image, as `window` does."""
        return self.window(0, self.data.shape[1], 0, self.data.shape[2])[0]

    @property
    def missing(self) -> NDArray[np.bool_] | None:
        """The whole image's missing pixels, `y x x`; None if there are none."""
        return None if self.nodata is None else is_missing(lazy.pixels(self.data), self.nodata)

    def overview(self) -> NDArray[np.float32]:
        """Return what the input check sees: an image of up to 1024 pixels a side, else a mosaic of nine windows.

        The windows of `image_statistics.windows` are moved by up to 7 pixels to keep the grid of JPEG blocks, so that
        the mosaic has the image's statistics.
        """
        height, width = self.data.shape[1:]
        if max(height, width) <= _OVERVIEW:
            return self.scaled()
        rows: dict[int, list[NDArray[np.float32]]] = {}
        for y, x in image_statistics.windows(height, width):
            top, left = y.start - y.start % _JPEG_BLOCK, x.start - x.start % _JPEG_BLOCK
            part, _ = self.window(top, top + y.stop - y.start, left, left + x.stop - x.start)
            rows.setdefault(y.start, []).append(part)
        return np.concatenate([np.concatenate(parts, 2) for parts in rows.values()], 1)


def source(img: Any, dims: Sequence[str] | None = None) -> xr.DataArray:
    """Open an image as ``(band, y, x)``; formats that can be read by window are not read yet.

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
    """Check an image, and compute value range, missing pixels and checksum, in one pass over its blocks.

    Parameters
    ----------
    array : DataArray
        An image as returned by `source`.
    nodata, value_range : optional
        See `read`.
    keep : callable, optional
        Called with (rows, columns, block) of every block once, from several threads. Blocks are arrays `band x y x x`
        of at most 1024 pixels a side that begin at multiples of 1024, in the type of `array` and native byte order.
    advance : callable, optional
        Called with the number of values just read; the sum is ``array.size``.

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
        for block in blocks:
            left -= block.size
            block.check(left == 0)
            least, most, missing = min(least, block.least), max(most, block.most), missing or block.missing
            digests[block.at] = block.digest
            if advance is not None:
                advance(len(array) * block.size)
    if least > most:
        raise InvalidPixels("Every pixel is nodata: there is nothing to sample. Check the value of nodata.")
    dtype = array.dtype
    if stated is None:
        # A constant image needs a range of any width.
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
    at: tuple[int, int]
    size: int
    digest: bytes
    least: float
    most: float
    missing: bool
    bad: int
    nan: bool

    def check(self, last: bool) -> None:
        """Refuse NaN and infinite values; `last` says whether all were counted."""
        if self.bad:
            raise InvalidPixels(
                f"{'' if last else 'At least '}{self.bad} pixel value(s) are {'NaN' if self.nan else 'infinite'}. If "
                "they mark missing data, give nodata=float('nan') (or the value that marks it); otherwise "
                "repair the image first."
            )


def _look(
    nodata: float | None, keep: Callable[..., None] | None, rows: slice, columns: slice, block: NDArray[Any]
) -> _Block:
    """Compute a block's statistics, and pass it to `keep` if its values are valid."""
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
    """Read an image into memory and check it.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        See `bayesr.sample`.
    dims : sequence of str, optional
        See `source`.
    nodata : float, optional
        The value of missing pixels, possibly NaN. By default the one that the source declares, as GeoTIFFs may. Missing
        pixels stay missing.
    value_range : tuple of float, optional
        The values that become 0 and 1 in network units. By default 0 and 255 for uint8, else the image's range.

    Raises
    ------
    ImageNotFound, NotAnImage, AmbiguousDimensions, InvalidPixels, InvalidArgument
    """
    return survey(loaded(source(img, dims)), nodata=nodata, value_range=value_range)


def loaded(array: xr.DataArray) -> xr.DataArray:
    """Load an array from `source` into memory.

    Raises
    ------
    NotAnImage
        If the file turns out to be damaged.
    """
    return array.copy(data=lazy.pixels(array))


def _checked(value_range: Sequence[float]) -> tuple[float, float]:
    low, high = map(float, value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidArgument(f"value_range must be two finite numbers, the lower one first, not {value_range!r}.")
    return low, high
