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

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.floating]

SPREADS = np.geomspace(1e-5, 1.0, 161)
"""Edges of the standard deviation's bins."""
_MOST = 8.0
"""The largest factor."""
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
    provenance : dict
        What else a reader needs: how many images fitted the factor, the checksum of all pixels, seed,
        date, version, and the model with the checksum of its weights.
    coverage : dict
        Plain tables of how well the intervals held (`bayesr.calibration.coverage`); `dataset` presents them.
    """

    spread: Array = field(default_factory=lambda: np.empty(0))
    factor: Array = field(default_factory=lambda: np.empty(0))
    missed: Mapping[int, Array] = field(default_factory=dict)
    images: int = 0
    source: str = "none: intervals assume a Gaussian and raw spread"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    coverage: Mapping[str, Any] = field(default_factory=dict)

    def factors(self, std: Array) -> NDArray[np.float32]:
        """The factor for every raw standard deviation, of the same shape; 1 where not calibrated.

        At most `_MOST`: members are accurate to about 1e-6 of the value range, and what they do not differ by more
        than that, as where all are saturated, must not grow into a spread that depends on how an image is tiled.
        """
        if not self.spread.size:
            return np.where(np.isfinite(std), 1, np.nan).astype(np.float32)
        # Between knots the logarithm of the calibrated spread is linear, so that it never decreases.
        at = np.log(np.clip(std, self.spread[0], self.spread[-1]))
        knots = np.log(self.spread)
        factor: NDArray[np.float32] = np.exp(np.interp(at, knots, knots + np.log(self.factor)) - at).astype(np.float32)
        return np.minimum(factor, np.float32(_MOST))

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
        if level > largest_level(self.images):
            raise InvalidArgument(
                f"level={level:g} needs at least {images_for(level)} calibration images; this "
                f"model was calibrated on {self.images}, enough for {largest_level(self.images):.4f}."
            )
        counts = np.array(sorted(self.missed))
        widths = [smallest_lambda(np.asarray(self.missed[int(count)]), level, self.images) for count in counts]
        return float(np.interp(1 / n, 1 / counts[::-1], widths[::-1]))

    def dataset(self) -> xr.Dataset:
        """Calibration as a Dataset, for plots and stores.

        Returns
        -------
        Dataset
            - ``lambda(level, n)``: half the width of the interval in calibrated standard deviations;
            - ``factor(raw_std)``: the factor on the raw standard deviation;
            - ``coverage(level)`` with its ``standard_error`` between images, ``median`` and ``worst``
              image, and ``width(level)``, before clipping to an integer type's bounds;
            - ``coverage_by_border(level, border)``, where ``border`` is the least distance to the border
              of the image: 0, 1, 2, 4, 8, 16, 32 low-resolution pixels or more;
            - ``std(spread)``, ``rmse(spread)``, ``pixels(spread)``: calibrated standard deviation and
              error of the mean in 16 classes of about equally many pixels; they should be equal.

            Standard deviations, errors and widths are in units of the width of `value_range`. All is
            of images that did not fit the factor, for 32 members; every image's coverage is that of
            the lambda which the *other* images give. NaN where a level leaves too few of those. Models
            calibrated before these tables were recorded have ``lambda`` and ``factor`` alone.
            Attributes say how many images, which, and when.

        Raises
        ------
        InvalidArgument
            When the model is not calibrated.
        """
        from bayesr.calibration.coverage import dataset

        return dataset(self)

    def describe(self) -> dict[str, Any]:
        """Plain values for a model file; `from_description` reads them back."""
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
        return cls(
            np.asarray(plain["spread"], float),
            np.asarray(plain["factor"], float),
            {int(n): np.asarray(curve, float) for n, curve in plain["missed"].items()},
            int(plain["images"]),
            plain["source"],
            plain.get("provenance", {}),  # model files of version 0.1.0 have neither
            plain.get("coverage", {}),
        )


def largest_level(images: int) -> float:
    """``N / (N + 1)``: the largest level that N images support."""
    return images / (images + 1)


def images_for(level: float) -> int:
    """``level / (1 - level)``, rounded up: the fewest images that support a level."""
    return math.ceil(level / (1 - level) - 1e-9)


def smallest_lambda(missed: Array, level: float, images: int) -> float:
    """The smallest lambda with ``(N R(lambda) + 1) / (N + 1) <= 1 - level``, linear between `LAMBDAS`.

    Parameters
    ----------
    missed : ndarray
        R at `LAMBDAS`, decreasing: the share of missed pixels, averaged over images.
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


def spread_bin(std: Array) -> NDArray[np.intp]:
    """The bin of `SPREADS` of every standard deviation; the outermost take what lies beyond."""
    return np.clip(np.searchsorted(SPREADS, std) - 1, 0, len(SPREADS) - 2)


class FactorFit:
    """Collects raw variances and squared errors, image by image, and fits the factor."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, len(SPREADS) - 1))

    def add(self, raw_variance: Array, error: Array, n: int) -> None:
        """One image: `error` is the truth minus the mean of n members; arrays of one shape, NaN where unknown."""
        known = np.isfinite(error) & np.isfinite(raw_variance)
        variance, squared = raw_variance[known], error[known].astype(float) ** 2 / (1 + 1 / n)
        where = spread_bin(np.sqrt(variance))
        for row, weights in zip(self._sums, (None, variance, squared), strict=True):
            row += np.bincount(where, weights, len(SPREADS) - 1)

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
        spread_out = (count > 0) & (variance > 0)  # where all members are clipped to a bound they do not spread
        keep = spread_out & (share > 1e-3) & (share - count / count.sum() < 1 - 1e-3)
        if keep.sum() < 2:
            keep = spread_out
        spread = np.sqrt(variance[keep] / count[keep])
        rising = isotonic_regression(squared[keep] / count[keep], weights=count[keep]).x
        level = np.log(np.maximum(rising, (1e-3 * spread) ** 2))
        grid = np.linspace(np.log(spread[0]), np.log(spread[-1]), 64)
        smooth = gaussian_filter1d(np.interp(grid, np.log(spread), level), 3, mode="nearest")
        return np.exp(grid), np.exp(0.5 * smooth - grid)


def missed_curve(std: Array, error: Array, quantisation_step: float) -> Array:
    """The share of pixels outside the interval, at every one of `LAMBDAS`.

    Parameters
    ----------
    std : ndarray
        Calibrated standard deviations.
    error : ndarray
        Truth minus mean, of the same shape.
    quantisation_step : float
        The step of integer data, half of which every interval includes on either side.
    """
    known = np.isfinite(error) & np.isfinite(std)
    error, std = error[known], std[known]
    distance = np.maximum(np.abs(error) - quantisation_step / 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(distance > 0, distance / std, 0)
    ordered = np.sort(ratio)
    curve: Array = 1 - np.searchsorted(ordered, LAMBDAS, side="right") / ordered.size
    return curve
