"""Model file: weights as fp16 in one safetensors file, with a header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save

from bayesr.errors import InvalidModel
from bayesr.files import write_atomically
from bayesr.isolation.modes import OwnRandomNumbers
from bayesr.model.card_entries import check_card
from bayesr.model.header import FORMAT, read_tensors, sealed
from bayesr.networks.sketch import Weight, compare, sketch
from bayesr.networks.stored import read_names, stored_names

Network = TypeVar("Network", bound=torch.nn.Module)

_FLOATING = ("F16", "F32")
_TYPES = (*_FLOATING, "I64", "I32")
"""Types of weights, by the names of safetensors: floating-point numbers, and counters of batches."""


def write(path: str | Path, network: torch.nn.Module, header: Mapping[str, Any]) -> Path:
    """Write a network's weights as fp16, with a header, replacing the file atomically.

    Parameters
    ----------
    path : str or Path
    network : Module
    header : mapping
        Plain values that describe the network.

    Raises
    ------
    InvalidModel
        When weights or entries of the card could not be read again.
    StoreFailed
        When the file cannot be written; an older one is unchanged.
    """
    path = Path(path)
    weights = _stored_weights(network)
    check_finite(weights, "not finite, or too large for the half precision of a file: train again")
    check_card(header.get("card", {}))
    complete = sealed({"format": FORMAT, **header, "sha256": checksum(weights)})
    write_atomically(path, save(weights, metadata={"bayesr": json.dumps(complete)}))
    return path


def read_weights(path: Path, header: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of a model file.

    Raises
    ------
    InvalidModel
        When they do not have the recorded checksum, or are not finite.
    """
    weights = load_file(path)
    if checksum(weights) != header["sha256"]:
        raise InvalidModel(f"The weights in {path} do not have their recorded checksum: copy the file again.")
    check_finite(weights, f"not finite in {path}: train the model again")
    return weights


def load_network(path: Path, header: Mapping[str, Any], make: Callable[[], Network]) -> Network:
    """Return the network of a model file, in evaluation mode.

    Before it is built, the shapes of all its weights are compared with those in the file.

    Parameters
    ----------
    path : Path
    header : mapping
        Of the file.
    make : callable
        Makes the network that the header describes.

    Raises
    ------
    InvalidModel
        When the network cannot be built, or has other weights than the file.
    """
    stored = stored_weights(path)
    compare(sketch(make, stored), stored)
    weights = read_weights(path, header)
    with OwnRandomNumbers():  # initial weights, which are replaced
        network = make()
    network.load_state_dict(read_names(weights))  # converts fp16 to float32
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def stored_weights(path: Path) -> dict[str, Weight]:
    """Return shapes and kinds of the weights in a model file, with the names of the network.

    Raises
    ------
    InvalidModel
        For types that model files do not have.
    """
    found = read_tensors(path)
    for name, (_, kind) in found.items():
        if kind not in _TYPES:
            raise InvalidModel(f"The weights {name} in {path} are of the type {kind}, not one of {', '.join(_TYPES)}.")
    return read_names({name: Weight(shape, kind in _FLOATING) for name, (shape, kind) in found.items()})


def check_finite(weights: Mapping[str, torch.Tensor], what: str) -> None:
    """Raise `InvalidModel`, which says what the weights are, if some are NaN or infinite."""
    wrong = next((k for k, v in weights.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if wrong is not None:
        raise InvalidModel(f"Some weights {wrong} are {what}.")


def stored(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight as fp16; integers, such as batch normalisation's counters, are unchanged."""
    return weight.half() if weight.is_floating_point() else weight


def weights_checksum(network: torch.nn.Module) -> str:
    """Return the checksum of a network's weights as a model file stores them."""
    return checksum(_stored_weights(network))


def _stored_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: stored(v.detach().cpu()).contiguous() for k, v in stored_names(network.state_dict()).items()}


def checksum(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].numpy().tobytes())
    return digest.hexdigest()
