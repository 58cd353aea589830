"""Coordinates of the high-resolution grid, and tiles of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import NotAnImage


@dataclass(frozen=True)
class Axis:
    """A regular axis: `size` pixels between two bounds, ascending or descending."""

    start: float
    stop: float
    size: int

    @classmethod
    def of_centres(cls, centres: NDArray[np.floating], name: str, step: float | None = None) -> Axis:
        """Return the axis with these pixel centres.

        Centres are compared with an even spacing, within a thousandth of it or the resolution of the numbers: of
        single precision, or of the decimal places that they are rounded to.

        Parameters
        ----------
        centres : ndarray
        name : str
            What messages call the coordinate.
        step : float, optional
            Width of the pixel of a single centre; by default 1 if the centre counts pixels.

        Raises
        ------
        NotAnImage
            When the centres are not evenly spaced, or a single one has no known width.
        """
        values = np.asarray(centres, np.float64)
        if values.size == 1:
            if not step and values[0] != 0.5 and values[0] != 0:
                raise NotAnImage(
                    f"The coordinate {name!r} has the single value {values[0]:g}, so the extent of the pixel is "
                    f"unknown. State it, as in img.rio.write_transform(...), or drop the coordinate: "
                    f"img.drop_vars({name!r})."
                )
            half = (step or 1.0) / 2
            return cls(float(values[0]) - half, float(values[0]) + half, 1)
        width = (values[-1] - values[0]) / (values.size - 1)
        if not np.isfinite(values).all() or width == 0 or not _is_even(values, width):
            raise NotAnImage(
                f"The coordinate {name!r} is not evenly spaced, so high-resolution coordinates are not defined. "
                f"Resample the image to a regular grid, or drop the coordinate: img.drop_vars({name!r})."
            )
        return cls(float(values[0] - width / 2), float(values[-1] + width / 2), values.size)

    def refined(self, scale: int) -> Axis:
        """Return the axis with equal bounds and `scale` times as many pixels: ``T_hr = T_lr * scale(1/s)``."""
        return Axis(self.start, self.stop, self.size * scale)

    @property
    def step(self) -> float:
        """Width of a pixel, negative for a descending axis."""
        return (self.stop - self.start) / self.size

    def centres(self) -> NDArray[np.float64]:
        """Return the pixel centres, each from the bounds so that rounding errors do not accumulate."""
        centres: NDArray[np.float64] = self.start + (np.arange(self.size, dtype=np.float64) + 0.5) * np.float64(
            self.step
        )
        return centres


def _is_even(values: NDArray[np.float64], step: float) -> bool:
    """Whether centres are evenly spaced, as far as the numbers tell."""
    if np.allclose(np.diff(values), step, rtol=1e-3, atol=0):
        return True
    resolution = 0.0
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if (single == values).all():
        resolution = 2 * float(np.spacing(np.abs(single).max()))
    for places in range(1, 9):
        unit = 10.0**-places
        if np.allclose(values, np.round(values, places), rtol=0, atol=1e-3 * unit):
            resolution = max(resolution, unit)
            break
    away = np.abs(values - (values[0] + step * np.arange(values.size)))
    return resolution <= abs(step) / 4 and bool((away <= resolution).all())


@dataclass(frozen=True)
class Tile:
    """A tile of the low-resolution grid: its own pixels, and the window of core and halo that they are computed from.

    Both are (top, bottom, left, right), ends excluded. In a stack of images, `lead` is the place of the tile's slice
    along the leading axes.
    """

    core: tuple[int, int, int, int]
    window: tuple[int, int, int, int]
    lead: tuple[int, ...] = ()

    def high(self, scale: int) -> tuple[slice, slice]:
        """Return the core's rows and columns on the high-resolution grid."""
        top, bottom, left, right = (scale * edge for edge in self.core)
        return slice(top, bottom), slice(left, right)

    def crop(self, scale: int) -> tuple[slice, slice]:
        """Return the core's rows and columns inside the high-resolution window."""
        top, bottom, left, right = self.core
        y, x = self.window[0], self.window[2]
        return slice(scale * (top - y), scale * (bottom - y)), slice(scale * (left - x), scale * (right - x))

    def within(self, halo: int) -> Tile:
        """Return the tile with a window of at most `halo` pixels beyond the core."""
        top, bottom, left, right = self.core
        first, last, west, east = self.window
        window = (max(first, top - halo), min(last, bottom + halo), max(west, left - halo), min(east, right + halo))
        return Tile(self.core, window, self.lead)

    def part_of(self, other: Tile) -> tuple[slice, slice]:
        """Return the window's rows and columns inside the window of another tile."""
        top, bottom, left, right = self.window
        y, x = other.window[0], other.window[2]
        return slice(top - y, bottom - y), slice(left - x, right - x)


def tiles(height: int, width: int, size: int, halo: int, multiple: int = 1) -> Iterator[Tile]:
    """Yield tiles of `size x size` low-resolution pixels, row by row; the last ones may be smaller.

    Windows extend `halo` pixels beyond the core, or a little more to begin and end at multiples of `multiple`, but
    never beyond the image.
    """

    def window(start: int, stop: int, end: int) -> tuple[int, int]:
        first, last = start - halo, stop + halo
        return max(0, first - first % multiple), min(end, last + -last % multiple)

    for top in range(0, height, size):
        for left in range(0, width, size):
            bottom, right = min(top + size, height), min(left + size, width)
            yield Tile((top, bottom, left, right), (*window(top, bottom, height), *window(left, right, width)))
