"""The base class of heads, and the features that all members of an image share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.errors import InvalidModel

Value = TypeVar("Value")


def identity(value: Value) -> Value:
    """Return the argument."""
    return value


class BackboneFeatures(NamedTuple):
    """Tensors that all members of an image share, `n x channels x h x w` each.

    A head leaves those that it does not use without channels.
    """

    backbone: Tensor
    detail: Tensor
    features: Tensor
    hidden: Tensor
    gains: Tensor
    spread: Tensor
    smoothing: Tensor

    @classmethod
    def of_detail(cls, detail: Tensor, spread: Tensor | None = None) -> BackboneFeatures:
        """Return the deterministic detail, and its spread where there is one, without other features."""
        empty = detail[:, :0]
        return cls(empty, detail, empty, empty, empty, empty if spread is None else spread, empty)

    def window(self, rows: slice, columns: slice) -> BackboneFeatures:
        """Return the features of a part of the image."""
        parts = (part[..., rows, columns] for part in self)
        return BackboneFeatures(*(part.contiguous(memory_format=torch.channels_last) for part in parts))

    def repeat(self, count: int) -> BackboneFeatures:
        """Repeat every image `count` times in a row."""
        return BackboneFeatures(*(part.repeat_interleave(count, 0) for part in self))


class MaskNoise(Protocol):
    """Random values of one dropout mask, a function of its number."""

    @property
    def number(self) -> int:
        """Number of the mask."""

    def dropout(self, rates: NDArray[np.floating], width: int) -> NDArray[np.float32]:
        """Return channel masks, `layer x width`: 0 with probability ``rates[layer]``, else ``1 / (1 - rate)``."""

    def normal(self, sizes: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return standard normal values, an array of each size."""


@dataclass(frozen=True)
class HeadOptions:
    """Options from which a head is made; it ignores those that it does not have.

    Attributes
    ----------
    inputs, outputs : int
        Channels of the backbone's features, and of the detail.
    width, blocks : int
        Channels and blocks of the head.
    latent : int
        Latent channels per block.
    dropout : float
        Initial dropout rate.
    gaussian_dropout, direct, mix, smooth : bool, bool, int, bool
        See `bayesr.networks.heads.stochastic.StochasticHead`.
    scale : int
        Scale factor.
    """

    inputs: int
    outputs: int
    width: int = 0
    blocks: int = 0
    latent: int = 0
    dropout: float = 0.0
    gaussian_dropout: bool = False
    direct: bool = False
    mix: int = 0
    smooth: bool = False
    scale: int = 1


class Head(nn.Module, ABC):
    """Base class of heads: networks that turn shared features, latents and masks into the details of members.

    A head of your own implements `prepare` and `forward`, and overrides what else applies. By default a head has no
    latents, dropout, or distribution for each pixel.

    Attributes
    ----------
    stochastic : bool
        Whether members differ.
    latent_channels : int
        Latent channels of a member, at low resolution.
    reach : int
        Radius of influence in low-resolution pixels.
    mask_kind : {"none", "bernoulli", "normal"}
        Distribution of the dropout masks.
    spread_adjustable : bool
        Whether `widen_` can change the spread of members.
    sub_pixel_layers : frozenset of str
        Layers whose output channels are the sub-pixels of all bands, bands first. For warm starts.
    mask_parameters : frozenset of str
        Parameters and buffers that decide about masks alone. For warm starts.
    zero_is_neutral : frozenset of str
        Parameters of optional paths: set to zero, they change no member. For warm starts.
    """

    stochastic: ClassVar[bool] = True
    mask_kind: str = "none"
    spread_adjustable: ClassVar[bool] = False
    sub_pixel_layers: frozenset[str] = frozenset()
    mask_parameters: ClassVar[frozenset[str]] = frozenset()
    zero_is_neutral: ClassVar[frozenset[str]] = frozenset()
    latent_channels: int = 0
    reach: int = 0

    @abstractmethod
    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        """Compute what all members share, from the backbone's features and the deterministic detail."""

    @abstractmethod
    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Return the detail of members, `n x outputs x h x w`.

        Parameters
        ----------
        shared : BackboneFeatures
            From `prepare`, of one image or of n.
        z : Tensor
            Latents, `n x latent_channels x h x w`.
        masks : sequence of Tensor
            From `sampling_masks` or `training_masks`.
        """

    def pieces(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the result of `forward` in pieces along the first axis, to save memory; members are of one image."""
        yield self(shared, z, masks)

    # -- masks --

    def rates(self) -> Tensor:
        """Return the dropout rate of every mask; empty without dropout."""
        return torch.empty(0)

    def sampling_masks(self, noise: MaskNoise) -> list[Tensor]:
        """Return the masks that members of one mask number share."""
        return []

    def neutral_masks(self) -> list[Tensor]:
        """Return the masks that change nothing, the means of all masks."""
        return []

    def mask_stds(self) -> list[float]:
        """Return the standard deviation of the values of every mask."""
        return []

    def training_masks(
        self, groups: int, random: torch.Generator, members: int = 1, share: slice = slice(None)
    ) -> list[Tensor]:
        """Draw random masks, one for each group of members.

        Parameters
        ----------
        groups : int
            Number of groups.
        random : torch.Generator
        members : int
            Members of a group; masks are repeated for each.
        share : slice
            Groups whose masks are returned.
        """
        return []

    # -- training --

    def dropout_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of dropout rates."""
        return []

    def dropout_divergences(self) -> Tensor | None:
        """Return the divergence of each mask, which the loss weighs; None where rates are not learnt."""
        return None

    def weights_of_masks(self, outside: int) -> list[float]:
        """Return the number of weights that each mask stands for, given the number of weights outside of the head."""
        return []

    def constrain_(self) -> None:
        """Move parameters back into their range after a step of the optimiser."""

    def update_statistics(self, f: Tensor, mean: Callable[[Tensor], Tensor] = identity) -> None:
        """Follow the statistics of the backbone's features during training.

        Parameters
        ----------
        f : Tensor
            Features, `n x channels x h x w`.
        mean : callable
            Mean of a scalar over the processes that share a batch.
        """

    def marginal_loss(self, shared: BackboneFeatures, error: Tensor, factor: Tensor, scale: int) -> Tensor:
        """Return the loss of the distribution of each pixel.

        Parameters
        ----------
        shared : BackboneFeatures
            From `prepare`.
        error : Tensor
            Truth minus the deterministic image, `n x bands x sh x sw`.
        factor : Tensor
            Factor on standard deviations, which broadcasts to `error`.
        scale : int
            Scale factor s.

        Raises
        ------
        InvalidModel
            If the head has no distribution for each pixel.
        """
        raise InvalidModel(
            f"A {type(self).__name__} has no distribution for each pixel that this loss could score: use "
            "head='gaussian' or head='quantile'."
        )

    def widen_(self, factor: float) -> None:
        """Multiply the deviation of every member from the deterministic detail by `factor`."""
        raise InvalidModel(f"The spread of a {type(self).__name__} cannot be changed by a factor.")

    def takes(self, name: str, other: Head, same_architecture: bool) -> bool:
        """Whether the parameter `name` of another head means the same in this one, for warm starts.

        `same_architecture` says whether all sizes of the generators agree.
        """
        return type(self) is type(other) and same_architecture


class NoHead(Head):
    """The head of a point estimator: the deterministic detail is the only member."""

    stochastic = False

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        return BackboneFeatures.of_detail(detail)

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        return shared.detail
