"""Intervals of systems that have none of their own: calibrated as `bayesr.calibrate` does, on held-out images.

A case is a pair of arrays of one shape in grey levels: the raw standard deviation, or any other map that is large where
errors are large, and the error, truth minus estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.factor import FactorFit
from bayesr.calibration.intervals import LAMBDAS, bounds, missed_curve
from bayesr_bench.training import LEVEL, Array

STEP = 1.0
"""Quantisation step of 8-bit images, in grey levels."""
LIMITS = 0.0, 255.0
"""Least and largest value of 8-bit images."""

Case = tuple[Array, Array]


def fit_calibration(for_factor: Sequence[Case], for_interval: Sequence[Case], n: int) -> Calibration:
    """Fit the factor on the standard deviation, and lambda by conformal risk control.

    Parameters
    ----------
    for_factor, for_interval : sequence of tuple of ndarray
        Cases of images that are not the same: those for the interval must not have changed the factor.
    n : int
        Number of members whose mean is the estimate.
    """
    factors = FactorFit()
    for raw, error in for_factor:
        factors.add((raw / 255) ** 2, error / 255, n)
    bare = Calibration(*factors.fit())
    missed = outside(bare, for_interval, STEP)
    return replace(bare, missed={n: missed}, images=len(for_interval), source="held-out images")


def outside(calibration: Calibration, cases: Sequence[Case], step: float) -> Array:
    """Return the fraction of pixels outside the interval at each of `LAMBDAS`, averaged over cases.

    Parameters
    ----------
    calibration : Calibration
        Gives the factor.
    cases : sequence of tuple of ndarray
    step : float
        Quantisation step, in grey levels; the interval is wider by half of it on either side.
    """
    found = np.zeros(len(LAMBDAS))
    for raw, error in cases:
        relative = raw / 255
        found += missed_curve(calibration.factors(relative) * relative, error / 255, step / 255) / len(cases)
    return found


def interval(mean: Array, raw: Array, calibration: Calibration, n: int) -> tuple[Array, Array, Array]:
    """Return the standard deviation and the bounds of the interval, in grey levels, as a product has them.

    Without a calibration the interval is that of Student's t distribution.

    Parameters
    ----------
    mean, raw : ndarray
        The estimate and its raw standard deviation, of one shape, of float64.
    calibration : Calibration
    n : int
        Number of members whose mean is the estimate.
    """
    std = np.asarray(calibration.factors(raw / 255) * raw, np.float64)
    lower, upper = bounds(mean, std, calibration.half_width(LEVEL, n), STEP, LIMITS)
    return std.astype(np.float32), lower.astype(np.float32), upper.astype(np.float32)


def case_of(members: Array, truth: Array) -> Case:
    """Return the case of an ensemble, ``n x ...``, and its truth."""
    return members.std(0, ddof=1, dtype=np.float64), truth - members.mean(0, dtype=np.float64)


def interval_of(members: Array, calibration: Calibration) -> tuple[Array, Array, Array]:
    """Return the `interval` of an ensemble, ``n x ...``."""
    mean, raw = members.mean(0, dtype=np.float64), members.std(0, ddof=1, dtype=np.float64)
    return interval(mean, raw, calibration, len(members))
