"""Recipes: descriptions of a network, the stages that train it, and the discriminators and helpers that take part."""

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
"""A further loss, which returns a scalar. The history records it by its name."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def _frozen(values: Mapping[Key, Value] | None = None) -> Mapping[Key, Value]:
    return MappingProxyType(dict(values or {}))


@dataclass(frozen=True)
class Stage:
    """A stage of training, with one loss and one cosine schedule of the learning rate.

    Parameters
    ----------
    name : str
        Name in histories and in options such as ``--steps``.
    steps : int
        Optimiser steps.
    rate : float
        Learning rate at the start of the cosine schedule.
    batch : int
        Patches per step.
    members : int
        Members per patch; 0 trains only the deterministic path.
    loss : str, optional
        Pixel loss, with weight 1: one of `losses.PIXEL_LOSSES`, or ``"gaussian_likelihood"`` or ``"pinball"`` for
        heads that predict the marginal distribution of every pixel. None if the terms are the whole loss.
    patches : mapping of int to float
        Weight of the patch energy score by patch size.
    bands : mapping of int to float
        Weight of the CRPS of block cosine coefficients by block size.
    features, adversarial : float
        Weights of the energy score in the first discriminator's features, and of the generator's adversarial loss,
        summed over discriminators. Discriminators are trained if either is positive.
    terms : mapping of callable to float
        Weights of further losses, see `Term`.
    warmup : int
        First steps, in which discriminators are trained but do not contribute to the generator's loss.
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
        """Whether the stage trains discriminators."""
        return self.features > 0 or self.adversarial > 0


@dataclass(frozen=True)
class Adversary:
    """A discriminator, its adversarial loss, and its inputs.

    Parameters
    ----------
    network : callable
        Function of (bands, scale) that makes the discriminator, see `bayesr.training.adversarial.Network`.
    adversarial_loss : AdversarialLoss
    inputs : callable
        Function of a `TrainingBatch` that returns real images, fake images, and the context of both.
    """

    network: Callable[[int, int], nn.Module]
    adversarial_loss: AdversarialLoss = LOGISTIC
    inputs: Callable[[TrainingBatch], tuple[Tensor, Tensor, Tensor]] = truth_and_member


def patch_discriminator(bands: int, scale: int) -> PatchDiscriminator:
    """Make the patch discriminator, which works at half resolution and takes the context as a further input."""
    return PatchDiscriminator(bands)


@dataclass(frozen=True)
class Recipe:
    """A network and the stages that train it.

    Parameters
    ----------
    name : str
    network : mapping
        Arguments of `bayesr.networks.registry.build` other than bands and scale.
    stages : tuple of Stage
        In the order of training.
    patch : int
        Low-resolution pixels along a side of a patch.
    consistent : bool
        Whether members are data-consistent, ``x = A+ y + P g``. Otherwise ``x = A+ y + g``.
    discriminators : mapping of str to Adversary
        By name. The energy score of features uses the first.
    helpers : mapping of str to callable
        Further networks by name, each made by a function of (bands, scale, classes of the training images). The
        generator's optimiser trains the weights that the terms depend on.
    unpaired : bool
        Whether high- and low-resolution patches show different scenes. Networks then do not use the forward operator:
        ``x = U y + g`` with bicubic interpolation U (`bayesr.observe.Blind`).
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
