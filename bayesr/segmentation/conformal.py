"""Split conformal prediction: intervals of members, widened to the promised coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesr.errors import InvalidArgument

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Conformal:
    """A fitted widening of intervals.

    Attributes
    ----------
    level : float
        Coverage of widened intervals, averaged over images exchangeable with those of the fit.
    margin : float
        In units of the scale; negative if the intervals were too wide.
    images : int
        Number of images of the fit.
    """

    level: float
    margin: float
    images: int

    def apply(self, lower: ArrayLike, upper: ArrayLike, scale: ArrayLike | None = None) -> tuple[Doubles, Doubles]:
        """Return ``lower - margin scale`` and ``upper + margin scale``, or the midpoint twice if these would cross."""
        low, high, unit = _checked(lower, upper, scale)
        low, high = low - self.margin * unit, high + self.margin * unit
        midpoint = (low + high) / 2
        return np.minimum(low, midpoint), np.maximum(high, midpoint)


def fit(
    lower: ArrayLike, upper: ArrayLike, truth: ArrayLike, *, level: float = 0.9, scale: ArrayLike | None = None
) -> Conformal:
    """Fit the margin on one value per image with known truth: a count, an area, a regional mean.

    With ``s_i = max(lower_i - truth_i, truth_i - upper_i) / scale_i``, the margin is the ``ceil((N + 1) level)``-th
    smallest of the N values s_i. The widened interval of one more image, exchangeable with these, contains its truth
    with a probability of at least `level` (and at most level + 1/(N + 1) if no two s_i are equal).

    Parameters
    ----------
    lower, upper : array_like
        Intervals of N images, from `bayesr.segment` or `bayesr.aggregate`.
    truth : array_like
        True values of these images.
    level : float
        Coverage, in (0, 1).
    scale : array_like, optional
        Positive values proportional to the expected errors. The default suits counts: the square root of 1 + the
        midpoint of the interval, or 1 if that is negative.

    Raises
    ------
    InvalidArgument
        If the level lies outside (0, 1), values are not finite or differ in length, or there are too few images.

    References
    ----------
    Y. Romano, E. Patterson, E. Candès, "Conformalized quantile regression", 2019, arXiv:1905.03222.

    Examples
    --------
    >>> from bayesr.segmentation import conformal
    >>> widening = conformal.fit([9] * 19, [11] * 19, range(1, 20), level=0.9, scale=[1] * 19)
    >>> widening.margin, widening.apply(9, 11, 1)
    (8.0, (np.float64(1.0), np.float64(19.0)))
    """
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for 90% intervals), not {level!r}.")
    low, high, unit = _checked(lower, upper, scale)
    true = np.asarray(truth, np.float64)
    if true.shape != low.shape or true.ndim != 1 or not np.isfinite(true).all():
        raise InvalidArgument(f"There must be one finite truth per interval, not {true.shape} for {low.shape}.")
    count = true.size
    rank = math.ceil((count + 1) * level - 1e-9)
    if rank > count:
        raise InvalidArgument(
            f"{count} images are too few for level {level:g}: give at least {math.ceil(level / (1 - level) - 1e-9)}."
        )
    scores = np.sort(np.maximum(low - true, true - high) / unit)
    return Conformal(level, float(scores[rank - 1]), count)


def _checked(lower: ArrayLike, upper: ArrayLike, scale: ArrayLike | None) -> tuple[Doubles, Doubles, Doubles]:
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    if low.shape != high.shape or not (np.isfinite(low).all() and np.isfinite(high).all()) or (low > high).any():
        raise InvalidArgument("Intervals must be finite, their lower ends at most their upper ends, one per image.")
    unit: Any = np.sqrt(1 + np.maximum((low + high) / 2, 0)) if scale is None else np.asarray(scale, np.float64)
    if not (np.isfinite(unit) & (unit > 0)).all():
        raise InvalidArgument("The scale must be finite and positive.")
    return low, high, np.broadcast_to(unit, low.shape)
