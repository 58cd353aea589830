"""An image with value range, missing pixels and checksum, and its windows as network input."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.images import image_statistics, lazy, stacks
from bayesr.images.nodata import REACH, filled, is_missing

_OVERVIEW = 1024
"""Side in pixels of the largest image that the input check sees whole."""
_JPEG_BLOCK = 8
"""Side in pixels of a JPEG block."""


@dataclass(frozen=True)
class Slice:
    """One slice of a stack: its checksum, which is that of the slice alone, and whether all of it is missing."""

    sha256: str
    empty: bool = False


@dataclass(frozen=True)
class Image:
    """An image for a network, in memory or read by window; or a stack of images, from which `at` takes one.

    Attributes
    ----------
    data : DataArray
        Pixels ``(band, y, x)`` with the source's coordinates; ``(..., band, y, x)`` for a stack, of which value range,
        bounds, missing pixels and type are those of all slices.
    value_range : tuple of float
        The values that become 0 and 1 in network units. They scale and never clip.
    bounds : tuple of float or None
        Bounds of the integer type, to which results are clipped; None for floats.
    nodata : float or None
        The value of missing pixels; None if there are none.
    sha256 : str
        Checksum of type, shape and pixels, independent of the source: the SHA-256 of ``"<type> <shape>"`` and, row by
        row, the SHA-256 of every block of 1024 x 1024 pixels, ``(band, y, x)``, little-endian. For a stack, the
        SHA-256 of this and the checksums of its slices. Empty before the pixels are read.
    per_band : bool
        Whether each band has missing pixels of its own; otherwise a pixel is missing in all bands or in none, see
        `bayesr.images.nodata.is_missing`.
    quantisation_step : float
        Difference of neighbouring values: 1 for integers, the scale factor for scaled integers, 0 for floats.
    range_source : str
        Where `value_range` comes from: ``"type"``, ``"minmax"``, ``"unit"``, ``"percentiles"`` or ``"given"``.
    dtype : dtype
        The type of results: float32, or float64 where float32 cannot hold a thousandth of the range.
    slices : tuple of Slice
        The slices of a stack that was read here, the last leading axis first.
    """

    data: xr.DataArray
    value_range: tuple[float, float]
    bounds: tuple[float, float] | None
    nodata: float | None
    sha256: str
    per_band: bool = False
    quantisation_step: float = 0.0
    range_source: str = "given"
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    slices: tuple[Slice, ...] = ()

    def at(self, place: stacks.Place) -> Image:
        """Return the slice at a place of a stack; an image is its own slice at ``()``."""
        if not place:
            return self
        number = int(np.ravel_multi_index(place, self.data.shape[: len(place)]))
        sha256 = self.slices[number].sha256 if self.slices else ""
        return replace(self, data=stacks.slice_at(self.data, place), sha256=sha256, slices=())

    def find(self, sha256: str) -> Image | None:
        """Return the image, or the slice of the stack, with a checksum; None if there is none."""
        if self.sha256 == sha256:
            return self
        for place, part in zip(stacks.places(self.data), self.slices, strict=False):
            if part.sha256 == sha256:
                return self.at(place)
        return None

    @property
    def surveyed(self) -> bool:
        """Whether all pixels were read and checked, see `bayesr.images.survey`."""
        return bool(self.sha256)

    def to_network(self, value: float) -> float:
        """Convert a value of the image to network units."""
        low, high = self.value_range
        return (value - low) / (high - low)

    def to_units(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Convert network units to the image's units, of type `dtype`, clipped to the bounds of its integer type."""
        low, high = self.value_range
        number = self.dtype.type
        values: NDArray[np.floating] = x.astype(self.dtype, copy=False) * number(high - low) + number(low)
        if self.bounds is not None:
            np.clip(values, number(self.bounds[0]), number(self.bounds[1]), out=values)
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
            Missing pixels, `band x y x x`; None if there are none.
        """
        rows, columns = self.around(top, bottom, left, right)
        pixels = lazy.pixels(self.data, rows, columns)
        if self.nodata is None:
            return self._scaled(pixels), None
        absent = is_missing(pixels, self.nodata, self.per_band)
        inside = (..., slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start))
        missing = absent[inside]
        if not missing.any():
            return self._scaled(pixels[inside]), None
        return filled(self._scaled(pixels, absent), absent)[inside], missing

    def around(self, top: int, bottom: int, left: int, right: int) -> tuple[slice, slice]:
        """Return the rows and columns that `window` reads: with those that missing pixels may be filled from."""
        reach = 0 if self.nodata is None else REACH
        height, width = self.data.shape[1:]
        rows = slice(max(0, top - reach), min(height, bottom + reach))
        return rows, slice(max(0, left - reach), min(width, right + reach))

    def _scaled(self, pixels: NDArray[Any], absent: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        low, high = self.value_range
        values = pixels.astype(np.float64)
        if absent is not None:
            values[absent] = low  # finite, and replaced by `filled`
        scaled: NDArray[np.float32] = ((values - low) / (high - low)).astype(np.float32)
        return scaled

    def scaled(self) -> NDArray[np.float32]:
        """Return the whole image, as `window` does."""
        return self.window(0, self.data.shape[1], 0, self.data.shape[2])[0]

    @property
    def missing(self) -> NDArray[np.bool_] | None:
        """The whole image's missing pixels, `band x y x x`; None if there are none."""
        return None if self.nodata is None else is_missing(lazy.pixels(self.data), self.nodata, self.per_band)

    def masked(self) -> xr.DataArray:
        """Return the image in its units, ``(band, y, x)``, float64, NaN where it has no data; lazy if `data` is."""
        return lazy.computed(self.data, self._masked_window, self.data.sizes["band"], np.dtype(np.float64))

    def values(self) -> NDArray[np.float64]:
        """Return `masked` as an array, `band x y x x`."""
        return lazy.pixels(self.masked())

    def _masked_window(self, pixels: NDArray[Any], rows: slice, columns: slice) -> NDArray[np.float64]:
        values: NDArray[np.float64] = pixels.astype(np.float64)
        if self.nodata is not None:
            values[is_missing(pixels, self.nodata, self.per_band)] = np.nan
        return values

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
