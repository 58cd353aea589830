"""Starting from another network: what fits is taken, what can be adapted is, the rest stays as it was initialised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bayesr.errors import TrainingFailed
from bayesr.networks.generator import Generator

_HEAD = "backbone.head."
"""What sees the image itself, in every backbone."""
_OF_HEAD = "head."
"""Prefix of the head's parameters."""


@dataclass
class TransferredWeights:
    """What a warm start took over: names of parameters and buffers.

    Attributes
    ----------
    whole, adapted, fresh, zero : list of str
        Taken as they are; taken through the mean of all bands; left as initialised; set to zero, which for
        a path that the source has not makes no difference to any member.
    """

    whole: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """For a model's card: the number of tensors taken, and the layers that were not taken as they are."""
        layers = {
            what: sorted({name if name.count(".") < 2 else name.rpartition(".")[0] for name in names})
            for what, names in (("adapted", self.adapted), ("fresh", self.fresh), ("zero", self.zero))
        }
        return {"taken": len(self.whole) + len(self.adapted)} | {what: names for what, names in layers.items() if names}


@torch.no_grad()
def transfer_weights(network: Generator, source: Generator) -> TransferredWeights:
    """Give `network` the weights of `source`, wherever they fit.

    The backbone must be of the same blocks and width. For other bands its first layer sees the sum of the
    source's weights over bands, divided by the number of new ones, and every layer that makes sub-pixels
    the mean over bands: a grey image comes out of a three-band network as it does of its one-band heir, and
    a one-band network treats all its heir's bands alike. Other sizes of the head and other scales leave the
    parts that they touch as initialised.

    Raises
    ------
    TrainingFailed
        When the backbones differ in more than bands; nothing has been changed then.
    """
    known, state = source.state_dict(), network.state_dict()

    def backbone(values: Mapping[str, Tensor]) -> dict[str, Any]:
        return {k: tuple(v.shape) for k, v in values.items() if k.startswith("backbone.") and not k.startswith(_HEAD)}

    if backbone(known) != backbone(state):
        raise TrainingFailed(
            f"The network to start from, {source.architecture}, is not the recipe's, {network.architecture}: "
            "its backbone has another width or other blocks, so nothing fits. Start from another model, or from none."
        )
    taken = TransferredWeights()
    bands = int(source.architecture["bands"]), int(network.architecture["bands"])
    ours, theirs = _sub_pixel_layers(network), _sub_pixel_layers(source)
    for name, value in state.items():
        layer = name.rpartition(".")[0]
        found = known.get(name) if _comparable(name, network, source) else None
        if found is not None and layer in ours & theirs:
            found = _other_outputs(found, *bands) if source.scale == network.scale else None
        elif layer in ours ^ theirs:
            found = None
        elif found is not None and name.startswith(_HEAD) and found.dim() == 4 and found.shape[1] == bands[0]:
            found = _other_inputs(found, bands[1])
        if found is None or found.shape != value.shape:
            taken.fresh.append(name)
            continue
        state[name] = found
        (taken.whole if known[name].shape == value.shape else taken.adapted).append(name)
    optional = set(taken.fresh) - _of_head(network.head.mask_parameters)
    if optional and optional == _of_head(network.head.zero_is_neutral):  # the source's deviations need no such path
        for name in sorted(optional):
            state[name] = torch.zeros_like(state[name])
            taken.fresh.remove(name)
            taken.zero.append(name)
    network.load_state_dict(state)
    return taken


def _sub_pixel_layers(network: Generator) -> set[str]:
    """Return the layers whose channels are the sub-pixels of all bands, bands first."""
    return {"up", *_of_head(network.head.sub_pixel_layers)}


def _of_head(names: Iterable[str]) -> set[str]:
    """Return the names that layers and parameters of the head have in a generator."""
    return {f"{_OF_HEAD}{name}" for name in names}


def _comparable(name: str, network: Generator, source: Generator) -> bool:
    """Whether a parameter of this name means the same in both networks."""
    if not name.startswith(_OF_HEAD):
        return True
    same = source.architecture == network.architecture
    return network.head.takes(name.removeprefix(_OF_HEAD), source.head, same)


def _other_inputs(weight: Tensor, bands: int) -> Tensor:
    """Weights of the first layer for other bands: of their mean, where it was of the mean of the source's."""
    if weight.shape[1] == bands:
        return weight
    return (weight.sum(1, keepdim=True) / bands).repeat(1, bands, 1, 1)


def _other_outputs(value: Tensor, bands: int, wanted: int) -> Tensor:
    """Weights or biases of a layer that makes sub-pixels, for other bands: the mean of the source's for each."""
    if bands == wanted:
        return value
    mean = value.unflatten(0, (bands, -1)).mean(0, keepdim=True)
    repeated: Tensor = mean.repeat(wanted, *[1] * (mean.dim() - 1)).flatten(0, 1)
    return repeated
