"""Moments of members: their mean, and the split of their variance.

With ``m_k`` and ``s_k^2`` (ddof = 1) the mean and the variance over the L latents of dropout mask k, of K masks:

- ``aleatoric = mean_k s_k^2``,
- ``raw variance = (1 - 1/L) mean_k s_k^2 + var_k(m_k)`` with ddof = 1, which is unbiased,
- ``epistemic = raw variance - aleatoric``.

With one mask, the raw variance is that over all members. It is NaN for one member.

This module uses NumPy; `bayesr.sampling.running_moments` accumulates the same moments on the network's device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.product import MASK_MEANS, Arrays

Maps = NDArray[np.float32]
Doubles = NDArray[np.float64]

MOMENT_VARIABLES = ("mean", "aleatoric", "std", "calibration")
"""Variables that a product's moments follow from, beside `MASK_MEANS`."""


@dataclass
class Moments:
    """Moments of `count` members that were drawn before, in network units.

    Attributes
    ----------
    means : ndarray
        Mean over each mask's members, `mask x band x y x x`.
    within : ndarray
        Sum of squared deviations of members from the mean of their mask, `band x y x x`.
    """

    count: int
    means: Maps
    within: Maps

    def of_bands(self, bands: slice) -> Moments:
        return Moments(self.count, self.means[:, bands], self.within[bands])


@dataclass
class Variances:
    """Moments of all members of a tile, in network units, `band x y x x`.

    `mask_means` has the deviations of the means of all masks but the last from `mean`, `mask x band x y x x`; it has no
    masks unless these are asked for.
    """

    mean: Maps
    raw: Maps
    aleatoric: Maps
    mask_means: Maps

    @classmethod
    def of_bands(cls, parts: list[Variances]) -> Variances:
        if len(parts) == 1:
            return parts[0]
        mean, raw, aleatoric = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("mean", "raw", "aleatoric")
        )
        return cls(mean, raw, aleatoric, np.concatenate([part.mask_means for part in parts], axis=1))


def moments_of(arrays: Arrays, n: int, masks: int, value_range: tuple[float, float]) -> Moments:
    """Recover the moments of members from variables of their product: `MOMENT_VARIABLES`, and `MASK_MEANS` if any.

    With K masks of L latents each, ``sum_k sum_i (x_ki - m_k)^2 = K (L - 1) aleatoric``, or ``(L - 1)`` times the raw
    variance ``(std / calibration)^2`` with one mask.
    """
    low, high = value_range
    number = arrays["mean"].dtype.type
    width = number(high - low)
    latents = n // masks
    mean = ((arrays["mean"] - number(low)) / width).astype(np.float32)
    apart = arrays.get(MASK_MEANS, np.empty((0, *mean.shape), np.float32))
    means = mean + np.concatenate([apart, -apart.sum(0, keepdims=True)])
    if latents == 1:
        within = np.zeros_like(mean)
    elif masks > 1:
        within = number(masks * (latents - 1)) * arrays["aleatoric"] / width**2
    else:
        within = number(latents - 1) * (arrays["std"] / arrays["calibration"] / width) ** 2
    return Moments(n, np.nan_to_num(means), np.nan_to_num(within).astype(np.float32))


def raw_variance(values: Doubles, masks: Any) -> Doubles:
    """Return the unbiased variance over members of any statistic `values`, `member x ...`.

    Without the dropout `masks` of members, or if these have different numbers of members, it is that over all members.
    """
    numbers, counts = (np.arange(1), np.array([len(values)])) if masks is None else np.unique(masks, return_counts=True)
    latents = int(counts[0])
    if numbers.size == 1 or latents == 1 or (counts != latents).any():
        pooled: Doubles = values.var(0, ddof=1)
        return pooled
    groups = np.stack([values[masks == k] for k in numbers])
    within: Doubles = groups.var(1, ddof=1).mean(0)
    between: Doubles = groups.mean(1).var(0, ddof=1)
    return (1 - 1 / latents) * within + between
