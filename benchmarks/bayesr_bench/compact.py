"""Recipes with small networks of similar cost, and equal patches and batches, which train in minutes on a CPU.

At their published sizes most recipes would see a few hundred patches in such a budget, and the table would compare
the sizes of networks. The recipe keeps the kind of its backbone, its head, discriminators, losses and stages.
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
"""Least learning rate of stages without a discriminator: with fewer steps than published, each step is larger."""


def compact(recipe: Recipe) -> Recipe:
    """Return the recipe with a small network, patches of `PATCH` low-resolution pixels and batches of `BATCH`.

    Recipes of interpolations, and of backbones that are not listed here, keep their networks.
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
