"""Warm starts with the weights of another network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.model.checkpoint import network_of, origin_of
from bayesr.networks.generator import Generator
from bayesr.networks.stored import stored_names

_FIRST_LAYER = "backbone.head."
"""Prefix of the first layer of every backbone."""
_FIRST_DISCRIMINATOR_WEIGHT = "first.weight"
_CHANNELS_PER_BAND = 8
"""Channels of the first layer per band: image and context, each folded to half resolution."""
_HEAD = "head."
"""Prefix of the head's parameters."""


class StartingPoint(NamedTuple):
    """A network whose weights are the initial weights of a training.

    Attributes
    ----------
    network : Generator
    origin : mapping
        Description of the network for the model card.
    checkpoint : Path, optional
        The network's checkpoint, which may also hold discriminators.
    projected : bool, optional
        Whether the network's members were projected onto the null space; None if unknown.
    """

    network: Generator
    origin: Mapping[str, Any] = MappingProxyType({})
    checkpoint: Path | None = None
    projected: bool | None = None

    @classmethod
    def from_checkpoint(cls, path: Path) -> StartingPoint:
        """Read the network of another training's checkpoint."""
        network, facts = network_of(path)
        return cls(network, origin_of(path, facts), path, facts.get("projected"))


@dataclass
class TransferredWeights:
    """Names of parameters and buffers by what a warm start did with them.

    Attributes
    ----------
    whole : list of str
        Copied.
    adapted : list of str
        Copied as the mean over bands.
    fresh : list of str
        Left as initialised.
    zero : list of str
        Set to zero: the source has no such path.
    """

    whole: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return the number of copied tensors, and the stored names of layers that were not copied, for the card."""
        names = (*self.whole, *self.adapted, *self.fresh, *self.zero)
        stored = {name: written for written, name in stored_names({name: name for name in names}).items()}
        layers = {
            what: sorted({stored[name] if name.count(".") < 2 else stored[name].rpartition(".")[0] for name in found})
            for what, found in (("adapted", self.adapted), ("fresh", self.fresh), ("zero", self.zero))
        }
        return {"taken": len(self.whole) + len(self.adapted)} | {what: names for what, names in layers.items() if names}


@torch.no_grad()
def transfer_weights(network: Generator, source: Generator, head: bool = True) -> TransferredWeights:
    """Copy the weights of `source` to `network` where they fit; with ``head=False`` leave the head as initialised.

    The backbones must have the same blocks and width. If the numbers of bands differ, the first layer gets the sum of
    the source's weights over bands, divided by the new number, and layers that make sub-pixels get the mean over bands.
    A one-band network made from a three-band one thus returns for a grey image what that returns for three equal bands.
    Where head sizes or scale factors differ, layers stay as initialised.

    Raises
    ------
    TrainingFailed
        If the backbones differ in more than bands; the network is not changed then.
    """
    source_state, state = source.state_dict(), network.state_dict()

    def backbone(values: Mapping[str, Tensor]) -> dict[str, Any]:
        names = [name for name in values if name.startswith("backbone.") and not name.startswith(_FIRST_LAYER)]
        return {name: tuple(values[name].shape) for name in names}

    if backbone(source_state) != backbone(state):
        raise TrainingFailed(
            f"The network to start from, {source.architecture}, is not the recipe's, {network.architecture}: "
            "its backbone has another width or other blocks, so nothing fits. Start from another model, or from none."
        )
    transferred = TransferredWeights()
    bands = int(source.architecture["bands"]), int(network.architecture["bands"])
    ours, theirs = _sub_pixel_layers(network), _sub_pixel_layers(source)
    for name, value in state.items():
        layer = name.rpartition(".")[0]
        comparable = _comparable(name, network, source) and (head or not name.startswith(_HEAD))
        weight = source_state.get(name) if comparable else None
        if weight is not None and layer in ours & theirs:
            weight = _adapt_outputs(weight, *bands) if source.scale == network.scale else None
        elif layer in ours ^ theirs:
            weight = None
        elif weight is not None and name.startswith(_FIRST_LAYER) and weight.dim() == 4 and weight.shape[1] == bands[0]:
            weight = _adapt_inputs(weight, bands[1])
        if weight is None or weight.shape != value.shape:
            transferred.fresh.append(name)
            continue
        state[name] = weight
        (transferred.whole if source_state[name].shape == value.shape else transferred.adapted).append(name)
    optional = set(transferred.fresh) - _in_head(network.head.mask_parameters)
    neutral = _in_head(network.head.zero_is_neutral)
    if head and optional and optional == neutral:  # the source's deviations need no such path
        for name in sorted(optional):
            state[name] = torch.zeros_like(state[name])
            transferred.fresh.remove(name)
            transferred.zero.append(name)
    network.load_state_dict(state)
    return transferred


def transfer_discriminator(network: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return a discriminator's weights for `network`, None if they do not fit.

    Where only the numbers of bands differ, the first layer gets the sum over bands, divided by the new number: it then
    returns for a grey image what it returned for equal bands.

    Parameters
    ----------
    network : Module
        A discriminator of images and context that begins by folding both to half resolution, in a layer ``first``.
    given : mapping of str to Tensor
        Weights of another one.
    """
    state = network.state_dict()
    weights = dict(given)
    first = weights.get(_FIRST_DISCRIMINATOR_WEIGHT)
    if first is not None and first.dim() == 4 and _FIRST_DISCRIMINATOR_WEIGHT in state:
        inputs = state[_FIRST_DISCRIMINATOR_WEIGHT].shape[1]
        if first.shape[1] != inputs and first.shape[1] % _CHANNELS_PER_BAND == inputs % _CHANNELS_PER_BAND == 0:
            by_band = first.unflatten(1, (2, -1, _CHANNELS_PER_BAND // 2))
            bands = inputs // _CHANNELS_PER_BAND
            mean = by_band.sum(2, keepdim=True) / bands
            weights[_FIRST_DISCRIMINATOR_WEIGHT] = mean.expand(-1, -1, bands, -1, -1, -1).flatten(1, 3)
    same = {name: value.shape for name, value in weights.items()} == {k: v.shape for k, v in state.items()}
    return weights if same else None


def _sub_pixel_layers(network: Generator) -> set[str]:
    """Return the layers whose channels are the sub-pixels of all bands, bands first."""
    return {"up", *_in_head(network.head.sub_pixel_layers)}


def _in_head(names: Iterable[str]) -> set[str]:
    """Return names in the head as names in a generator."""
    return {f"{_HEAD}{name}" for name in names}


def _comparable(name: str, network: Generator, source: Generator) -> bool:
    """Whether a parameter of this name means the same in both networks."""
    if not name.startswith(_HEAD):
        return True
    same = source.architecture == network.architecture
    return network.head.takes(name.removeprefix(_HEAD), source.head, same)


def _adapt_inputs(weight: Tensor, bands: int) -> Tensor:
    """Return weights of the first layer for another number of bands: their sum over bands, divided by `bands`."""
    if weight.shape[1] == bands:
        return weight
    return (weight.sum(1, keepdim=True) / bands).repeat(1, bands, 1, 1)


def _adapt_outputs(value: Tensor, bands: int, wanted: int) -> Tensor:
    """Return weights or biases of sub-pixels for another number of bands, each of which gets the mean."""
    if bands == wanted:
        return value
    mean = value.unflatten(0, (bands, -1)).mean(0, keepdim=True)
    repeated: Tensor = mean.repeat(wanted, *[1] * (mean.dim() - 1)).flatten(0, 1)
    return repeated
