"""The members of one tile, and their moments as they pass by: the backbone once, the head n times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.grid import Tile
from bayesr.model.model import Model
from bayesr.sampling import noise

Maps = NDArray[np.float32]

_BATCH_PIXELS = 4 * 128 * 128
"""Low-resolution pixels in a batch of members: what fits the caches of a CPU."""
_BATCH = 4


@dataclass(frozen=True)
class Plan:
    """Which members are drawn, how: all that decides their values, but for the image and the model.

    Attributes
    ----------
    n, masks, seed : int
        As of `bayesr.sample`.
    tile : int
        Side of a tile, in low-resolution pixels.
    first : int
        The first member that is drawn, a multiple of `masks`; those before it are known already.
    """

    n: int
    masks: int
    seed: int
    tile: int
    first: int = 0

    def batches(self, pixels: int) -> Iterator[tuple[int, list[int]]]:
        """(mask, members) drawn together: members of one mask, as many as a window of `pixels` allows."""
        size = max(1, min(_BATCH, _BATCH_PIXELS // pixels))
        for mask in range(self.masks):
            members = list(range(self.first + mask, self.n, self.masks))
            for start in range(0, len(members), size):
                yield mask, members[start : start + size]


@dataclass
class Moments:
    """What members leave behind, in network units: enough to go on with more of them.

    Attributes
    ----------
    count : int
        Members.
    means : ndarray
        Of the members of each mask, `mask x band x y x x`.
    within : ndarray
        The sum of squared deviations of members from the mean of their mask, `band x y x x`.
    """

    count: int
    means: Maps
    within: Maps


@dataclass
class Drawn:
    """A tile's members in network units, `band x y x x`: their moments, and what else was asked for.

    Attributes
    ----------
    mean, raw, aleatoric : ndarray
        Mean, raw variance, and the part of it that is between latents.
    mask_means : ndarray or None
        By how much the means of the masks, all but the last, differ from `mean`: `mask x band x y x x`.
    samples : ndarray or None
        The members drawn, `member x band x y x x`, in the order of their numbers.
    """

    mean: Maps
    raw: Maps
    aleatoric: Maps
    mask_means: Maps | None
    samples: Maps | None


@torch.inference_mode()
def members_of(
    network: Model, y: Tensor, bounds: tuple[float, float] | None, tile: Tile, plan: Plan, only: int | None = None
) -> Iterator[tuple[list[int], Tensor]]:
    """(members, x): batches of members, x of shape `n x band x H x W`, of a tile's window, in network units.

    `y` is the window, `band x h x w`, with as many bands as the network takes; `bounds` are the least and the most
    that a pixel can be. `only` skips every batch without that member. The memory of `x` is used again for the next
    batch.
    """
    y = y.to(memory_format=torch.contiguous_format)
    net, operator = network.generator, network.observation
    shared = net.prepare(y[None].contiguous(memory_format=torch.channels_last))
    pixels = y.shape[-2] * y.shape[-1]
    largest = max(len(members) for _, members in plan.batches(pixels))
    # Memory is taken once and used by every batch: where pages are dear, fresh ones cost more than arithmetic.
    buffer = torch.empty(largest, network.bands, net.scale * y.shape[-2], net.scale * y.shape[-1], device=y.device)
    latents = np.empty((largest, *y.shape[-2:], net.latent_channels), np.float32)
    for mask, members in plan.batches(pixels):
        if only is not None and only not in members:
            continue
        z: Tensor | None = None
        masks: list[Tensor] = []
        if net.stochastic:
            for i, out in zip(members, latents, strict=False):
                noise.latent(plan.seed, i, tile.window, net.latent_channels, out)
            z = torch.from_numpy(latents[: len(members)]).to(y.device).permute(0, 3, 1, 2)
            masks = net.sampling_masks(noise.MaskNoise(plan.seed, mask))
        if net.latent_channels or not net.stochastic:
            x = net.draw(shared, z, masks, buffer)
        else:  # members of one mask are one image
            x = net.draw(shared, z, masks).expand(len(members), -1, -1, -1).contiguous()
        x = operator.project_onto_data_(x, y)
        if bounds is not None:
            x = operator.clip_consistently_(x, y, *bounds)
        yield members, x


def draw(
    network: Model,
    y: Tensor,
    bounds: tuple[float, float] | None,
    tile: Tile,
    plan: Plan,
    advance: Callable[[float], None],
    *,
    samples: bool = False,
    mask_means: bool = False,
    before: Moments | None = None,
) -> Drawn:
    """Draw members of a tile, all bands of its window `y`, and keep their running moments.

    Parameters
    ----------
    samples, mask_means : bool
        Whether the members themselves and the means of their masks are wanted.
    before : Moments, optional
        Of the members before `plan.first`, which the moments then include.
    """
    groups = range(0, y.shape[0], network.bands)
    size = tuple(part.stop - part.start for part in tile.crop(network.scale))
    kept = np.empty((plan.n - plan.first, y.shape[0], *size), np.float32) if samples else None
    parts = []
    for band in groups:
        part = slice(band, band + network.bands)
        batches = members_of(network, y[part], bounds, tile, plan)
        known = None if before is None else Moments(before.count, before.means[:, part], before.within[part])
        running = _Running(plan, known, mask_means)
        for members, x in batches:
            inside = x[(..., *tile.crop(network.scale))]
            running.add(inside)
            if kept is not None:
                kept[[i - plan.first for i in members], part] = inside.cpu().numpy()
            advance(len(members) / len(groups))
        parts.append(running.moments())
    if len(parts) == 1:
        mean, raw, aleatoric, masks = parts[0]
    else:
        mean, raw, aleatoric = (np.concatenate([part[i] for part in parts]) for i in range(3))
        masks = np.concatenate([part[3] for part in parts], axis=1)
    return Drawn(mean, raw, aleatoric, masks if mask_means else None, kept)


class _Running:
    """Moments of members that come mask by mask.

    Sums are of deviations from the first member (or the mean of those before), which are as small as the spread: no
    digits cancel.
    """

    def __init__(self, plan: Plan, before: Moments | None, mask_means: bool) -> None:
        self._plan, self._before = plan, before
        self._means: list[Tensor] | None = [] if mask_means else None
        self._latents = (plan.n - plan.first) // plan.masks
        self._seen = self._mask = 0
        self._middle: Tensor

    @torch.inference_mode()
    def add(self, members: Tensor) -> None:
        """A batch of members of one mask, `n x band x y x x`."""
        if self._mask == self._seen == 0:
            first = members[0] if self._before is None else torch.from_numpy(self._before.means[0]).to(members.device)
            self._middle = first.clone()
            self._sum, self._squares, self._between, self._between_squares, self._within = (
                torch.zeros_like(self._middle) for _ in range(5)
            )
            if self._before is not None:
                self._within += torch.from_numpy(self._before.within).to(members.device)
        for member in members:
            deviation = member - self._middle
            self._sum.add_(deviation)
            self._squares.addcmul_(deviation, deviation)
        self._seen += len(members)
        if self._seen == self._latents:
            self._close()

    def _close(self) -> None:
        """All members of a mask are seen."""
        mean = self._sum / self._latents
        self._within.add_(self._squares.addcmul_(self._sum, mean, value=-1).clamp_(min=0))
        if self._before is not None:  # two groups of one mask: their means differ, too
            old, new = self._before.count // self._plan.masks, self._latents
            known = torch.from_numpy(self._before.means[self._mask]).to(mean.device) - self._middle
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
    def moments(self) -> tuple[Maps, Maps, Maps, Maps]:
        """Mean, raw variance, aleatoric, and by how much the means of masks but the last differ from the mean."""
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
        split = masks > 1 and latents > 1
        apart = [mean - deviation for mean in (self._means or [])[:-1]]
        stacked = torch.stack(apart) if apart else deviation.new_empty((0, *deviation.shape))
        mean = deviation.add_(self._middle)
        return mean.cpu().numpy(), raw.cpu().numpy(), (within if split else nan).cpu().numpy(), stacked.cpu().numpy()
