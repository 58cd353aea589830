"""Recipes of a size that minutes on a CPU can train: equal patches and batches, and networks of like cost.

At their published sizes most systems would see a few hundred patches in such a budget, and the table would tell who
has the smallest network. What a recipe is stays: its trunk's kind, its tail, critics, losses and stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayesr.training.recipe import Recipe

_SIZES: dict[str, dict[str, Any]] = {
    "residual": dict(width=32, blocks=6),
    "srresnet": dict(width=32, blocks=6),
    "rrdb": dict(width=32, blocks=2, backbone_options=dict(growth=16)),
    "swin": dict(width=36, blocks=2, backbone_options=dict(depth=4, heads=6, window=8)),
    "attention": dict(width=32, blocks=6),
    "unet": dict(width=24, blocks=3),
}
PATCH, BATCH = 32, 8
_RATE = {"swin": 5e-4}
_LEAST_RATE = 1e-3
"""Of stages without a critic: few steps ask for longer ones than the many of publications."""


def compact(recipe: Recipe) -> Recipe:
    """The recipe with a small network, patches of `PATCH` low-resolution pixels and batches of `BATCH`.

    One whose network has nothing to learn, or a trunk of one's own, keeps its network.
    """
    backbone = recipe.network.get("backbone", "residual")
    network: Mapping[str, Any] = recipe.network
    if "interpolation" not in network:
        network = dict(network) | _SIZES.get(backbone, {})
    least = _RATE.get(backbone, _LEAST_RATE)
    stages = tuple(
        replace(stage, batch=BATCH, rate=stage.rate if stage.discriminator else max(stage.rate, least))
        for stage in recipe.stages
    )
    return replace(recipe, network=network, stages=stages, patch=PATCH)
