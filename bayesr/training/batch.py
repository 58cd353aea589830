"""What losses see of a step of training: the batch, its members, and the networks that take part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bayesr.observe import ForwardOperator


class Draw(Protocol):
    """Draws members of low-resolution images, with latents of its own where none are given."""

    def __call__(self, low: Tensor, count: int, z: Tensor | None = None) -> Tensor: ...


@dataclass
class TrainingBatch:
    """A batch of `b` patches.

    Attributes
    ----------
    low, truth : Tensor
        `b x band x h x w` and `b x band x sh x sw`, in about [0, 1].
    labels : Tensor
        The class of each patch's image, `b`.
    operator : Observation
        How `low` came about.
    networks : mapping of str to Module
        The recipe's discriminators and helpers.
    count : int
        Members that the stage draws of each patch; 0 for the deterministic path.
    normal : callable
        Of a size whose first axis is the batch's: standard normal values, from the trainer's random state.
    cache : dict
        For terms that share what is dear to compute.
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
        """``A+ y``, of the shape of `truth`."""
        return self.operator.invert(self.low)

    @cached_property
    def x(self) -> Tensor:
        """Members, `b x max(1, count) x band x sh x sw`, drawn when they are first asked for."""
        return self.draw(self.low, self.count)

    def generate(self, low: Tensor, count: int = 0, z: Tensor | None = None) -> Tensor:
        """Members `b x max(1, count) x band x sh x sw` of other low-resolution images, or of latents `z`.

        `z` is of shape `b count x latent channels x h x w`.
        """
        return self.draw(low, count, z)


def truth_and_member(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """The truth, one member, and ``A+ y`` as their context."""
    return batch.truth, batch.x[:, 0], batch.base
