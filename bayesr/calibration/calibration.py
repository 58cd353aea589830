"""Calibration of a model: the factor on the standard deviation, the interval widths, and their record.

`bayesr.calibration.factor` fits the factor, `bayesr.calibration.intervals` the intervals, on other held-out images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.calibration.coverage import (
    DEFAULT_LEVELS,
    RELATIVE_UNITS,
    check_tables,
    coverage_comment,
    coverage_variables,
)
from bayesr.calibration.factor import interpolate_factor
from bayesr.calibration.intervals import LAMBDAS, gaussian_half_width, images_for, largest_level, smallest_lambda
from bayesr.calibration.plain import mapping, numbers, text, whole
from bayesr.errors import InvalidArgument, InvalidModel

Array = NDArray[np.floating]

_LARGEST = 1e9
"""Largest standard deviation, over the value range, and largest factor in a file."""


@dataclass(frozen=True)
class Calibration:
    """Factor on the standard deviation, and half widths of intervals.

    Attributes
    ----------
    spread, factor : ndarray
        The factor at increasing raw standard deviations, interpolated, and constant outside; empty if not calibrated.
    missed : dict of int to ndarray
        For every number of members that was tried, R at `bayesr.calibration.intervals.LAMBDAS`.
    images : int
        N, the number of images that R is averaged over.
    source : str
        A description of the images.
    provenance : dict
        Images that fitted the factor, checksum of all pixels, seed, date, version, model, checksum of its weights.
    coverage : dict
        Empirical coverage as plain tables (`bayesr.calibration.coverage`); `dataset` presents them.
    """

    spread: Array = field(default_factory=lambda: np.empty(0), repr=False)
    factor: Array = field(default_factory=lambda: np.empty(0), repr=False)
    missed: Mapping[int, Array] = field(default_factory=dict, repr=False)
    images: int = 0
    source: str = "none: intervals assume a Gaussian and raw spread"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    coverage: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def factors(self, std: Array) -> NDArray[np.float32]:
        """Return the factor for every raw standard deviation, of the same shape; 1 where not calibrated."""
        if not self.spread.size:
            return np.where(np.isfinite(std), 1, np.nan).astype(np.float32)
        return interpolate_factor(std, self.spread, self.factor)

    def half_width(self, level: float, n: int) -> float:
        """Return lambda(level, n): half the width of the interval, in calibrated standard deviations.

        Lambda is linear in 1/n between the numbers of members that were tried, and constant beyond the largest.

        Raises
        ------
        InvalidArgument
            When the level needs more calibration images than there were.
        """
        if not self.missed:
            return gaussian_half_width(level, n)
        if level > largest_level(self.images):
            raise InvalidArgument(
                f"level={level:g} needs at least {images_for(level)} calibration images; this "
                f"model was calibrated on {self.images}, enough for {largest_level(self.images):.4f}."
            )
        counts = np.array(sorted(self.missed))
        widths = [smallest_lambda(np.asarray(self.missed[int(count)]), level, self.images) for count in counts]
        return float(np.interp(1 / n, 1 / counts[::-1], widths[::-1]))

    def dataset(self) -> xr.Dataset:
        """Return the calibration as a Dataset, for plots and stores.

        Returns
        -------
        Dataset
            - ``lambda(level, n)``: half the width of the interval in calibrated standard deviations;
            - ``factor(raw_std)``: the factor on the raw standard deviation;
            - ``coverage(level)`` with its ``standard_error`` between images, ``median`` and ``worst`` image, and
              ``width(level)``, before clipping to an integer type's bounds;
            - ``coverage_by_border(level, border)``, where ``border`` is the least distance to the border of the image:
              0, 1, 2, 4, 8, 16, 32 low-resolution pixels or more;
            - ``std(spread)``, ``rmse(spread)``, ``pixels(spread)``: calibrated standard deviation and error of the mean
              in 16 classes of about equally many pixels; they should be equal.

            Standard deviations, errors and widths are in units of the width of `value_range`. Values are for 32 members
            and for images that did not fit the factor. Coverage uses the lambda of the *other* images, and is NaN where
            a level needs more images. Older models have ``lambda`` and ``factor`` alone. Attributes give number, source
            and date of the images.

        Raises
        ------
        InvalidArgument
            When the model is not calibrated.
        """
        if not self.missed:
            raise InvalidArgument("This model is not calibrated: bayesr.calibrate(model, pairs) does it.")
        tables, largest = self.coverage, largest_level(self.images)
        levels = [level for level in tables.get("level", DEFAULT_LEVELS) if level <= largest]
        counts = sorted(self.missed)
        variables: dict[str, Any] = {
            "lambda": (
                ("level", "n"),
                [[self.half_width(level, n) for n in counts] for level in levels],
                {"long_name": "half the width of the interval in calibrated standard deviations", "units": "1"},
            ),
            "factor": ("raw_std", self.factor, {"long_name": "factor on the raw standard deviation", "units": "1"}),
        }
        coords: dict[str, Any] = {
            "level": ("level", levels, {"long_name": "level of the interval", "units": "1"}),
            "n": ("n", np.array(counts, np.int32), {"long_name": "members"}),
            "raw_std": ("raw_std", self.spread, {"long_name": "raw standard deviation"} | RELATIVE_UNITS),
        }
        if tables:
            recorded, recorded_coords = coverage_variables(tables, len(levels))
            variables, coords = variables | recorded, coords | recorded_coords
        attributes = {
            "title": "calibration: how well intervals held on held-out images",
            "images": self.images,
            "largest_level": largest,
            "source": self.source,
            "comment": coverage_comment(tables),
        }
        return xr.Dataset(variables, coords, attributes | dict(self.provenance))

    def describe(self) -> dict[str, Any]:
        """Return plain values for a model file."""
        return {
            "spread": [float(f"{v:.6g}") for v in self.spread],
            "factor": [float(f"{v:.6g}") for v in self.factor],
            "missed": {str(n): [round(float(v), 6) for v in curve] for n, curve in self.missed.items()},
            "images": self.images,
            "source": self.source,
            "provenance": dict(self.provenance),
            "coverage": dict(self.coverage),
        }

    @classmethod
    def from_description(cls, plain: Mapping[str, Any]) -> Calibration:
        """Return the calibration that `describe` described.

        Raises
        ------
        InvalidModel
            For values that no calibration has; the message names them.
        """
        for name in ("spread", "factor", "missed", "images", "source"):
            if name not in mapping("calibration", plain):
                raise InvalidModel(f"calibration lacks {name}.")
        spread = numbers("calibration.spread", plain["spread"], None, 0, _LARGEST)
        factor = numbers("calibration.factor", plain["factor"], len(spread), 0, _LARGEST)
        if not (np.all(spread > 0) and np.all(np.diff(spread) >= 0) and np.all(factor > 0)):
            raise InvalidModel("calibration.spread must increase, and its values and those of factor exceed 0.")
        missed = {
            whole("the number of members in calibration.missed", _count(n), 1): _missed(n, curve)
            for n, curve in mapping("calibration.missed", plain["missed"]).items()
        }
        images = whole("calibration.images", plain["images"], int(bool(missed)))
        # Files of version 0.1.0 have neither of these.
        provenance = mapping("calibration.provenance", plain.get("provenance", {}))
        if not isinstance(provenance.get("members", []), list):
            raise InvalidModel("calibration.provenance.members must be a list.")
        coverage = mapping("calibration.coverage", plain.get("coverage", {}))
        check_tables("calibration.coverage", coverage)
        return cls(spread, factor, missed, images, text("calibration.source", plain["source"]), provenance, coverage)


def _count(text: str) -> Any:
    return int(text) if text.isdecimal() and len(text) <= 12 else text


def _missed(n: str, values: Any) -> Array:
    name = f"calibration.missed[{n}]"
    curve = numbers(name, values, len(LAMBDAS), 0, 1)
    if np.any(np.diff(curve) > 0):
        raise InvalidModel(f"{name}, the fraction of pixels outside of wider and wider intervals, must not increase.")
    return curve
