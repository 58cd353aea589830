"""From raw spread to spread that can be trusted: a factor on the standard deviation, and interval widths.

The factor is a continuous function of the raw standard deviation, fitted to squared errors on
held-out images. The half width of an interval, in calibrated standard deviations, is chosen on
other held-out images by conformal risk control: the smallest lambda with

    (N R(lambda) + 1) / (N + 1) <= 1 - level,

where R is the share of missed pixels, averaged over N images. That bounds the *expected* share of
missed pixels of one more image exchangeable with them. It is no promise for each image, for each
pixel, or for another kind of images. Everything here is in the network's units, where
`value_range` is [0, 1].

References
----------
A. Angelopoulos, S. Bates, A. Fisch, L. Lei, T. Schuster, "Conformal Risk Control", 2024, arXiv:2208.02814.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument

Array = NDArray[np.floating]

_BINS = np.geomspace(1e-5, 1.0, 161)
"""Edges of the raw standard deviation's bins."""
LAMBDAS = np.concatenate([[0.0], np.geomspace(0.05, 60.0, 239)])
"""Where the curve of missed pixels is recorded."""


@dataclass(frozen=True)
class Calibration:
    """What calibration learnt.

    Attributes
    ----------
    spread, factor : ndarray
        The factor at increasing values of the raw standard deviation, interpolated between them
        and constant outside. Empty where the model is not calibrated.
    missed : dict of int to ndarray
        For every number of members that was tried, R at `LAMBDAS`.
    images : int
        N, the images that R is an average over.
    source : str
        The images, in words.
    """

    spread: Array = field(default_factory=lambda: np.empty(0))
    factor: Array = field(default_factory=lambda: np.empty(0))
    missed: Mapping[int, Array] = field(default_factory=dict)
    images: int = 0
    source: str = "none: intervals assume a Gaussian and raw spread"

    def factors(self, std: Array) -> NDArray[np.float32]:
        """The factor for every raw standard deviation, of the same shape; 1 where not calibrated."""
        if not self.spread.size:
            return np.where(np.isfinite(std), 1, np.nan).astype(np.float32)
        # Between knots the logarithm of the calibrated spread is linear, so that it never decreases.
        at = np.log(np.clip(std, self.spread[0], self.spread[-1]))
        knots = np.log(self.spread)
        factor: NDArray[np.float32] = np.exp(np.interp(at, knots, knots + np.log(self.factor)) - at).astype(np.float32)
        return factor

    def half_width(self, level: float, n: int) -> float:
        """Lambda(level, n): half the interval's width in calibrated standard deviations.

        Between the numbers of members that were tried, lambda is linear in 1/n; beyond the largest
        it stays there.

        Raises
        ------
        InvalidArgument
            When the level needs more calibration images than there were.
        """
        if not self.missed:
            from scipy.stats import t

            return float(t.ppf(0.5 + level / 2, max(1, n - 1)) * np.sqrt(1 + 1 / n))
        if level > self.images / (self.images + 1):
            raise InvalidArgument(
                f"level={level:g} needs at least {int(np.ceil(level / (1 - level) - 1e-9))} calibration images; this "
                f"model was calibrated on {self.images}, enough for {self.images / (self.images + 1):.4f}."
            )
        counts = np.array(sorted(self.missed))
        widths = [self._smallest(np.asarray(self.missed[int(count)]), level) for count in counts]
        return float(np.interp(1 / n, 1 / counts[::-1], widths[::-1]))

    def _smallest(self, missed: Array, level: float) -> float:
        allowed = ((1 - level) * (self.images + 1) - 1) / self.images
        inside = np.nonzero(missed <= allowed)[0]
        if not inside.size:
            return float(LAMBDAS[-1])
        first = int(inside[0])
        if first == 0:
            return 0.0
        share = (missed[first - 1] - allowed) / (missed[first - 1] - missed[first])
        return float(LAMBDAS[first - 1] + share * (LAMBDAS[first] - LAMBDAS[first - 1]))

    def describe(self) -> dict[str, Any]:
        """Plain values for a model file; `from_description` reads them back."""
        return {
            "spread": [float(f"{v:.6g}") for v in self.spread],
            "factor": [float(f"{v:.6g}") for v in self.factor],
            "missed": {str(n): [round(float(v), 6) for v in curve] for n, curve in self.missed.items()},
            "images": self.images,
            "source": self.source,
        }

    @classmethod
    def from_description(cls, plain: Mapping[str, Any]) -> Calibration:
        return cls(
            np.asarray(plain["spread"], float),
            np.asarray(plain["factor"], float),
            {int(n): np.asarray(curve, float) for n, curve in plain["missed"].items()},
            int(plain["images"]),
            plain["source"],
        )


class FactorFit:
    """Collects raw variances and squared errors, image by image, and fits the factor."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, len(_BINS) - 1))

    def add(self, raw_variance: Array, error: Array, n: int) -> None:
        """One image: `error` is the truth minus the mean of n members; arrays of one shape."""
        variance, squared = np.ravel(raw_variance), np.ravel(error).astype(float) ** 2 / (1 + 1 / n)
        where = np.clip(np.searchsorted(_BINS, np.sqrt(variance)) - 1, 0, len(_BINS) - 2)
        for row, weights in zip(self._sums, (None, variance, squared), strict=True):
            row += np.bincount(where, weights, len(_BINS) - 1)

    def fit(self) -> tuple[Array, Array]:
        """(spread, factor): the root of the isotonic mean squared error, smoothed, over the spread.

        Steps would break the agreement of tiles, so the isotonic fit is smoothed along the
        logarithm of the spread; smoothing keeps it increasing. Outermost bins hold at least a
        thousandth of all pixels, which floors the map.
        """
        from scipy.ndimage import gaussian_filter1d
        from scipy.optimize import isotonic_regression

        count, variance, squared = self._sums
        share = np.cumsum(count) / count.sum()
        keep = (count > 0) & (share > 1e-3) & (share - count / count.sum() < 1 - 1e-3)
        if keep.sum() < 2:
            keep = count > 0
        spread = np.sqrt(variance[keep] / count[keep])
        rising = isotonic_regression(squared[keep] / count[keep], weights=count[keep]).x
        level = np.log(np.maximum(rising, (1e-3 * spread) ** 2))
        grid = np.linspace(np.log(spread[0]), np.log(spread[-1]), 64)
        smooth = gaussian_filter1d(np.interp(grid, np.log(spread), level), 3, mode="nearest")
        return np.exp(grid), np.exp(0.5 * smooth - grid)


def missed_curve(std: Array, error: Array, quantum: float) -> Array:
    """The share of pixels outside the interval, at every one of `LAMBDAS`.

    Parameters
    ----------
    std : ndarray
        Calibrated standard deviations.
    error : ndarray
        Truth minus mean, of the same shape.
    quantum : float
        The step of integer data, half of which every interval includes on either side.
    """
    distance = np.maximum(np.abs(error) - quantum / 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(distance > 0, distance / std, 0)
    ordered = np.sort(np.ravel(ratio))
    curve: Array = 1 - np.searchsorted(ordered, LAMBDAS, side="right") / ordered.size
    return curve
