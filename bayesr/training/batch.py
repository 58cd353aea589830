"""The data of one training step that losses work on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bayesr.observe import ForwardOperator


class Draw(Protocol):
    """Function that draws members of low-resolution images, with new latents if none are given."""

    def __call__(self, low: Tensor, count: int, z: Tensor | None = None) -> Tensor: ...


@dataclass
class TrainingBatch:
    """A batch of `b` patches, its members, and the networks that are trained on it.

    Attributes
    ----------
    low, truth : Tensor
        Low- and high-resolution patches, `b x band x h x w` and `b x band x sh x sw`, in about [0, 1].
    labels : Tensor
        Class of the image that each patch comes from, of length `b`.
    operator : ForwardOperator
        Forward operator that relates `truth` and `low`.
    networks : mapping of str to Module
        The recipe's discriminators and helpers.
    count : int
        Number of members that the stage draws for each patch; 0 for the deterministic path.
    normal : callable
        Function that draws standard normal values of a given size from the trainer's random state. The first axis
        is that of the batch.
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
        """Members, `b x max(1, count) x band x sh x sw`. They are drawn when first used."""
        return self.draw(self.low, self.count)

    def generate(self, low: Tensor, count: int = 0, z: Tensor | None = None) -> Tensor:
        """Draw members `b x max(1, count) x band x sh x sw` of other low-resolution images, or from given latents.

        Latents `z` have shape `b count x latent channels x h x w`.
        """
        return self.draw(low, count, z)


def truth_and_member(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of a conditional discriminator: the truth, one member, and ``A+ y`` as context."""
    return batch.truth, batch.x[:, 0], batch.base
