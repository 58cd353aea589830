"""Prediction intervals ``mean -+ (lambda std + step / 2)``, and lambda by conformal risk control.

The half width of an interval is lambda calibrated standard deviations, plus half a quantisation step for integer data.
Lambda is the smallest value with

    (N R(lambda) + 1) / (N + 1) <= 1 - level,

where R is the fraction of pixels outside the interval, averaged over N held-out images. This bounds the *expected*
fraction of missed pixels of one more exchangeable image. It guarantees nothing for each image or pixel, or for another
kind of images. `bounds` takes any units.

References
----------
A. Angelopoulos et al., "Conformal Risk Control", 2024, arXiv:2208.02814.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.floating]
Float = TypeVar("Float", np.float32, np.float64)

LAMBDAS = np.concatenate([[0.0], np.geomspace(0.05, 60.0, 239)])
"""Values of lambda at which the fraction of missed pixels is recorded."""


def bounds(
    mean: NDArray[Float],
    std: NDArray[Float],
    half_width: float,
    quantisation_step: float,
    limits: tuple[float, float] | None = None,
) -> tuple[NDArray[Float], NDArray[Float]]:
    """Return the lower and the upper bound of the interval, ``mean -+ (half_width std + quantisation_step / 2)``.

    Parameters
    ----------
    mean, std : ndarray
        Mean and calibrated standard deviation, of one shape and one type, also that of the result.
    half_width : float
        Lambda, in standard deviations.
    quantisation_step : float
        Step of integer data, else 0.
    limits : tuple of float, optional
        Least and largest value of the data type, to which bounds are clipped.
    """
    number = std.dtype.type
    half = number(half_width) * std + number(quantisation_step / 2)
    lower, upper = mean - half, mean + half
    if limits is not None:
        np.maximum(lower, number(limits[0]), out=lower)
        np.minimum(upper, number(limits[1]), out=upper)
    return lower, upper


def least_half_width(std: Array, error: Array, quantisation_step: float) -> Array:
    """Return the smallest lambda whose interval contains the truth, for every pixel.

    Parameters
    ----------
    std, error : ndarray
        Calibrated standard deviation, and truth minus mean, of one shape.
    quantisation_step : float
        Step of integer data, else 0.
    """
    distance = np.maximum(np.abs(error) - quantisation_step / 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = np.where(distance > 0, distance / std, 0)
    return ratio


def missed_curve(std: Array, error: Array, quantisation_step: float) -> Array:
    """Return the fraction of pixels outside the interval at each of `LAMBDAS`.

    Parameters
    ----------
    std, error : ndarray
        Calibrated standard deviation, and truth minus mean, of one shape, NaN where unknown.
    quantisation_step : float
        Step of integer data, else 0.
    """
    known = np.isfinite(error) & np.isfinite(std)
    ordered = np.sort(least_half_width(std[known], error[known], quantisation_step))
    curve: Array = 1 - np.searchsorted(ordered, LAMBDAS, side="right") / ordered.size
    return curve


def smallest_lambda(missed: Array, level: float, images: int) -> float:
    """Return the smallest lambda with ``(N R(lambda) + 1) / (N + 1) <= 1 - level``, linear between `LAMBDAS`.

    Parameters
    ----------
    missed : ndarray
        R at `LAMBDAS`, decreasing.
    level : float
        At most `largest_level(images)`.
    images : int
        N.
    """
    allowed = ((1 - level) * (images + 1) - 1) / images
    inside = np.nonzero(missed <= allowed)[0]
    if not inside.size:
        return float(LAMBDAS[-1])
    first = int(inside[0])
    if first == 0:
        return 0.0
    share = (missed[first - 1] - allowed) / (missed[first - 1] - missed[first])
    return float(LAMBDAS[first - 1] + share * (LAMBDAS[first] - LAMBDAS[first - 1]))


def gaussian_half_width(level: float, n: int) -> float:
    """Return lambda of the prediction interval of a Gaussian with the mean and variance of n samples.

    ``t(level / 2 + 1 / 2, n - 1) sqrt(1 + 1 / n)``, with the quantile of Student's t distribution.
    """
    return float(stdtrit(max(1, n - 1), 0.5 + level / 2) * np.sqrt(1 + 1 / n))


def largest_level(images: int) -> float:
    """Return ``N / (N + 1)``, the largest level that N images support."""
    return images / (images + 1)


def images_for(level: float) -> int:
    """Return ``level / (1 - level)``, rounded up: the smallest number of images that supports a level."""
    return math.ceil(level / (1 - level) - 1e-9)
