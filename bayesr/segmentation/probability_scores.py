"""Scores of probability maps against the truth.

Probabilities lie in [0, 1], masks are boolean arrays. Scores are of one image: average them over images, the
independent units of a study.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesr.errors import InvalidArgument
from bayesr.segmentation.evaluation import Doubles, Mask, as_mask, check_same_shape


def brier(p: ArrayLike, truth: ArrayLike) -> float:
    """Compute the Brier score of a probability map, ``mean (p - truth)^2`` over pixels.

    It is a proper score: its expectation is smallest for the true probability.

    Parameters
    ----------
    p : array_like
        Probabilities in [0, 1].
    truth : array_like
        Boolean, of the same shape.

    Returns
    -------
    float
        In [0, 1]; lower is better. The constant map p = 1/2 has 1/4.

    Raises
    ------
    InvalidArgument
        If shapes differ, there are no pixels, or values are out of range.

    References
    ----------
    G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    p, truth = _forecast(p, truth)
    return float(np.mean((p - truth) ** 2))


def ece(p: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Compute the expected calibration error of a probability map.

    ``sum_b n_b / N |predicted_b - observed_b|`` over the bins of `reliability`. It concerns the foreground, not the
    more probable class. Sampling alone contributes about sqrt(bins p (1 - p) / N) for N independent pixels. A constant
    map with the right mean has 0: report it with `brier`, which measures sharpness too.

    Parameters
    ----------
    p : array_like
        Probabilities in [0, 1].
    truth : array_like
        Boolean, of the same shape.
    bins : int
        Number of bins, 1 or more.

    Returns
    -------
    float
        In [0, 1]; lower is better.

    Raises
    ------
    InvalidArgument
        If shapes differ, there are no pixels, or values are out of range.

    References
    ----------
    M. Pakdaman Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
    Bayesian binning", 2015, doi:10.1609/aaai.v29i1.9602. C. Guo et al., "On calibration of modern
    neural networks", 2017, arXiv:1706.04599.
    """
    predicted, observed, pixels = reliability(p, truth, bins)
    full = pixels > 0
    return float(np.abs(predicted - observed)[full] @ pixels[full] / pixels.sum())


def reliability(p: ArrayLike, truth: ArrayLike, bins: int = 15) -> tuple[Doubles, Doubles, NDArray[np.int64]]:
    """Compute the reliability diagram: observed frequencies against predicted probabilities.

    Bin b holds the pixels with p in [b / bins, (b + 1) / bins); the last bin includes p = 1. To pool images, weight
    their bins by `pixels`.

    Parameters
    ----------
    p : array_like
        Probabilities in [0, 1].
    truth : array_like
        Boolean, of the same shape.
    bins : int
        Number of bins, 1 or more.

    Returns
    -------
    predicted, observed : ndarray
        Mean probability and fraction of foreground pixels of every bin, in [0, 1]; NaN for empty bins.
    pixels : ndarray
        Number of pixels in every bin.

    Raises
    ------
    InvalidArgument
        If shapes differ, there are no pixels, or values are out of range.
    """
    p, truth = _forecast(p, truth)
    if bins < 1:
        raise InvalidArgument(f"bins must be 1 or more, not {bins!r}.")
    indices = np.minimum((p.ravel() * bins).astype(np.int64), bins - 1)
    pixels = np.bincount(indices, minlength=bins)
    sums = [np.bincount(indices, values.ravel(), bins) for values in (p, truth)]
    with np.errstate(invalid="ignore"):
        predicted, observed = (values / pixels for values in sums)
    return predicted, observed, pixels


def _forecast(p: ArrayLike, truth: ArrayLike) -> tuple[Doubles, Mask]:
    probability, foreground = np.asarray(p, np.float64), as_mask(truth)
    check_same_shape(probability, foreground)
    if not probability.size:
        raise InvalidArgument("There are no pixels to score: give a map of one pixel or more.")
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails both
        raise InvalidArgument(
            f"Probabilities must lie in [0, 1]; these run from {np.min(probability):g} to {np.max(probability):g}. "
            "Logits are converted to probabilities by 1 / (1 + exp(-x))."
        )
    return probability, foreground
