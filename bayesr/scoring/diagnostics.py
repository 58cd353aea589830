"""Diagnostics of images and of their uncertainty, as functions of plain arrays.

`std` and `error` (truth minus mean) have one shape and no missing values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2
from scipy.ndimage import uniform_filter

Array = NDArray[Any]
Doubles = NDArray[np.float64]


def inside(truth: Array, lower: Array, upper: Array) -> Doubles:
    """Return 1 where the truth lies in the interval, else 0; NaN where the interval is not finite."""
    found: Doubles = np.where(np.isfinite(upper - lower), (truth >= lower) & (truth <= upper), np.nan)
    return found


def coverage(truth: Array, lower: Array, upper: Array) -> float:
    """Return the empirical coverage: the share of values with ``lower <= truth <= upper``.

    Parameters
    ----------
    truth, lower, upper : ndarray
        Of one shape, in the same units.

    Returns
    -------
    float
        In [0, 1]; NaN if an interval is not finite.
    """
    return float(np.mean(inside(truth, lower, upper)))


def interval_width(lower: Array, upper: Array) -> float:
    """Return the mean width of an interval, in the units of its bounds."""
    return float(np.mean(upper - lower))


def spread_skill(variance: float, squared_error: float, n: int) -> float:
    r"""Return the ratio of the members' spread to the error of their mean.

    ``sqrt((n + 1) / n * variance / squared_error)``

    Parameters
    ----------
    variance : float
        Variance over the members (ddof = 1), averaged over pixels.
    squared_error : float
        Mean squared error of the members' mean.
    n : int
        Number of members.

    Returns
    -------
    float
        1 is best; below it, members are too close together, above it too far apart. NaN if both are 0.

    References
    ----------
    V. Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?", 2014,
    doi:10.1175/JHM-D-14-0008.1.
    """
    return float(np.sqrt(ratio(variance * (n + 1) / n, squared_error, np.nan)))


def psnr(squared_error: float, peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB, ``10 log10(peak^2 / squared_error)``; infinite for no error."""
    return 10 * math.log10(peak**2 / squared_error) if squared_error else math.inf


def lr_psnr(squared_errors: Array, peak: float) -> float:
    """Return the PSNR of the worst member's low-resolution image, in dB.

    Parameters
    ----------
    squared_errors : ndarray
        Mean squared difference between ``A x``, each member under the forward operator, and the low-resolution image.
    peak : float
        Width of the value range.
    """
    return psnr(float(np.max(squared_errors)), peak)


def mean(values: Array) -> float:
    """Return the mean of an array; NaN if it is empty."""
    return float(np.mean(values)) if np.size(values) else math.nan


def ratio(a: Any, b: Any, empty: float = 0.0) -> Doubles:
    """Return ``a / b``: infinite where only b is zero, and `empty` where both are."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: Doubles = np.where((a == 0) & (b == 0), empty, a / b)
    return quotient


def by_spread(std: Array, error: Array, n: int, bins: int = 20) -> tuple[Doubles, Doubles, float]:
    r"""Compare predicted and observed errors in bins of equal counts, sorted by `std`.

    ``ENCE = 1/B sum_b |predicted_b - observed_b| / predicted_b``

    ``predicted_b`` is the root of the bin's mean variance times (n + 1)/n, the expected squared error of a mean of n
    members, and ``observed_b`` the root of its mean squared error.

    Returns
    -------
    predicted, observed : ndarray
        ``B``, in the units of the image; fewer than `bins` if there are fewer pixels.
    ence : float
        Expected normalised calibration error; 0 is best.

    References
    ----------
    D. Levi, L. Gispan, N. Giladi, E. Fetaya, "Evaluating and calibrating uncertainty prediction in regression tasks",
    2022, doi:10.3390/s22155540.
    """
    order = np.argsort(np.ravel(std), kind="stable")
    edges = np.linspace(0, order.size, min(bins, order.size) + 1).astype(int)
    variance, squared = (np.square(np.ravel(v)[order], dtype=np.float64) for v in (std, error))
    count = np.diff(edges)
    predicted = np.sqrt(np.add.reduceat(variance, edges[:-1]) / count * (n + 1) / n)
    observed = np.sqrt(np.add.reduceat(squared, edges[:-1]) / count)
    return predicted, observed, float(np.mean(ratio(np.abs(predicted - observed), predicted)))


def sparsification(key: Array, loss: Array, removed: Array) -> Doubles:
    """Return the mean loss of the pixels that remain without those with the largest keys.

    Pixels with equal keys share their mean loss, so their order does not matter.

    Parameters
    ----------
    key, loss : ndarray
        Of one shape. The key is the standard deviation, or the loss itself for the oracle.
    removed : ndarray
        Shares of pixels to remove, in [0, 1).

    Returns
    -------
    ndarray
        Of the shape of `removed`, in the units of the loss.

    References
    ----------
    E. Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow", 2018, arXiv:1802.07095.
    """
    order = np.argsort(np.ravel(key), kind="stable")
    keys, losses = np.ravel(key)[order], np.ravel(loss)[order].astype(np.float64)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    counts = np.diff(starts, append=keys.size)
    total = np.cumsum(np.repeat(np.add.reduceat(losses, starts) / counts, counts))
    stay = np.maximum(1, np.rint((1 - np.asarray(removed)) * keys.size).astype(int))
    curve: Doubles = total[stay - 1] / stay
    return curve


def diversity(distances: Array) -> float:
    """Return the diversity score of the NTIRE challenges.

    ``100 (min_i mean_k d_ik - mean_k min_i d_ik) / min_i mean_k d_ik``, in percent, where d_ik is the distance of
    member i to the truth at place k. It compares the best member of each place with the best member overall.

    In the challenges, the places are pixels, the distance is spatial LPIPS (AlexNet), which is that of `Lpips.maps`,
    n is 10, and the score is averaged over images.

    Parameters
    ----------
    distances : ndarray
        ``n x count``. State which distance and which places are used.

    References
    ----------
    A. Lugmayr et al., "NTIRE 2021 learning the super-resolution space challenge", CVPR Workshops, 2021, with the
    program of its evaluation, https://github.com/andreas128/NTIRE21_Learning_SR_Space.
    """
    best = np.mean(distances, 1).min()
    return float(100 * ratio(best - np.mean(np.min(distances, 0)), best, np.nan))


def activity(image: Array, valid: NDArray[np.bool_] | None = None, window: int = 7) -> Doubles:
    """Return the local activity: the standard deviation of the bands' mean in a window around each pixel.

    Parameters
    ----------
    image : ndarray
        ``band x y x x``.
    valid : ndarray of bool, optional
        Valid pixels, ``y x x``; by default all.
    window : int
        Side of the window, in pixels.

    Returns
    -------
    ndarray
        ``y x x``, in the units of the image.
    """
    valid = np.ones(image.shape[1:], bool) if valid is None else valid
    grey: Doubles = np.mean(image, 0, dtype=np.float64)
    grey = np.where(valid, grey - grey[valid].mean(), 0)  # near zero, where squares keep their precision
    share, mean, square = (uniform_filter(v, window) for v in (valid.astype(np.float64), grey, grey**2))
    share = np.maximum(share, 0.5 / window**2)
    spread: Doubles = np.sqrt(np.maximum(square / share - (mean / share) ** 2, 0))
    return spread


def spectrum(image: Array, valid: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Return the radial power spectrum of an image, after a Hann window.

    Parameters
    ----------
    image : ndarray
        ``y x x``, finite.
    valid : ndarray of bool
        Valid pixels, ``y x x``; the others are replaced by the mean.

    Returns
    -------
    frequency : ndarray
        Cycles per pixel, k / N for k = 1 to N/2, where N is the shorter side.
    power : ndarray
        Mean power in the ring of width 1 / N around each frequency, in squared units of the image.
    """
    height, width = image.shape
    rows, columns = (np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in (height, width))
    window: Doubles = np.outer(rows, columns) * valid
    image = image - image[valid][0]  # so that the mean of a constant image is exactly zero
    power = np.abs(rfft2((image - image[valid].mean()) * window)) ** 2 / np.square(window).sum()
    shorter = min(height, width)
    ring = np.rint(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * shorter).astype(int)
    rings = max(1, shorter // 2)
    twice = np.full(power.shape[1], 2.0)  # the transform of a real image omits the mirrored columns
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    weights = np.broadcast_to(twice, power.shape)
    inside = np.minimum(ring, rings + 1).ravel()  # the corners beyond the last ring are left out
    total, count = (np.bincount(inside, v.ravel(), rings + 2)[1:-1] for v in (weights * power, weights))
    return np.arange(1, rings + 1) / shorter, total / np.maximum(count, 1)
