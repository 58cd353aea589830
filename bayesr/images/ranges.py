"""The value range of an image: the values that a network sees as 0 and 1, and the type of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument, InvalidPixels

ValueRange = str | Sequence[float] | None
"""Two values, one of `NAMES`, or None for 0 to 255 for 8-bit images and ``"minmax"`` for others."""

NAMES = ("minmax", "unit", "percentiles")
"""The image's own minimum and maximum; 0 and 1; and the 0.1st and 99.9th percentile, which hot pixels do not move."""

PERCENTILES = (0.1, 99.9)
LARGEST_SAMPLE = 2**22
"""Values that percentiles are computed from, evenly spaced where the image has more."""

_DIGITS = 1000
"""Results resolve this part of the value range."""
_SINGLE = (1e-15, 1e15)
"""Widths of value ranges whose squares, times small variances, single precision holds."""
_DOUBLE = (1e-140, 1e140)


def checked(value_range: ValueRange) -> tuple[float, float] | str | None:
    """Return the argument `value_range` with numbers as floats.

    Raises
    ------
    InvalidArgument
        When it is none of `ValueRange`.
    """
    if value_range is None or (isinstance(value_range, str) and value_range in NAMES):
        return value_range
    try:
        if isinstance(value_range, str):
            raise ValueError
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidArgument(
            f"value_range must be two finite numbers, the lower one first, or one of {', '.join(map(repr, NAMES))}, "
            f"not {value_range!r}."
        )
    return low, high


def stated(chosen: tuple[float, float] | str | None, kind: np.dtype[Any]) -> tuple[tuple[float, float], str] | None:
    """Return what `choose` returns where it does not depend on the values of the image, and None elsewhere."""
    if isinstance(chosen, tuple):
        return chosen, "given"
    if chosen is None and kind == np.uint8:
        return (0.0, 255.0), "type"
    return ((0.0, 1.0), "unit") if chosen == "unit" else None


def choose(
    chosen: tuple[float, float] | str | None,
    kind: np.dtype[Any],
    least: float,
    most: float,
    sample: Sequence[NDArray[Any]] = (),
) -> tuple[tuple[float, float], str]:
    """Return the value range, and where it comes from: one of `NAMES`, ``"type"`` or ``"given"``.

    Parameters
    ----------
    chosen
        As returned by `checked`.
    kind : dtype
        Type of the pixels in the source.
    least, most : float
        The smallest and the largest value of the image.
    sample : sequence of ndarray
        Values of the image, for percentiles.
    """
    own = (least, most) if least < most else (least, least + 1.0)  # a constant image needs a range of any width
    from_argument = stated(chosen, kind)
    if from_argument is not None:
        return from_argument
    if chosen == "percentiles":
        low, high = map(float, np.percentile(np.concatenate(sample), PERCENTILES))
        return ((low, high) if low < high else own), "percentiles"
    return own, "minmax"


def result_type(value_range: tuple[float, float], least: float, most: float) -> np.dtype[Any]:
    """Return the type of results: float32, or float64 where float32 cannot hold a thousandth of the range.

    Raises
    ------
    InvalidPixels
        When float64 cannot hold it either.
    """
    low, high = value_range
    largest = max(abs(value) for value in (low, high, least, most))
    width = high - low
    for dtype, (narrowest, widest) in ((np.float32, _SINGLE), (np.float64, _DOUBLE)):
        with np.errstate(over="ignore"):
            step = np.spacing(dtype(largest)) if largest < np.finfo(dtype).max else math.inf
        if narrowest <= width <= widest and step * _DIGITS <= width:
            return np.dtype(dtype)
    values = f"All pixels have the value {least:g}" if least == most else f"The pixels run from {least:g} to {most:g}"
    raise InvalidPixels(
        f"{values}, and the value range is {low:g} to {high:g}: double precision cannot hold a thousandth of it. "
        "Subtract an offset or rescale the values first, or give another value_range."
    )
