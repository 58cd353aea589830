"""Recipes: what to train and in which stages. A recipe is plain data; the loop reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bayesr.errors import TrainingFailed


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one loss and one cosine.

    Parameters
    ----------
    steps, rate, batch : int, float, int
        Optimiser steps, the learning rate at the start of the cosine, patches per step.
    members : int
        Members per patch; 0 trains the deterministic path alone.
    loss : str
        Of the pixels: for members one of `losses.MEMBER_LOSSES`; for none ``"fidelity"``, or
        ``"gaussian_likelihood"`` and ``"pinball"`` for tails that know every pixel by itself.
    patches : mapping of int to float
        Weight of the patch energy score by patch size, beside the loss of the pixels of weight 1.
    bands : mapping of int to float
        Weight of the CRPS of block cosine coefficients by block size.
    features, adversarial : float
        Weights of the energy score in the critic's features and of the plain adversarial term.
        A critic is trained when either is positive.
    """

    name: str
    steps: int
    rate: float
    batch: int = 8
    members: int = 2
    loss: str = "crps"
    patches: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    bands: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    features: float = 0.0
    adversarial: float = 0.0

    @property
    def critic(self) -> bool:
        return self.features > 0 or self.adversarial > 0


@dataclass(frozen=True)
class Recipe:
    """A network and the stages that train it; `patch` is in low-resolution pixels."""

    name: str
    network: Mapping[str, Any]
    stages: tuple[Stage, ...]
    patch: int = 32


_SCORES = MappingProxyType({4: 0.5, 8: 0.5})
_BANDS = MappingProxyType({8: 1.0})

RECIPES = {
    "bayes-srgan": Recipe(
        "bayes-srgan",
        network=MappingProxyType(
            dict(width=64, blocks=8, tail_width=16, tail_blocks=2, latent=8, gaussian_dropout=True, direct=True, mix=64)
        ),
        stages=(
            Stage("fidelity", steps=10500, rate=1e-3, members=0, loss="fidelity"),
            Stage("score", steps=2000, rate=8e-4, members=4, patches=_SCORES, bands=_BANDS),
            Stage("critic", steps=1500, rate=4e-4, members=4, patches=_SCORES, bands=_BANDS, features=0.2),
        ),
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe of this name."""
    if name not in RECIPES:
        raise TrainingFailed(f"Unknown recipe {name!r}: use one of {', '.join(RECIPES)}.")
    return RECIPES[name]
