"""Draw the members of one tile: the backbone runs once, the head n times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesr.grid import Tile
from bayesr.model.model import Model
from bayesr.observe.agreement import agree_
from bayesr.sampling import noise
from bayesr.sampling.device import autocast, capacity
from bayesr.sampling.moments import Maps, Moments, Variances
from bayesr.sampling.plan import Plan
from bayesr.sampling.running_moments import RunningMoments


@dataclass
class Drawn:
    """A tile in network units: the moments of members, and the members in order, `member x band x y x x`, if kept."""

    variances: Variances
    samples: Maps | None


@torch.inference_mode()
def members_of(
    model: Model, y: Tensor, bounds: tuple[float, float] | None, tile: Tile, plan: Plan, only: int | None = None
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (numbers, members) of batches of members, in network units.

    Members are `n x band x H x W`, over the core of the tile. The next batch uses their memory again.

    Parameters
    ----------
    model, tile, plan
    y : Tensor
        The window of the image, `band x h x w`, with as many bands as the network takes.
    bounds : (float, float) or None
        Smallest and largest value of a pixel.
    only : int, optional
        Skip every batch without this member.
    """
    y = y.contiguous()  # members do not depend on how the image lies in memory
    network, operator = model.generator, model.forward_operator
    with autocast(y.device, plan.precision):
        shared = network.prepare(y[None].contiguous(memory_format=torch.channels_last))
    if network.backbone_reach:  # members need a smaller halo than the features that they share
        nearer = tile.within(model.halo + plan.reach - network.backbone_reach)
        rows, columns = nearer.part_of(tile)
        shared, y, tile = shared.window(rows, columns), y[..., rows, columns].contiguous(), nearer
    pixels = y.shape[-2] * y.shape[-1]
    batches = list(plan.batches(pixels, capacity(y.device)))
    largest = max(sum(len(members) for _, members in batch) for batch in batches)
    # All batches share this memory, because allocating new pages can cost more than the arithmetic.
    buffer = torch.empty(
        (largest, model.bands, *(network.scale * size for size in y.shape[-2:])), dtype=y.dtype, device=y.device
    )
    latents = torch.empty((largest, *y.shape[-2:], network.latent_channels), dtype=torch.float32, device=y.device)
    for batch in batches:
        numbers = [i for _, members in batch for i in members]
        if only is not None and only not in numbers:
            continue
        z = noise.latents(plan.seed, numbers, tile.window, network.latent_channels, latents).permute(0, 3, 1, 2)
        done, parts = 0, []
        for mask, members in batch:
            part = slice(done, done + len(members))
            masks = network.sampling_masks(noise.MaskNoise(plan.seed, mask)) if network.stochastic else []
            with autocast(y.device, plan.precision):
                if network.latent_channels:
                    network.draw(shared, z[part], masks, buffer[part])
                else:  # without latents, all members of a mask are equal
                    buffer[part] = network.draw(shared, z[part][:1] if network.stochastic else None, masks)
            parts.append((part, plan.operator(mask)))
            done = part.stop
        x = operator.project_onto_data_(buffer[:done], y)
        for part, known in parts:
            if known is not None:
                agree_(known, x[part], y)
        if bounds is not None:
            x = operator.clip_consistently_(x, y, *bounds)
        yield numbers, x[(..., *tile.crop(model.scale))]


def draw(
    model: Model,
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
    """Draw the members of a tile, and accumulate their moments.

    Parameters
    ----------
    model, bounds, tile, plan
        As in `members_of`.
    y : Tensor
        The image's window with all bands, `band x h x w`.
    advance : callable
        Called with the number of members just drawn.
    samples, mask_means : bool
        Whether to keep the members and the means of their masks.
    before : Moments, optional
        Moments of the members before `plan.first`, which the result includes.
    """
    groups = range(0, y.shape[0], model.bands)
    size = tuple(part.stop - part.start for part in tile.crop(model.scale))
    kept = np.empty((plan.new_members, y.shape[0], *size), np.float32) if samples else None
    parts = []
    for band in groups:
        bands = slice(band, band + model.bands)
        running = RunningMoments(plan, None if before is None else before.of_bands(bands), mask_means)
        for members, x in members_of(model, y[bands], bounds, tile, plan):
            running.add(x)
            if kept is not None:
                kept[[i - plan.first for i in members], bands] = x.cpu().numpy()
            advance(len(members) / len(groups))
        parts.append(running.result())
    return Drawn(Variances.of_bands(parts), kept)
