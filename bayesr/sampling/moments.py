r"""Moments of members: their mean, and the split of their variance.

With ``m_k`` and ``s_k^2`` (ddof = 1) the mean and the variance over the L latents of dropout mask k, of K masks:

- ``aleatoric = mean_k s_k^2``,
- ``raw variance = (1 - 1/L) mean_k s_k^2 + var_k(m_k)`` with ddof = 1, which is unbiased,
- ``epistemic = raw variance - aleatoric``.

With one mask the raw variance is that over all members. It is NaN for one member.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.product import MASK_MEANS, Arrays
from bayesr.sampling.plan import Plan

Maps = NDArray[np.float32]
Doubles = NDArray[np.float64]

MOMENT_VARIABLES = ("mean", "aleatoric", "std", "calibration")
"""Variables of a product that its moments follow from, beside `MASK_MEANS`."""


@dataclass
class Moments:
    """What is known of members that were drawn before, in network units.

    Attributes
    ----------
    count : int
        Number of members.
    means : ndarray
        Mean over the members of each mask, `mask x band x y x x`.
    within : ndarray
        Sum of squared deviations of members from the mean of their mask, `band x y x x`.
    """

    count: int
    means: Maps
    within: Maps

    def of_bands(self, bands: slice) -> Moments:
        """Return the moments of some bands."""
        return Moments(self.count, self.means[:, bands], self.within[bands])


@dataclass
class Variances:
    """Moments of all members of a tile, in network units, `band x y x x`.

    Attributes
    ----------
    mean, raw, aleatoric : ndarray
        Mean, raw variance, and aleatoric variance.
    mask_means : ndarray
        Deviations of the means of all masks but the last from `mean`, `mask x band x y x x`; no masks where these were
        not asked for.
    """

    mean: Maps
    raw: Maps
    aleatoric: Maps
    mask_means: Maps

    @classmethod
    def of_bands(cls, parts: list[Variances]) -> Variances:
        """Concatenate the bands of several parts."""
        if len(parts) == 1:
            return parts[0]
        mean, raw, aleatoric = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("mean", "raw", "aleatoric")
        )
        return cls(mean, raw, aleatoric, np.concatenate([part.mask_means for part in parts], axis=1))


class RunningMoments:
    """Accumulate the moments of members that arrive mask by mask.

    Sums are of deviations from the first member, or from the mean of earlier members. These are as small as the
    spread, so that no digits cancel.

    Parameters
    ----------
    plan : Plan
        The members that will arrive.
    before : Moments, optional
        Moments of the members before `plan.first`, which the result includes.
    mask_means : bool
        Whether the means of masks are part of the result.
    """

    def __init__(self, plan: Plan, before: Moments | None, mask_means: bool) -> None:
        self._plan, self._before = plan, before
        self._means: list[Tensor] | None = [] if mask_means else None
        self._latents = plan.drawn // plan.masks
        self._seen = self._mask = 0
        self._origin: Tensor

    @torch.inference_mode()
    def add(self, members: Tensor) -> None:
        """Add a batch of members of one mask, `n x band x y x x`."""
        if self._mask == self._seen == 0:
            first = members[0] if self._before is None else torch.from_numpy(self._before.means[0]).to(members.device)
            self._origin = first.clone()
            self._sum, self._squares, self._between, self._between_squares, self._within = (
                torch.zeros_like(self._origin) for _ in range(5)
            )
            if self._before is not None:
                self._within += torch.from_numpy(self._before.within).to(members.device)
        for member in members:
            deviation = member - self._origin
            self._sum.add_(deviation)
            self._squares.addcmul_(deviation, deviation)
        self._seen += len(members)
        if self._seen == self._latents:
            self._finish_mask()

    def _finish_mask(self) -> None:
        mean = self._sum / self._latents
        self._within.add_(self._squares.addcmul_(self._sum, mean, value=-1).clamp_(min=0))
        if self._before is not None:
            # The earlier and the new members of a mask have different means, which adds to the sum of squares.
            old, new = self._before.count // self._plan.masks, self._latents
            known = torch.from_numpy(self._before.means[self._mask]).to(mean.device) - self._origin
            gap = mean - known
            self._within.addcmul_(gap, gap, value=old * new / (old + new))
            mean = known.add_(gap, alpha=new / (old + new))
        self._between.add_(mean)
        self._between_squares.addcmul_(mean, mean)
        if self._means is not None:
            self._means.append(mean.clone())
        self._sum.zero_()
        self._squares.zero_()
        self._seen, self._mask = 0, self._mask + 1

    @torch.inference_mode()
    def result(self) -> Variances:
        """Return the moments of all members; call it once, after the last member."""
        masks, latents = self._plan.masks, self._plan.n // self._plan.masks
        deviation = self._between / masks
        nan = torch.full_like(deviation, math.nan)
        within = self._within.div_(masks * (latents - 1)) if latents > 1 else nan
        if masks > 1:
            between = self._between_squares.addcmul_(self._between, self._between, value=-1 / masks)
            raw = between.div_(masks - 1).clamp_(min=0)
            if latents > 1:
                raw = raw.add_(within, alpha=1 - 1 / latents)
        else:
            raw = within
        aleatoric = within if masks > 1 and latents > 1 else nan
        apart = [mean - deviation for mean in (self._means or [])[:-1]]
        stacked = torch.stack(apart) if apart else deviation.new_empty((0, *deviation.shape))
        mean = deviation.add_(self._origin)
        return Variances(*(part.cpu().numpy() for part in (mean, raw, aleatoric, stacked)))


def moments_of(arrays: Arrays, n: int, masks: int, value_range: tuple[float, float]) -> Moments:
    """Recover the moments of members from the variables of their product.

    With K masks of L latents each, ``sum_k sum_i (x_ki - m_k)^2 = K (L - 1) aleatoric``, or ``(L - 1)`` times the raw
    variance ``(std / calibration)^2`` where there is one mask.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        `MOMENT_VARIABLES`, and `MASK_MEANS` where there are several masks.
    n, masks : int
        Number of members and of dropout masks.
    value_range : (float, float)
        Of the product.
    """
    low, high = value_range
    width = np.float32(high - low)
    latents = n // masks
    mean = (arrays["mean"] - np.float32(low)) / width
    apart = arrays.get(MASK_MEANS, np.empty((0, *mean.shape), np.float32))
    means = mean + np.concatenate([apart, -apart.sum(0, keepdims=True)])
    if latents == 1:
        within = np.zeros_like(mean)
    elif masks > 1:
        within = np.float32(masks * (latents - 1)) * arrays["aleatoric"] / width**2
    else:
        within = np.float32(latents - 1) * (arrays["std"] / arrays["calibration"] / width) ** 2
    return Moments(n, np.nan_to_num(means), np.nan_to_num(within))


def raw_variance(values: Doubles, masks: Any) -> Doubles:
    """Return the unbiased variance over members.

    Parameters
    ----------
    values : ndarray
        Values of any statistic of the members, `member x ...`.
    masks : ndarray or None
        Dropout mask of each member. Without masks, or where masks have different numbers of members, the variance is
        that over all members.
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
