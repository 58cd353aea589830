"""The data of a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bayesr.observe import ForwardOperator


class Draw(Protocol):
    """Draws members of low-resolution images, with new latents by default."""

    def __call__(self, low: Tensor, count: int, z: Tensor | None = None) -> Tensor: ...


@dataclass
class TrainingBatch:
    """A batch of `b` patches, its members, and the networks that are trained on it.

    Attributes
    ----------
    low, truth : Tensor
        Low- and high-resolution patches, `b x band x h x w` and `b x band x sh x sw`, in about [0, 1].
    labels : Tensor
        Class of each patch's image, `b`.
    operator : ForwardOperator
        Forward operator from `truth` to `low`.
    networks : mapping of str to Module
        The recipe's discriminators and helpers.
    count : int
        Members per patch; 0 for the deterministic path.
    normal : callable
        Draws standard normal values of a given size, with the batch as first axis, from the trainer's random state.
    cache : dict
        Results that several terms share.
    """

    low: Tensor
    truth: Tensor
    labels: Tensor
    operator: ForwardOperator
    networks: Mapping[str, nn.Module]
    count: int
    draw: Draw
    normal: Callable[[Sequence[int]], Tensor] = torch.randn
    cache: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def base(self) -> Tensor:
        """The pseudo-inverse ``A+ y``, of the shape of `truth`."""
        return self.operator.invert(self.low)

    @cached_property
    def x(self) -> Tensor:
        """Members, `b x max(1, count) x band x sh x sw`, drawn when first used."""
        return self.draw(self.low, self.count)

    def generate(self, low: Tensor, count: int = 0, z: Tensor | None = None) -> Tensor:
        """Draw members `b x max(1, count) x band x sh x sw` of other images, or from latents.

        Latents `z` are `b count x latent channels x h x w`.
        """
        return self.draw(low, count, z)


def truth_and_members(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of a discriminator that compares the truth with each of two members of the same scene."""
    members = batch.x[:, :2].transpose(0, 1)
    return batch.truth, members.flatten(0, 1), batch.base.repeat(len(members), 1, 1, 1)


def truth_and_member(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return a conditional discriminator's inputs: the truth, one member, and ``A+ y`` as context."""
    return batch.truth, batch.x[:, 0], batch.base
