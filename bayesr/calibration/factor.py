"""Factor on the raw standard deviation, a continuous function fitted to squared errors on held-out images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

SPREADS = np.geomspace(1e-5, 1.0, 161)
"""Edges of the bins of the standard deviation."""
MAX_FACTOR = 8.0


def spread_bin(std: Array) -> NDArray[np.intp]:
    """Return the bin of `SPREADS` of every standard deviation; the outermost bins take values outside."""
    return np.clip(np.searchsorted(SPREADS, std) - 1, 0, len(SPREADS) - 2)


def interpolate_factor(std: Array, spread: Array, factor: Array) -> NDArray[np.float32]:
    """Interpolate the factor at raw standard deviations; at most `MAX_FACTOR`.

    Members are accurate to about 1e-6 of the value range. Smaller differences, as between saturated ones, depend on the
    tiling; the limit keeps the factor from amplifying them.

    Parameters
    ----------
    std : ndarray
        Raw standard deviations.
    spread, factor : ndarray
        Increasing standard deviations, and the factors at them; constant outside.
    """
    # Between knots the logarithm of the calibrated spread is linear, so that it never decreases.
    at = np.log(np.clip(std, spread[0], spread[-1]))
    knots = np.log(spread)
    found: NDArray[np.float32] = np.exp(np.interp(at, knots, knots + np.log(factor)) - at).astype(np.float32)
    return np.minimum(found, np.float32(MAX_FACTOR))


class FactorFit:
    """Collects raw variances and squared errors, image by image, and fits the factor."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, len(SPREADS) - 1))

    def add(self, raw_variance: Array, error: Array, n: int) -> None:
        """Add one image.

        Parameters
        ----------
        raw_variance, error : ndarray
            Variance of `n` members, and truth minus mean, of one shape, NaN where unknown.
        n : int
            Number of members.
        """
        known = np.isfinite(error) & np.isfinite(raw_variance)
        variance, squared = raw_variance[known], error[known].astype(float) ** 2 / (1 + 1 / n)
        bins = spread_bin(np.sqrt(variance))
        for row, weights in zip(self._sums, (None, variance, squared), strict=True):
            row += np.bincount(bins, weights, len(SPREADS) - 1)

    def fit(self) -> tuple[Array, Array]:
        """Return (spread, factor): the square root of the smoothed isotonic fit of squared errors, over the spread.

        Steps would break the agreement of tiles, so the fit is smoothed along the log spread; it stays increasing. The
        outermost bins hold at least a thousandth of all pixels, which bounds the calibrated spread from below.
        """
        from scipy.ndimage import gaussian_filter1d  # slow to import, and only fitting needs it
        from scipy.optimize import isotonic_regression  # slow to import, and only fitting needs it

        count, variance, squared = self._sums
        share = np.cumsum(count) / count.sum()
        positive = (count > 0) & (variance > 0)  # the spread is zero where all members are clipped to a bound
        keep = positive & (share > 1e-3) & (share - count / count.sum() < 1 - 1e-3)
        if keep.sum() < 2:
            keep = positive
        spread = np.sqrt(variance[keep] / count[keep])
        rising = isotonic_regression(squared[keep] / count[keep], weights=count[keep]).x
        level = np.log(np.maximum(rising, (1e-3 * spread) ** 2))
        grid = np.linspace(np.log(spread[0]), np.log(spread[-1]), 64)
        smooth = gaussian_filter1d(np.interp(grid, np.log(spread), level), 3, mode="nearest")
        return np.exp(grid), np.exp(0.5 * smooth - grid)
