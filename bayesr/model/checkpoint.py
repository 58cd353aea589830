"""Checkpoints: everything that decides the next step, in one NumPy archive without pickles."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import NoHead
from bayesr.networks.registry import build
from bayesr.networks.stored import read_architecture, read_names, stored_names

Arrays = dict[str, NDArray[Any]]


def write(path: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path`, whole or not at all: a full disk or a power cut loses none.

    Raises
    ------
    TrainingFailed
        When it cannot be written; what was there before is kept.
    """
    packed = io.BytesIO()  # zip archives that fail half-way raise once more as they are closed
    np.savez(packed, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]
    partial = path.with_suffix(".partial.npz")
    try:
        with open(partial, "wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # or the name could reach the disk before the data
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TrainingFailed(
            f"The checkpoint {path} could not be written ({error}); the one before it is kept. Free some space "
            "and resume."
        ) from error


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """(arrays, facts) of a checkpoint.

    Raises
    ------
    TrainingFailed
        When there is none, or the file is damaged.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return arrays, dict(json.loads(str(arrays.pop("facts"))))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise TrainingFailed(f"{path} is no checkpoint that can be resumed ({error}).") from error


def network_of(path: Path) -> tuple[Generator, dict[str, Any]]:
    """(averaged network, facts) of a checkpoint, to start another training from.

    Of a checkpoint whose head this version builds otherwise, the backbone and its output head alone.

    Raises
    ------
    TrainingFailed
        When there is none, or its network cannot be built.
    """
    arrays, facts = read(path)
    try:
        network = build(**read_architecture(facts["network"]))
    except (KeyError, TypeError) as error:
        raise TrainingFailed(f"{path} holds a network that this version cannot build ({error}).") from error
    weights = part("average", arrays)
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in network.state_dict().items()}:
        network.head = NoHead()
        weights = {k: v for k, v in weights.items() if not k.startswith("head.")}
    restore(path, network, weights)
    return network, facts


def restore(path: Path, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a module's weights, with an error that names the checkpoint."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainingFailed(
            f"{path} holds another network than the recipe's, though of the same sizes: it was written by another "
            "version. Start from it instead of resuming it."
        ) from error


def of_module(prefix: str, module: nn.Module) -> Arrays:
    """A module's weights and buffers as arrays."""
    weights = stored_names(module.state_dict())
    return {f"{prefix}/{name}": value.detach().cpu().numpy() for name, value in weights.items()}


def of_optimiser(prefix: str, optimiser: torch.optim.Optimizer) -> Arrays:
    """An optimiser's moments as arrays; its groups are the recipe's."""
    state = optimiser.state_dict()["state"]
    return {f"{prefix}/{i}/{k}": np.asarray(v.cpu()) for i, moments in state.items() for k, v in moments.items()}


def part(prefix: str, arrays: Arrays) -> dict[str, Tensor]:
    """The arrays below a prefix, as tensors."""
    return read_names(
        {k[len(prefix) + 1 :]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith(f"{prefix}/")}
    )


def restore_optimiser(optimiser: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> None:
    """The inverse of `of_optimiser`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in values.items():
        i, name = key.split("/")
        state.setdefault(int(i), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
