"""Missing pixels: where they are, and what replaces them in the network's input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import InvalidPixels

REACH = 32
"""Distance in pixels up to which missing pixels are filled from data."""
_FAR = np.float32(0.5)
"""Value of farther missing pixels, in network units."""
_NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


NAMES = ("_FillValue", "missing_value", "nodata", "fill_value", "nodatavals")
"""Attributes that declare values of missing pixels, as CF, GDAL, rasterio and rioxarray write them."""

Markers = tuple[tuple[float, ...], ...]
"""Values of missing pixels: one tuple for every band, or a single one for all."""


def declared(array: xr.DataArray, bands: int) -> Markers:
    """Return the values of missing pixels that an image of so many `bands` declares; empty where it declares none.

    An attribute may have one value, or one for every band. Several attributes all count, as in CF. Where a value stands
    in the encoding, xarray or rioxarray has replaced it by NaN.

    Raises
    ------
    InvalidPixels
        When an attribute has no number.
    """
    markers_by_band: list[list[float]] = [[] for _ in range(bands)]
    for name in NAMES:
        for markers, number in zip(markers_by_band, _number_per_band(name, array.attrs.get(name), bands), strict=True):
            if number is not None and not any(_is_equal(number, known) for known in markers):
                markers.append(number)
    if array.dtype.kind == "f" and any(array.encoding.get(name) is not None for name in NAMES):
        for markers in markers_by_band:
            if not any(math.isnan(known) for known in markers):
                markers.append(math.nan)
    rows = tuple(tuple(sorted(markers, key=str)) for markers in markers_by_band)
    if not any(rows):
        return ()
    same = all(len(row) == len(rows[0]) and all(map(_is_equal, row, rows[0])) for row in rows)
    return rows[:1] if same else rows


def _number_per_band(name: str, given: Any, bands: int) -> list[float | None]:
    """Return an attribute's number for every band."""
    try:
        numbers = [None if value is None else float(value) for value in np.ravel(np.asarray(given, object))]
    except (TypeError, ValueError) as error:
        raise InvalidPixels(
            f"The attribute {name!r} must be the value of missing pixels, a number, not {given!r}: correct it, remove "
            "it, or give nodata=."
        ) from error
    if len(numbers) not in (1, bands):
        raise InvalidPixels(
            f"The attribute {name!r} has {len(numbers)} values of missing pixels for {bands} band(s): give one, or one "
            "for every band."
        )
    return numbers if len(numbers) == bands else numbers * bands


def _is_equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def equals(pixels: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Return where `pixels` have the value `nodata`, compared in their own type; NaN equals NaN."""
    if np.isnan(nodata):
        return np.isnan(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            marker = pixels.dtype.type(nodata)  # in the pixels' type: 0.1 in single precision is not 0.1
        if np.isfinite(marker) != np.isfinite(nodata):
            return np.zeros(pixels.shape, bool)
        nodata = marker
    equal: NDArray[np.bool_] = pixels == nodata
    return equal


def is_missing(pixels: NDArray[Any], nodata: float, per_band: bool = False) -> NDArray[np.bool_]:
    """Return where `pixels`, `band x y x x`, are missing, in an array of the same shape.

    With `per_band`, each band has missing pixels of its own. Otherwise a pixel is missing in all bands or in none:
    where all bands have the value `nodata`, which is how GDAL defines the mask of a dataset. NaN and infinity cannot be
    data, so that one band suffices.
    """
    missing = equals(pixels, nodata)
    if per_band or len(pixels) == 1:
        return missing
    whole = missing.all(0) if np.isfinite(nodata) else missing.any(0)
    return np.broadcast_to(whole, missing.shape)


def filled(pixels: NDArray[np.float32], absent: NDArray[np.bool_]) -> NDArray[np.float32]:
    r"""Fill missing pixels from data around them.

    Each of `REACH` passes sets every missing pixel with known neighbours, of 8, to their mean,

    .. math:: x_p = \frac{1}{|K_p|} \sum_{q \in K_p} x_q,

    and counts it as known in the next pass. Pixels that are unknown after the last pass become 0.5. So a pixel depends
    on pixels at most `REACH` away, and the order of the sum is fixed: windows of one image give identical bits if they
    extend `REACH` pixels beyond the part that is used.

    Parameters
    ----------
    pixels : ndarray of float32
        `band x y x x` in network units; values of missing pixels are ignored.
    absent : ndarray of bool
        Missing pixels, `y x x`, or `band x y x x`, where each band is filled from its own data.
    """
    if absent.ndim == 3:
        if (absent != absent[:1]).any():
            return np.concatenate([filled(pixels[b : b + 1], absent[b]) for b in range(len(pixels))])
        absent = absent[0]
    bands, height, width = pixels.shape
    # A frame of unknown pixels gives every pixel 8 neighbours; flat arrays limit the cost to missing pixels.
    known = np.pad(~absent, 1).ravel()
    values = np.pad(np.where(absent, np.float32(0), pixels), ((0, 0), (1, 1), (1, 1))).reshape(bands, -1)
    steps = [dy * (width + 2) + dx for dy, dx in _NEIGHBOURS]
    inside = np.pad(absent, 1).ravel()
    boundary = np.flatnonzero(inside & _next_to_known(known.reshape(height + 2, -1)).ravel())
    for _ in range(REACH):
        if not boundary.size:
            break
        total, count = np.zeros((bands, boundary.size), np.float32), np.zeros(boundary.size, np.float32)
        for step in steps:
            total += values[:, boundary + step]
            count += known[boundary + step]
        values[:, boundary] = total / count
        known[boundary] = True
        around = np.unique(np.concatenate([boundary + step for step in steps]))
        boundary = around[inside[around] & ~known[around]]
    values[:, ~known] = _FAR
    return values.reshape(bands, height + 2, width + 2)[:, 1:-1, 1:-1]


def _next_to_known(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a pixel or a neighbour is known; the frame of `known` is unknown."""
    rows = known.copy()
    rows[1:] |= known[:-1]
    rows[:-1] |= known[1:]
    beside = rows.copy()
    beside[:, 1:] |= rows[:, :-1]
    beside[:, :-1] |= rows[:, 1:]
    return beside
