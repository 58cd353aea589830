"""Recipes: descriptions of a network, the stages that train it, and the discriminators and helpers that take part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.discriminators import PatchDiscriminator
from bayesr.training.adversarial import LOGISTIC, AdversarialLoss
from bayesr.training.batch import TrainingBatch, truth_and_member
from bayesr.training.losses import PIXEL_LOSSES
from bayesr.training.schedules import SCHEDULES

Term = Callable[[TrainingBatch], Tensor]
"""A further loss, which returns a scalar. The history records it by its name."""

Key = TypeVar("Key")
Value = TypeVar("Value")


TRAINED = ("all", "head")
"""Parts of a generator that a stage can train."""


def _frozen(values: Mapping[Key, Value] | None = None) -> Mapping[Key, Value]:
    return MappingProxyType(dict(values or {}))


@dataclass(frozen=True)
class Stage:
    """A stage of training, with one loss and one schedule of the learning rate.

    Parameters
    ----------
    name : str
        Name in histories and in options such as ``--steps``.
    steps : int
        Optimiser steps.
    rate : float
        Highest learning rate.
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
    balanced : bool
        Combine the gradients of members by their norms: `features` and `adversarial` are then the norms of the
        gradients of these losses over that of the scores. No weight needs tuning, and the adversarial one rises
        linearly over as many steps as the warm-up. Dropout rates follow the gradient of the scores alone.
    fixed_dropout : bool
        Keep dropout rates as they are.
    schedule : str
        Of both learning rates, one of `bayesr.training.schedules.SCHEDULES`.
    discriminator_rate : float, optional
        Learning rate of discriminators, by default `rate`.
    trained : {"all", "head"}
        Parameters of the generator that are trained: all, or those of the head.
    seconds : float, optional
        The stage ends after so many seconds of training, whatever its steps, and its schedule follows the clock.
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
    balanced: bool = False
    fixed_dropout: bool = False
    schedule: str = "cosine"
    discriminator_rate: float | None = None
    trained: str = "all"
    seconds: float | None = None

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can hold a step: further losses and marginal ones may wait for the host."""
        return not self.terms and self.loss in (None, *PIXEL_LOSSES)

    @property
    def discriminator(self) -> bool:
        """Whether the stage trains discriminators."""
        return self.features > 0 or self.adversarial > 0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise TrainingFailed(
                f"The stage {self.name} has no schedule {self.schedule!r}: use {' or '.join(SCHEDULES)}."
            )
        if self.trained not in TRAINED:
            raise TrainingFailed(f"The stage {self.name} cannot train {self.trained!r}: use {' or '.join(TRAINED)}.")
        if self.balanced and not self.members:
            raise TrainingFailed(f"The stage {self.name} balances the gradients of members: draw 2 or more.")


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
        By name. The energy score of features uses the first, unless there is a feature network.
    helpers : mapping of str to callable
        Further networks by name, each made by a function of (bands, scale, classes of the training images). The
        generator's optimiser trains the weights that the terms depend on.
    feature_network : str, optional
        One of `bayesr.networks.registry.FEATURES`, for the energy score of features.
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
    feature_network: str | None = None
    unpaired: bool = False


def interpolation_recipe(method: str, consistent: bool = False) -> Recipe:
    """Return the recipe of an interpolation method, which needs no training."""
    stage = Stage("nothing", steps=0, rate=0.0, members=0)
    return Recipe(method, dict(interpolation=method), (stage,), consistent=consistent, discriminators={})
