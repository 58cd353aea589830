"""Risk-controlling prediction sets: heads of a regression, widened until a bound of their risk allows it.

The risk of an image is the share of its pixels that the interval ``[f - lambda l, f + lambda u]`` misses, where f is
the prediction and l, u are the distances to a lower and an upper head. With a probability of at least 1 - delta over
the images it is chosen by, the expected risk of one more image exchangeable with them is at most alpha. That is more
than conformal risk control promises, which bounds the risk on average over such choices, and so intervals are wider.

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

from bayesr.errors import InvalidArgument

Array = NDArray[Any]

ALPHA, DELTA = 0.1, 0.1
WIDENINGS = np.linspace(0, 20, 2001)
"""The values of lambda that are tried."""
_LEAST = 1e-6
"""Of a head's distance: nothing times lambda would never reach the truth."""


def p_value(risk: ArrayLike, alpha: float, images: int) -> NDArray[np.float64]:
    """Hoeffding-Bentkus: how likely so small a mean risk is where the expected risk is `alpha` or more, at most.

    ``min(exp(-n h(min(r, alpha), alpha)), e P(Bin(n, alpha) <= ceil(n r)))`` with ``h(a, b) = a log(a/b) +
    (1 - a) log((1 - a)/(1 - b))``, for risks in [0, 1].

    Parameters
    ----------
    risk : array_like
        r, means over images.
    alpha : float
        In (0, 1).
    images : int
        n.
    """
    r = np.minimum(np.asarray(risk, np.float64), alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        hidden = np.where(r > 0, r * np.log(r / alpha), 0.0)
    hoeffding = np.exp(-images * (hidden + (1 - r) * np.log((1 - r) / (1 - alpha))))
    # Rounding must not lift a whole number to the next one.
    bentkus = np.e * binom.cdf(np.ceil(images * np.asarray(risk) - 1e-9), images, alpha)
    found: NDArray[np.float64] = np.minimum(1, np.minimum(hoeffding, bentkus))
    return found


def widening(missed: Array, alpha: float = ALPHA, delta: float = DELTA) -> float:
    """lambda: the smallest of `WIDENINGS` from which on the upper bound of the risk is at most `alpha`.

    The upper confidence bound of level 1 - delta is at most alpha just where the p-value of alpha is at most delta.

    Parameters
    ----------
    missed : ndarray
        Of every image, the risk at `WIDENINGS`, images x widenings.
    alpha, delta : float
        In (0, 1).

    Raises
    ------
    InvalidArgument
        When no widening is enough, as where there are too few images.
    """
    images = len(missed)
    allowed = p_value(np.mean(missed, 0), alpha, images) <= delta
    refused = np.nonzero(~allowed)[0]
    first = int(refused[-1]) + 1 if refused.size else 0
    if first == len(allowed):
        raise InvalidArgument(
            f"{images} images are too few to bound a risk by {alpha:g} at 1 - {delta:g}, or heads are too close: give "
            f"at least {fewest(alpha, delta)} images."
        )
    return float(WIDENINGS[first])


def fewest(alpha: float = ALPHA, delta: float = DELTA) -> int:
    """The fewest images by which a risk can be bounded, if none of their pixels is missed."""
    return int(np.ceil(np.log(delta) / np.log(1 - alpha) - 1e-9))


def missed(
    centre: Array, lower: Array, upper: Array, truth: Array, quantisation_step: float = 0.0
) -> NDArray[np.float64]:
    """The share of pixels outside the interval at every one of `WIDENINGS`.

    Parameters
    ----------
    centre, lower, upper, truth : ndarray
        The prediction, its heads, and what is to be inside; of one shape.
    quantum : float
        The step of integer data, half of which every interval includes on either side.
    """
    error = truth.astype(np.float64) - centre
    distance = np.maximum(np.abs(error) - quantisation_step / 2, 0)
    reach = np.where(error < 0, _distance(centre, lower), _distance(upper, centre))
    needed = np.sort((distance / reach).ravel())
    found: NDArray[np.float64] = 1 - np.searchsorted(needed, WIDENINGS, side="right") / needed.size
    return found


def widened(
    centre: Array, lower: Array, upper: Array, factor: float, quantisation_step: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval at a widening, with half a quantum on either side."""
    return (
        centre - factor * _distance(centre, lower) - quantisation_step / 2,
        centre + factor * _distance(upper, centre) + quantisation_step / 2,
    )


def _distance(above: Array, below: Array) -> NDArray[np.float64]:
    """Between a prediction and a head; heads that cross it lie on it."""
    return np.maximum(np.subtract(above, below, dtype=np.float64), _LEAST)
