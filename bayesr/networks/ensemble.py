"""A deep ensemble: networks of one kind that differ in nothing but their initial weights, as one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.generator import Generator
from bayesr.networks.heads.stochastic import BackboneFeatures


class Ensemble(Generator):
    """Several generators; a mask is the number of the one that a member comes from.

    Parameters
    ----------
    networks : int
        How many, at least 2.
    **network
        What each `Generator` takes. Its head must not drop anything: masks are taken.

    Raises
    ------
    InvalidModel
        For a single network, or a head with dropout.

    References
    ----------
    B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive uncertainty estimation using deep
    ensembles", 2017, arXiv:1612.01474.
    """

    def __init__(self, networks: int, **network: Any) -> None:
        nn.Module.__init__(self)
        if networks < 2:
            raise InvalidModel(f"An ensemble has at least 2 networks, not {networks}.")
        self.networks = nn.ModuleList(Generator(**network) for _ in range(networks))
        first = self.parts[0]
        if first.masked or first.head is None:
            raise InvalidModel("The networks of an ensemble need a gaussian or quantile head, which drops nothing.")
        self.scale, self.architecture = first.scale, first.architecture | {"networks": networks}

    @property
    def parts(self) -> tuple[Generator, ...]:
        return tuple(self.networks)  # type: ignore[arg-type]

    @property
    def backbone(self) -> Any:
        """That of the first network, whose sizes are those of all."""
        return self.parts[0].backbone

    @property
    def up(self) -> Any:
        return self.parts[0].up

    @property
    def head(self) -> Any:  # type: ignore[override]
        return self.parts[0].head

    @property
    def stochastic(self) -> bool:
        return True

    @property
    def masked(self) -> bool:
        return True

    @property
    def max_masks(self) -> int | None:
        return len(self.networks)

    def prepare(self, y: Tensor) -> BackboneFeatures | Tensor:
        """What the members of every network share, one network after the other along the batch."""
        found = [part.prepare(y) for part in self.parts]
        if isinstance(found[0], Tensor):
            return torch.cat(found)  # type: ignore[arg-type]
        return BackboneFeatures(*(torch.cat(values) for values in zip(*found, strict=True)))

    def draw(
        self, shared: BackboneFeatures | Tensor, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """Members of one network, whose number is the mask."""
        number = int(masks[0])

        def own(values: Tensor) -> Tensor:
            return values.chunk(len(self.networks))[number]

        mine = own(shared) if isinstance(shared, Tensor) else BackboneFeatures(*map(own, shared))
        return self.parts[number].draw(mine, z, [], out)
