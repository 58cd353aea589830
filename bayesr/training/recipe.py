"""What a recipe is: a network, the stages that train it, and those who take part. Plain data; the trainer reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from torch import Tensor, nn

from bayesr.networks.discriminators import PatchDiscriminator
from bayesr.training.adversarial import LOGISTIC, AdversarialLoss
from bayesr.training.batch import TrainingBatch, truth_and_member

Term = Callable[[TrainingBatch], Tensor]
"""A loss of one's own: of a `TrainingBatch`, a scalar. Its name is what the history calls it."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def _frozen(values: Mapping[Key, Value] | None = None) -> Mapping[Key, Value]:
    return MappingProxyType(dict(values or {}))


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one loss and one cosine.

    Parameters
    ----------
    steps, rate, batch : int, float, int
        Optimiser steps, the learning rate at the start of the cosine, patches per step.
    members : int
        Members per patch; 0 trains the deterministic path alone.
    loss : str, optional
        Of the pixels, with weight 1: one of `losses.PIXEL_LOSSES`, or ``"gaussian_likelihood"`` and ``"pinball"``
        for heads that know every pixel by itself. None where terms say all.
    patches : mapping of int to float
        Weight of the patch energy score by patch size.
    bands : mapping of int to float
        Weight of the CRPS of block cosine coefficients by block size.
    features, adversarial : float
        Weights of the energy score in the first discriminator's features, and of what the generator plays for in
        its games. Discriminators are trained when either is positive.
    terms : mapping of callable to float
        Further losses, each a function of a `TrainingBatch`, with their weights.
    warmup : int
        Steps at the stage's beginning in which discriminators are trained and do not yet weigh.
    """

    name: str
    steps: int
    rate: float
    batch: int = 8
    members: int = 2
    loss: str | None = "crps"
    patches: Mapping[int, float] = field(default_factory=_frozen)
    bands: Mapping[int, float] = field(default_factory=_frozen)
    features: float = 0.0
    adversarial: float = 0.0
    terms: Mapping[Term, float] = field(default_factory=_frozen)
    warmup: int = 150

    @property
    def discriminator(self) -> bool:
        return self.features > 0 or self.adversarial > 0


@dataclass(frozen=True)
class Adversary:
    """A discriminator, the game that it plays with the generator, and what either side shows.

    Parameters
    ----------
    network : callable
        Of (bands, scale), a discriminator: it takes images and their context and returns logits and a list of features.
    game : Game
    inputs : callable
        Of a `TrainingBatch`: what is real, what is not, and the context.
    """

    network: Callable[[int, int], nn.Module]
    adversarial_loss: AdversarialLoss = LOGISTIC
    inputs: Callable[[TrainingBatch], tuple[Tensor, Tensor, Tensor]] = truth_and_member


def patch_discriminator(bands: int, scale: int) -> PatchDiscriminator:
    """The discriminator of patches, at half resolution, that sees the context."""
    return PatchDiscriminator(bands)


@dataclass(frozen=True)
class Recipe:
    """A network and the stages that train it.

    Parameters
    ----------
    network : mapping
        What `bayesr.networks.registry` takes beside bands and scale.
    stages : tuple of Stage
    patch : int
        Low-resolution pixels along a side.
    consistent : bool
        Whether every member reproduces its input, ``x = A+ y + P g``. Else ``x = A+ y + g``, as where a study knows
        no such bond.
    discriminators : mapping of str to Contest
        By name; the energy score of features is of the first.
    helpers : mapping of str to callable
        Further networks, made of (bands, scale, classes of the training images); the generator's optimiser
        trains what the terms reach.
    unpaired : bool
        Whether truths belong to other scenes than the low-resolution images beside them. They are then not told
        how these came about, and ``x = U y + g`` with U bicubic interpolation (`bayesr.observe.Blind`).
    """

    name: str
    network: Mapping[str, Any]
    stages: tuple[Stage, ...]
    patch: int = 32
    consistent: bool = True
    discriminators: Mapping[str, Adversary] = field(
        default_factory=lambda: MappingProxyType({"critic": Adversary(patch_discriminator)})
    )
    helpers: Mapping[str, Callable[[int, int, int], nn.Module]] = field(default_factory=_frozen)
    unpaired: bool = False
