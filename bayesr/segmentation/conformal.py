"""Intervals that members give, widened until they hold the truth as often as they say: split conformal prediction."""

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
    """How much intervals are widened.

    Attributes
    ----------
    level : float
        Share of images whose truth the widened interval holds, on average over images like those of the fit.
    margin : float
        In units of the scale; negative where intervals were too wide.
    images : int
        That it was fitted on.
    """

    level: float
    margin: float
    images: int

    def apply(self, lower: ArrayLike, upper: ArrayLike, scale: ArrayLike | None = None) -> tuple[Doubles, Doubles]:
        """``[lower - margin scale, upper + margin scale]``; an interval that would turn inside out is its middle."""
        low, high, unit = _given(lower, upper, scale)
        low, high = low - self.margin * unit, high + self.margin * unit
        middle = (low + high) / 2
        return np.minimum(low, middle), np.maximum(high, middle)


def fit(
    lower: ArrayLike, upper: ArrayLike, truth: ArrayLike, *, level: float = 0.9, scale: ArrayLike | None = None
) -> Conformal:
    """Fit the margin on images whose truth is known, one value an image: counts, areas, regional means.

    With ``s_i = max(lower_i - truth_i, truth_i - upper_i) / scale_i``, the margin is the ``ceil((N + 1) level)``-th
    smallest of the N values s_i. The interval of one more image, exchangeable with these, holds its truth with a
    probability of at least `level` (and at most level + 1/(N + 1), where no two s_i are equal). It is no promise for
    images of another kind.

    Parameters
    ----------
    lower, upper : array_like
        Of N images: intervals of members, as `bayesr.segment` and `bayesr.aggregate` give them.
    truth : array_like
        Of the same images.
    level : float
        In (0, 1).
    scale : array_like, optional
        Positive: in proportion to the errors that are expected. By default the root of 1 + the middle of the
        interval, or of 1 where that is negative: right for counts.

    Raises
    ------
    InvalidArgument
        For a level outside (0, 1), values that are not finite or of different lengths, or too few images.

    References
    ----------
    Y. Romano, E. Patterson, E. Candès, "Conformalized quantile regression", 2019, arXiv:1905.03222.

    Examples
    --------
    >>> from bayesr.segmentation import conformal
    >>> found = conformal.fit([9] * 19, [11] * 19, range(1, 20), level=0.9, scale=[1] * 19)
    >>> found.margin, found.apply(9, 11, 1)
    (8.0, (np.float64(1.0), np.float64(19.0)))
    """
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for 90% intervals), not {level!r}.")
    low, high, unit = _given(lower, upper, scale)
    true = np.asarray(truth, np.float64)
    if true.shape != low.shape or true.ndim != 1 or not np.isfinite(true).all():
        raise InvalidArgument(f"There must be one finite truth an interval, not {true.shape} for {low.shape}.")
    count = true.size
    rank = math.ceil((count + 1) * level - 1e-9)
    if rank > count:
        raise InvalidArgument(
            f"{count} images are too few for level {level:g}: give at least {math.ceil(level / (1 - level) - 1e-9)}."
        )
    scores = np.sort(np.maximum(low - true, true - high) / unit)
    return Conformal(level, float(scores[rank - 1]), count)


def _given(lower: ArrayLike, upper: ArrayLike, scale: ArrayLike | None) -> tuple[Doubles, Doubles, Doubles]:
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    if low.shape != high.shape or not (np.isfinite(low).all() and np.isfinite(high).all()) or (low > high).any():
        raise InvalidArgument("Intervals must be finite, their lower ends at most their upper ends, one an image.")
    unit: Any = np.sqrt(1 + np.maximum((low + high) / 2, 0)) if scale is None else np.asarray(scale, np.float64)
    if not (np.isfinite(unit) & (unit > 0)).all():
        raise InvalidArgument("The scale must be finite and positive.")
    return low, high, np.broadcast_to(unit, low.shape)
