"""Risk-controlling prediction sets: quantiles of a regression, widened until a bound on their risk is small enough.

The risk of an image is the fraction of its pixels outside the interval ``[f - lambda l, f + lambda u]``, where f is
the prediction and l, u are the distances to a lower and an upper quantile. With a probability of at least 1 - delta
over the held-out images, the expected risk of one more image that is exchangeable with them is at most alpha. This
guarantee is stronger than that of conformal risk control, which bounds the risk on average over held-out images, and
so the intervals are wider.

References
----------
S. Bates, A. Angelopoulos, L. Lei, J. Malik, M. Jordan, "Distribution-free, risk-controlling prediction sets", 2021,
arXiv:2101.02703.
A. Angelopoulos et al., "Image-to-image regression with distribution-free uncertainty quantification and applications
in imaging", 2022, arXiv:2202.05265.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from bayesr.calibration.intervals import least_half_width
from bayesr.errors import InvalidArgument

Array = NDArray[Any]

ALPHA, DELTA = 0.1, 0.1
WIDENINGS = np.linspace(0, 20, 2001)
"""Values of lambda that are tried."""
_LEAST = 1e-6
"""Least distance to a quantile: with a distance of 0 no lambda would reach the truth."""


def p_value(risk: ArrayLike, alpha: float, images: int) -> NDArray[np.float64]:
    """Return the Hoeffding-Bentkus p-value: a bound on the probability of so small a mean risk.

    The null hypothesis is that the expected risk is `alpha` or more:

    ``min(exp(-n h(min(r, alpha), alpha)), e P(Bin(n, alpha) <= ceil(n r)))`` with ``h(a, b) = a log(a/b) +
    (1 - a) log((1 - a)/(1 - b))``, for risks in [0, 1].

    Parameters
    ----------
    risk : array_like
        r: mean risks over images.
    alpha : float
        In (0, 1).
    images : int
        n: the number of images.
    """
    r = np.minimum(np.asarray(risk, np.float64), alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(r > 0, r * np.log(r / alpha), 0.0)
    hoeffding = np.exp(-images * (entropy + (1 - r) * np.log((1 - r) / (1 - alpha))))
    # Float errors must not round a whole number up to the next one.
    bentkus = np.e * binom.cdf(np.ceil(images * np.asarray(risk) - 1e-9), images, alpha)
    found: NDArray[np.float64] = np.minimum(1, np.minimum(hoeffding, bentkus))
    return found


def widening(missed: Array, alpha: float = ALPHA, delta: float = DELTA) -> float:
    """Return lambda: the smallest of `WIDENINGS` from which on the upper bound of the risk is at most `alpha`.

    The upper confidence bound of level 1 - delta is at most alpha if and only if the p-value of alpha is at most delta.

    Parameters
    ----------
    missed : ndarray
        The risk of every image at `WIDENINGS`, of shape ``images x widenings``.
    alpha, delta : float
        In (0, 1).

    Raises
    ------
    InvalidArgument
        If no widening is enough, for example because there are too few images.
    """
    images = len(missed)
    allowed = p_value(np.mean(missed, 0), alpha, images) <= delta
    refused = np.nonzero(~allowed)[0]
    first = int(refused[-1]) + 1 if refused.size else 0
    if first == len(allowed):
        raise InvalidArgument(
            f"{images} images are too few to bound a risk by {alpha:g} at 1 - {delta:g}, or the quantiles are too "
            f"close together: give at least {fewest(alpha, delta)} images."
        )
    return float(WIDENINGS[first])


def fewest(alpha: float = ALPHA, delta: float = DELTA) -> int:
    """Return the smallest number of images that can bound a risk, if the intervals miss none of their pixels."""
    return int(np.ceil(np.log(delta) / np.log(1 - alpha) - 1e-9))


def missed(
    centre: Array, lower: Array, upper: Array, truth: Array, quantisation_step: float = 0.0
) -> NDArray[np.float64]:
    """Return the fraction of pixels outside the interval at each of `WIDENINGS`.

    Parameters
    ----------
    centre, lower, upper, truth : ndarray
        The prediction, its quantiles, and the truth. Arrays of one shape.
    quantisation_step : float
        Step of integer data. The interval is wider by half of it on either side.
    """
    error = truth.astype(np.float64) - centre
    reach = np.where(error < 0, _distance(centre, lower), _distance(upper, centre))
    needed = np.sort(least_half_width(reach, error, quantisation_step).ravel())
    found: NDArray[np.float64] = 1 - np.searchsorted(needed, WIDENINGS, side="right") / needed.size
    return found


def widened(
    centre: Array, lower: Array, upper: Array, factor: float, quantisation_step: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of the interval at a widening, with half a quantisation step on either side."""
    return (
        centre - factor * _distance(centre, lower) - quantisation_step / 2,
        centre + factor * _distance(upper, centre) + quantisation_step / 2,
    )


def _distance(above: Array, below: Array) -> NDArray[np.float64]:
    """Return the distance between the prediction and a quantile; quantiles that cross the prediction lie on it."""
    return np.maximum(np.subtract(above, below, dtype=np.float64), _LEAST)
