"""Accumulate the moments of members where they are drawn; see `bayesr.sampling.moments` for formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bayesr.sampling.moments import Moments, Variances
from bayesr.sampling.plan import Plan


class RunningMoments:
    """Accumulate the moments of members that arrive mask by mask, including those drawn `before`, if any.

    Deviations are taken from the first member, or from the mean of earlier members. They are as small as the spread,
    which avoids cancellation.
    """

    def __init__(self, plan: Plan, before: Moments | None, mask_means: bool) -> None:
        self._plan, self._before = plan, before
        self._means: list[Tensor] | None = [] if mask_means else None
        self._latents = plan.new_members // plan.masks
        self._seen = self._mask = 0
        self._origin: Tensor

    @torch.inference_mode()
    def add(self, members: Tensor) -> None:
        """Add a batch of members in the order of masks, `n x band x y x x`."""
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
            self._seen += 1
            if self._seen == self._latents:
                self._finish_mask()

    def _finish_mask(self) -> None:
        mean = self._sum / self._latents
        self._within.add_(self._squares.addcmul_(self._sum, mean, value=-1).clamp_(min=0))
        if self._before is not None:
            # The means of a mask's earlier and new members differ, which adds to the sum of squares.
            old, new = self._before.count // self._plan.masks, self._latents
            earlier = torch.from_numpy(self._before.means[self._mask]).to(mean.device) - self._origin
            gap = mean - earlier
            self._within.addcmul_(gap, gap, value=old * new / (old + new))
            mean = earlier.add_(gap, alpha=new / (old + new))
        self._between.add_(mean)
        self._between_squares.addcmul_(mean, mean)
        if self._means is not None:
            self._means.append(mean.clone())
        self._sum.zero_()
        self._squares.zero_()
        self._seen, self._mask = 0, self._mask + 1

    @torch.inference_mode()
    def result(self) -> Variances:
        """Return the moments of all members; call it once, at the end."""
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
