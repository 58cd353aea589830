"""The members of one tile, and their moments as they pass by: the trunk once, the tail n times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr import noise
from bayesr.grid import Tile
from bayesr.images import Image
from bayesr.model import Model
from bayesr.networks.generator import Generator
from bayesr.networks.tail import StochasticTail

_BATCH_PIXELS = 4 * 128 * 128
"""Low-resolution pixels in a batch of members: what fits the caches of a CPU."""
_BATCH = 4


@dataclass(frozen=True)
class Plan:
    """Which members are drawn, how: all that decides their values, but for the image and the model."""

    n: int
    masks: int
    seed: int
    tile: int
    device: torch.device

    def batches(self, pixels: int) -> Iterator[tuple[int, list[int]]]:
        """(mask, members) drawn together: members of one mask, as many as a window of `pixels` allows."""
        size = max(1, min(_BATCH, _BATCH_PIXELS // pixels))
        for mask in range(self.masks):
            members = list(range(mask, self.n, self.masks))
            for start in range(0, len(members), size):
                yield mask, members[start : start + size]


@dataclass
class Drawn:
    """Moments of a tile's members in network units, `band x y x x`, and the members where they are kept."""

    mean: NDArray[np.float32]
    raw: NDArray[np.float32]
    aleatoric: NDArray[np.float32]
    samples: NDArray[np.float32] | None


@torch.inference_mode()
def members_of(
    network: Model, low: Tensor, image: Image, tile: Tile, plan: Plan, only: int | None = None
) -> Iterator[tuple[list[int], Tensor]]:
    """(members, x): batches of members, x of shape `n x band x H x W`, of a tile's window, in network units.

    `low` holds as many bands as the network takes. `only` skips every batch without that member. The
    memory of `x` is used again for the next batch.
    """
    top, bottom, left, right = tile.window
    y = low[:, top:bottom, left:right].to(memory_format=torch.contiguous_format)
    net, operator = network.generator, network.observation
    shared = net.prepare(y[None].contiguous(memory_format=torch.channels_last))
    bounds = None if image.bounds is None else (image.to_network(image.bounds[0]), image.to_network(image.bounds[1]))
    pixels = y.shape[-2] * y.shape[-1]
    largest = max(len(members) for _, members in plan.batches(pixels))
    # Memory is taken once and used by every batch: where pages are dear, fresh ones cost more than arithmetic.
    buffer = torch.empty(largest, network.bands, net.scale * y.shape[-2], net.scale * y.shape[-1], device=plan.device)
    latents = np.empty((largest, *y.shape[-2:], net.latent_channels), np.float32)
    for mask, members in plan.batches(pixels):
        if only is not None and only not in members:
            continue
        z: Tensor | None = None
        masks: list[Tensor] = []
        if net.tail is not None:
            for i, out in zip(members, latents, strict=False):
                noise.latent(plan.seed, i, tile.window, net.latent_channels, out)
            z = torch.from_numpy(latents[: len(members)]).to(plan.device).permute(0, 3, 1, 2)
            masks = _masks(net, plan, mask)
        if net.latent_channels or net.tail is None:
            x = net.draw(shared, z, masks, buffer)
        else:  # members of one mask are one image
            x = net.draw(shared, z, masks).expand(len(members), -1, -1, -1).contiguous()
        x = operator.constrain_(x, y)
        if bounds is not None:
            x = operator.confine_(x, y, *bounds)
        yield members, x


def _masks(net: Generator, plan: Plan, mask: int) -> list[Tensor]:
    """The dropout masks of a mask's number, one a layer; the number itself for an ensemble; none without dropout."""
    tail = net.tail
    if net.most_masks:
        return [torch.tensor(mask)]
    if not isinstance(tail, StochasticTail):
        return []
    if tail.gaussian:
        normal = noise.normal_mask(plan.seed, mask, tail.mask_sizes)
        return tail.masks([torch.from_numpy(e)[None].to(plan.device) for e in normal])
    kept = noise.dropout(plan.seed, mask, tail.rates().cpu().numpy(), tail.width)
    return list(torch.from_numpy(kept).to(plan.device)[:, None, :, None, None])


def draw(
    network: Model,
    low: Tensor,
    image: Image,
    tile: Tile,
    plan: Plan,
    keep: bool,
    advance: Callable[[float], None],
) -> Drawn:
    """Draw every member of a tile and keep its running moments.

    Sums are of deviations from the first member, which are as small as the spread: no digits cancel.
    """
    parts = []
    groups = range(0, low.shape[0], network.bands)
    for band in groups:
        part = slice(band, band + network.bands)
        kept: list[tuple[list[int], NDArray[np.float32]]] = []
        latents = plan.n // plan.masks
        inside = (..., *tile.crop(network.scale))
        totals: Tensor | None = None  # of m_k, m_k^2, s_k^2, over masks; then of d, d^2 within a mask
        seen = 0
        for members, x in members_of(network, low[part], image, tile, plan):
            if totals is None:
                middle = x[0][inside].clone()
                totals = torch.zeros((5, *middle.shape), device=plan.device)
            for member in x:
                deviation = member[inside] - middle
                totals[3].add_(deviation)
                totals[4].addcmul_(deviation, deviation)
            seen += len(members)
            if seen == latents:
                mean = totals[3] / latents
                totals[0].add_(mean)
                totals[1].addcmul_(mean, mean)
                if latents > 1:
                    squares = totals[4].addcmul_(totals[3], mean, value=-1).clamp_(min=0)
                    totals[2].add_(squares, alpha=1 / (latents - 1))
                totals[3:].zero_()
                seen = 0
            if keep:
                kept.append((members, x[inside].cpu().numpy().copy()))
            advance(len(members) / len(groups))
        assert totals is not None
        parts.append(moments_of(totals, middle, plan, kept))
    if len(parts) == 1:
        return parts[0]
    return Drawn(
        np.concatenate([p.mean for p in parts]),
        np.concatenate([p.raw for p in parts]),
        np.concatenate([p.aleatoric for p in parts]),
        np.concatenate([p.samples for p in parts if p.samples is not None], axis=1) if keep else None,
    )


def moments_of(totals: Tensor, middle: Tensor, plan: Plan, kept: list[tuple[list[int], NDArray[np.float32]]]) -> Drawn:
    masks, latents = plan.masks, plan.n // plan.masks
    mean = (totals[0] / masks).add_(middle)
    within = totals[2] / masks
    nan = torch.full_like(within, math.nan)
    if masks > 1:
        between = (totals[1].addcmul_(totals[0], totals[0], value=-1 / masks) / (masks - 1)).clamp_(min=0)
        raw = between if latents == 1 else between.add_(within, alpha=1 - 1 / latents)
    else:
        raw = within if latents > 1 else nan
    samples = None
    if kept:
        samples = np.empty((plan.n, *mean.shape), np.float32)
        for members, x in kept:
            samples[members] = x
    split = masks > 1 and latents > 1
    return Drawn(mean.cpu().numpy(), raw.cpu().numpy(), (within if split else nan).cpu().numpy(), samples)
