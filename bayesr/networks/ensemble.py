"""A deep ensemble: several networks that differ in their initial weights, as one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import BackboneFeatures, MaskNoise


class Ensemble(Generator):
    """Several generators of one architecture. The mask of a member is the number of its generator.

    Parameters
    ----------
    networks : sequence of Generator
        At least 2, of the same sizes. Their heads have no dropout: masks select the network.

    Raises
    ------
    InvalidModel
        For a single network, or a head with dropout.

    References
    ----------
    B. Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017,
    arXiv:1612.01474.
    """

    def __init__(self, networks: Sequence[Generator]) -> None:
        nn.Module.__init__(self)
        if len(networks) < 2:
            raise InvalidModel(f"An ensemble has at least 2 networks, not {len(networks)}.")
        self.networks = nn.ModuleList(networks)
        first = self.parts[0]
        if first.masked or not first.stochastic:
            raise InvalidModel("The networks of an ensemble need a gaussian or quantile head, which has no dropout.")
        self.scale, self.architecture = first.scale, first.architecture | {"networks": len(networks)}

    @property
    def parts(self) -> tuple[Generator, ...]:
        return tuple(self.networks)  # type: ignore[arg-type]

    @property
    def backbone(self) -> Any:
        """The first network's backbone; all have its sizes."""
        return self.parts[0].backbone

    @property
    def up(self) -> Any:
        """The first network's output head."""
        return self.parts[0].up

    @property
    def head(self) -> Any:  # type: ignore[override]
        """The first network's head."""
        return self.parts[0].head

    @property
    def masked(self) -> bool:
        return True

    @property
    def max_masks(self) -> int | None:
        return len(self.networks)

    def sampling_masks(self, noise: MaskNoise) -> list[Tensor]:
        """Return the number of the network."""
        return [torch.tensor(noise.number, device="cpu")]

    def neutral_masks(self) -> list[Tensor]:
        """Refuse: every mask selects a network."""
        raise InvalidArgument(
            "Masks of an ensemble select its network: give masks=[torch.tensor(k)] for network k, or call one of "
            "network.parts."
        )

    def prepare(self, y: Tensor) -> BackboneFeatures:
        """Compute what each network's members share, in turn along the batch."""
        features = [part.prepare(y) for part in self.parts]
        return BackboneFeatures(*(torch.cat(values) for values in zip(*features, strict=True)))

    def draw(
        self, shared: BackboneFeatures, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """Draw members of the network that the mask numbers."""
        number = int(masks[0])
        own = BackboneFeatures(*(values.chunk(len(self.networks))[number] for values in shared))
        return self.parts[number].draw(own, z, [], out)
