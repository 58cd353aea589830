"""How well calibrated intervals held on images that fitted neither the factor nor the interval.

By level, by spread, and by distance to the border. Where a level's lambda is needed, every image is
judged with the lambda of all the *other* images (leave one out), so that none has a say in its own
verdict. Everything is in the network's units, where `value_range` is [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesr.calibration.calibration import LAMBDAS, SPREADS, largest_level, smallest_lambda, spread_bin
from bayesr.errors import InvalidArgument

if TYPE_CHECKING:
    import xarray as xr

    from bayesr.calibration.calibration import Calibration

Array = NDArray[np.floating]

BORDER = (0, 1, 2, 4, 8, 16, 32)
"""Least distances to the image's border of the classes, in low-resolution pixels."""
_GROUPS = 16
"""Classes of about equally many pixels that the spread is told by."""
_TENTHS = tuple(tenths / 10 for tenths in range(1, 10))


def border_class(height: int, width: int, scale: int) -> NDArray[np.intp]:
    """The class of `BORDER` of every high-resolution pixel, `height x width`."""
    rows, columns = (np.minimum(np.arange(size), np.arange(size)[::-1]) // scale for size in (height, width))
    distance = np.minimum(rows[:, None], columns[None])
    found: NDArray[np.intp] = np.searchsorted(BORDER, distance, side="right") - 1
    return found


class CoverageRecord:
    """Collects standard deviations and errors, image by image.

    Parameters
    ----------
    n : int
        Members that every image's mean and spread are of.
    scale : int
        High-resolution pixels per low-resolution pixel along an axis.
    """

    def __init__(self, n: int, scale: int) -> None:
        self.n, self.scale = n, scale
        # Of every image: its pixels by class of the border, in all and inside the interval at each lambda.
        self._pixels: list[Array] = []
        self._inside: list[Array] = []
        self._widths: list[tuple[float, float]] = []
        self._spread = np.zeros((3, len(SPREADS) - 1))

    def add(self, std: Array, error: Array, quantisation_step: float) -> None:
        """One image: calibrated standard deviation, and truth minus mean; `band x y x x`, NaN where unknown."""
        known = np.isfinite(error) & np.isfinite(std)
        height, width = std.shape[-2:]
        classes = np.broadcast_to(border_class(height, width, self.scale), std.shape)[known]
        std, error = std[known].astype(float), error[known].astype(float)
        distance = np.maximum(np.abs(error) - quantisation_step / 2, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(distance > 0, distance / std, 0)
        first = np.searchsorted(LAMBDAS, ratio)  # the first lambda whose interval holds the truth
        steps = len(LAMBDAS) + 1
        counts = np.bincount(classes * steps + first, minlength=len(BORDER) * steps).reshape(len(BORDER), steps)
        self._inside.append(counts.cumsum(1)[:, :-1].astype(float))
        self._pixels.append(counts.sum(1).astype(float))
        self._widths.append((float(std.mean()), quantisation_step))
        where = spread_bin(std)
        for row, weights in zip(self._spread, (None, std**2, error**2 / (1 + 1 / self.n)), strict=True):
            row += np.bincount(where, weights, len(SPREADS) - 1)

    def tables(self, levels: Sequence[float]) -> dict[str, Any]:
        """Plain values for a model file, at `levels` and at 0.1 to 0.9; None where too few images are left."""
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
_RANGE = {"units": "1", "comment": "in units of the width of value_range"}


def dataset(calibration: Calibration) -> xr.Dataset:
    """See `bayesr.calibration.calibration.Calibration.dataset`."""
    import xarray as xr

    if not calibration.missed:
        raise InvalidArgument("This model is not calibrated: bayesr.calibrate(model, pairs) does it.")
    tables, most = calibration.coverage, largest_level(calibration.images)
    levels = [v for v in tables.get("level", (*_TENTHS, 0.95)) if v <= most]
    counts = sorted(calibration.missed)
    variables: dict[str, Any] = {
        "lambda": (
            ("level", "n"),
            [[calibration.half_width(level, n) for n in counts] for level in levels],
            {"long_name": "half the width of the interval in calibrated standard deviations", "units": "1"},
        ),
        "factor": ("raw_std", calibration.factor, {"long_name": "factor on the raw standard deviation", "units": "1"}),
    }
    coords: dict[str, Any] = {
        "level": ("level", levels, {"long_name": "level of the interval", "units": "1"}),
        "n": ("n", np.array(counts, np.int32), {"long_name": "members"}),
        "raw_std": ("raw_std", calibration.spread, {"long_name": "raw standard deviation"} | _RANGE),
    }
    if tables:
        for name, long_name in _BY_LEVEL.items():
            attrs = _RANGE if name == "width" else {"units": "1"}
            variables[name] = ("level", np.array(tables[name][: len(levels)], float), {"long_name": long_name} | attrs)
        variables["coverage_by_border"] = (
            ("level", "border"),
            np.array(tables["border"][: len(levels)], float),
            {"long_name": "share of pixels inside the interval, over all images", "units": "1"},
        )
        for name, long_name in (
            ("std", "root mean square of the calibrated standard deviation"),
            ("rmse", "root mean square error of the mean, over the root of 1 + 1/n"),
        ):
            variables[name] = ("spread", np.array(tables[name], float), {"long_name": long_name} | _RANGE)
        pixels = np.array(tables["pixels"], float)
        variables["pixels"] = ("spread", pixels, {"long_name": "pixels in the class", "units": "1"})
        coords["spread"] = ("spread", np.arange(len(pixels), dtype=np.int32), {"long_name": "class of the spread"})
        far = {"long_name": "least distance to the border of the image", "units": "low-resolution pixels"}
        coords["border"] = ("border", np.array(BORDER, np.int32), far)
    attributes = {
        "title": "calibration: how well intervals held on held-out images",
        "images": calibration.images,
        "largest_level": most,
        "source": calibration.source,
        "comment": f"{tables['n']} members; by level and border, every image with the lambda of all the others; by "
        "spread, images that did not fit the factor"
        if tables
        else "recorded without coverage: calibrate the model again to have it",
    }
    return xr.Dataset(variables, coords, attributes | dict(calibration.provenance))


def _digits(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None
