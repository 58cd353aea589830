"""Model file: weights as fp16 in one safetensors file, with a header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from bayesr.errors import InvalidModel
from bayesr.files import write_atomically
from bayesr.model.header import FORMAT
from bayesr.networks.stored import stored_names


def write(path: str | Path, network: torch.nn.Module, header: Mapping[str, Any]) -> Path:
    """Write a network's weights as fp16, with a header, replacing the file atomically.

    Parameters
    ----------
    path : str or Path
    network : Module
    header : mapping
        Plain values that describe the network.
    """
    path = Path(path)
    weights = {k: stored(v.detach().cpu()).contiguous() for k, v in stored_names(network.state_dict()).items()}
    complete = {"format": FORMAT, **header, "sha256": checksum(weights)}
    write_atomically(path, save(weights, metadata={"bayesr": json.dumps(complete)}))
    return path


def read_weights(path: Path, header: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of a model file.

    Raises
    ------
    InvalidModel
        When they do not have the recorded checksum.
    """
    weights = load_file(path)
    if checksum(weights) != header["sha256"]:
        raise InvalidModel(f"The weights in {path} do not have their recorded checksum: copy the file again.")
    return weights


def stored(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight as fp16; integers, such as batch normalisation's counters, are unchanged."""
    return weight.half() if weight.is_floating_point() else weight


def checksum(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].numpy().tobytes())
    return digest.hexdigest()
