"""Empirical coverage of calibrated intervals, on images that fitted neither the factor nor the interval.

Coverage is recorded by level, spread and distance to the border. Each image is evaluated with the lambda of all *other*
images (leave one out), so that it does not influence its own coverage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.calibration.factor import SPREADS, spread_bin
from bayesr.calibration.intervals import LAMBDAS, largest_level, least_half_width, smallest_lambda
from bayesr.calibration.plain import known, numbers, whole
from bayesr.errors import InvalidModel

Array = NDArray[np.floating]

BORDER = (0, 1, 2, 4, 8, 16, 32)
"""Least distance of each class of pixels to the image's border, in low-resolution pixels."""
_GROUPS = 16
"""Classes of the spread, of about equally many pixels."""
_TENTHS = tuple(tenths / 10 for tenths in range(1, 10))
DEFAULT_LEVELS = (*_TENTHS, 0.95)
"""Levels that `Calibration.dataset` shows where no coverage was recorded."""
RELATIVE_UNITS = {"units": "1", "comment": "in units of the width of value_range"}
"""Attributes of standard deviations, errors and widths."""


def border_class(height: int, width: int, scale: int) -> NDArray[np.intp]:
    """Return the class of `BORDER` of every high-resolution pixel, `height x width`."""
    rows, columns = (np.minimum(np.arange(size), np.arange(size)[::-1]) // scale for size in (height, width))
    distance = np.minimum(rows[:, None], columns[None])
    classes: NDArray[np.intp] = np.searchsorted(BORDER, distance, side="right") - 1
    return classes


class CoverageRecord:
    """Collects standard deviations and errors, image by image.

    Parameters
    ----------
    n : int
        Members of each image.
    scale : int
        Scale factor.
    """

    def __init__(self, n: int, scale: int) -> None:
        self.n, self.scale = n, scale
        # For each image and class of the border: the pixels, and how many are inside at each lambda.
        self._pixels: list[Array] = []
        self._inside: list[Array] = []
        self._widths: list[tuple[float, float]] = []
        self._spread = np.zeros((3, len(SPREADS) - 1))

    def add(self, std: Array, error: Array, quantisation_step: float) -> None:
        """Add one image.

        Parameters
        ----------
        std, error : ndarray
            Calibrated standard deviation, and the truth minus the mean: `band x y x x`, NaN where unknown.
        quantisation_step : float
            Step of integer data, else 0.
        """
        known = np.isfinite(error) & np.isfinite(std)
        height, width = std.shape[-2:]
        classes = np.broadcast_to(border_class(height, width, self.scale), std.shape)[known]
        std, error = std[known].astype(float), error[known].astype(float)
        # The first lambda whose interval contains the truth.
        first = np.searchsorted(LAMBDAS, least_half_width(std, error, quantisation_step))
        steps = len(LAMBDAS) + 1
        counts = np.bincount(classes * steps + first, minlength=len(BORDER) * steps).reshape(len(BORDER), steps)
        self._inside.append(counts.cumsum(1)[:, :-1].astype(float))
        self._pixels.append(counts.sum(1).astype(float))
        self._widths.append((float(std.mean()), quantisation_step))
        bins = spread_bin(std)
        for row, weights in zip(self._spread, (None, std**2, error**2 / (1 + 1 / self.n)), strict=True):
            row += np.bincount(bins, weights, len(SPREADS) - 1)

    def tables(self, levels: Sequence[float]) -> dict[str, Any]:
        """Return tables for a model file, at `levels` and 0.1 to 0.9; None where images are too few."""
        levels = sorted({*map(float, levels), *_TENTHS})
        inside, pixels = np.array(self._inside), np.array(self._pixels)
        std, quantisation_step = np.array(self._widths).T
        images = len(inside)
        missed = 1 - inside.sum(1) / pixels.sum(1)[:, None]
        columns: dict[str, list[float | None]] = {name: [] for name in _BY_LEVEL}
        border: list[list[float | None]] = []
        for level in levels:
            if images < 2 or level > largest_level(images - 1):
                for column in columns.values():
                    column.append(None)
                border.append([None] * len(BORDER))
                continue
            others = (missed.sum(0) - missed) / (images - 1)
            lambdas = np.array([smallest_lambda(curve, level, images - 1) for curve in others])
            covered = np.array([1 - np.interp(x, LAMBDAS, c) for x, c in zip(lambdas, missed, strict=True)])
            error, width = covered.std(ddof=1) / np.sqrt(images), (2 * lambdas * std + quantisation_step).mean()
            of_level = (covered.mean(), error, np.median(covered), covered.min(), width)
            for column, value in zip(columns.values(), of_level, strict=True):
                column.append(_digits(value))
            held = [[np.interp(x, LAMBDAS, row) for row in rows] for x, rows in zip(lambdas, inside, strict=True)]
            with np.errstate(invalid="ignore"):
                border.append([_digits(v) for v in np.array(held).sum(0) / pixels.sum(0)])
        return {"n": self.n, "level": levels, **columns, "border": border} | self._by_spread()

    def _by_spread(self) -> dict[str, Any]:
        count, variance, squared = self._spread
        share = (np.cumsum(count) - count / 2) / count.sum()
        group = (share * _GROUPS).astype(int)
        pixels, variances, errors = (np.bincount(group, row, _GROUPS) for row in (count, variance, squared))
        full = pixels > 0
        return {
            "std": [_digits(v) for v in np.sqrt(variances[full] / pixels[full])],
            "rmse": [_digits(v) for v in np.sqrt(errors[full] / pixels[full])],
            "pixels": [int(v) for v in pixels[full]],
        }


_BY_LEVEL = {
    "coverage": "share of pixels inside the interval, averaged over images",
    "standard_error": "standard error of the coverage, from its spread between images",
    "median": "coverage of the median image",
    "worst": "coverage of the worst image",
    "width": "mean width of the interval before it is clipped to the bounds of an integer type",
}


def coverage_variables(tables: Mapping[str, Any], levels: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (variables, coordinates) of a Dataset from the tables of `CoverageRecord.tables`.

    Parameters
    ----------
    tables : mapping
        Tables with at least one level.
    levels : int
        Number of levels to include.
    """
    found: dict[str, Any] = {}
    for name, long_name in _BY_LEVEL.items():
        attrs = RELATIVE_UNITS if name == "width" else {"units": "1"}
        found[name] = ("level", np.array(tables[name][:levels], float), {"long_name": long_name} | attrs)
    found["coverage_by_border"] = (
        ("level", "border"),
        np.array(tables["border"][:levels], float),
        {"long_name": "share of pixels inside the interval, over all images", "units": "1"},
    )
    for name, long_name in (
        ("std", "root mean square of the calibrated standard deviation"),
        ("rmse", "root mean square error of the mean, over the root of 1 + 1/n"),
    ):
        found[name] = ("spread", np.array(tables[name], float), {"long_name": long_name} | RELATIVE_UNITS)
    pixels = np.array(tables["pixels"], float)
    found["pixels"] = ("spread", pixels, {"long_name": "pixels in the class", "units": "1"})
    distance = {"long_name": "least distance to the border of the image", "units": "low-resolution pixels"}
    coords = {
        "spread": ("spread", np.arange(len(pixels), dtype=np.int32), {"long_name": "class of the spread"}),
        "border": ("border", np.array(BORDER, np.int32), distance),
    }
    return found, coords


def coverage_comment(tables: Mapping[str, Any]) -> str:
    """Return the comment of a Dataset of these tables, which may be empty."""
    if not tables:
        return "recorded without coverage: calibrate the model again to have it"
    return (
        f"{tables['n']} members; by level and border, every image with the lambda of all the others; by spread, images "
        "that did not fit the factor"
    )


def check_tables(name: str, tables: Mapping[str, Any]) -> None:
    """Check the tables of `CoverageRecord.tables` in a file, which may be empty.

    Raises
    ------
    InvalidModel
        For other values; the message names them, with `name` before.
    """
    if not tables:
        return
    for key in ("n", "level", *_BY_LEVEL, "border", "std", "rmse", "pixels"):
        if key not in tables:
            raise InvalidModel(f"{name} lacks {key}.")
    whole(f"{name}.n", tables["n"], 1)
    levels = numbers(f"{name}.level", tables["level"], low=0, high=1)
    if np.any(np.diff(levels) <= 0):
        raise InvalidModel(f"{name}.level must increase.")
    for key in _BY_LEVEL:
        known(f"{name}.{key}", tables[key], len(levels), 0)
    rows = tables["border"]
    if not isinstance(rows, list) or len(rows) != len(levels):
        raise InvalidModel(f"{name}.border must have a row for every level.")
    for row in rows:
        known(f"{name}.border", row, len(BORDER), 0)
    groups = numbers(f"{name}.pixels", tables["pixels"], low=0)
    for key in ("std", "rmse"):
        known(f"{name}.{key}", tables[key], len(groups), 0)


def _digits(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None
