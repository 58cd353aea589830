"""Checkpoints of trainings: the complete state, in one NumPy archive without pickles."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.errors import BayesrError, StoreFailed, TrainingFailed
from bayesr.files import write_atomically
from bayesr.isolation.modes import OwnRandomNumbers
from bayesr.model.architecture import check_architecture
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import NoHead
from bayesr.networks.registry import build
from bayesr.networks.sketch import Weight, sketch
from bayesr.networks.stored import read_architecture, read_names, stored_names

Arrays = dict[str, NDArray[Any]]

_LARGEST, _DENSEST = 2**29, 20
"""Bytes of an archive's arrays that are read in any case, and the number of times that larger archives may expand."""


def write(path: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint, replacing the one before atomically.

    Raises
    ------
    TrainingFailed
        When it cannot be written; the checkpoint before is kept.
    """
    packed = io.BytesIO()  # in memory: on a full disk a zip archive raises again as it is closed
    np.savez(packed, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]
    try:
        with packed.getbuffer() as view:  # released even if a traceback holds it: else `packed` cannot be freed
            write_atomically(path, view)
    except StoreFailed as error:
        raise TrainingFailed(f"The checkpoint before is kept. {error} Then resume.") from error


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Return (arrays, facts) of a checkpoint.

    Raises
    ------
    TrainingFailed
        When there is no checkpoint, or it is damaged.
    """
    arrays = arrays_of(path, "is no checkpoint that can be resumed")
    try:
        return arrays, dict(json.loads(str(arrays.pop("facts"))))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingFailed(f"{path} is no checkpoint that can be resumed ({error}).") from error


def arrays_of(path: Path, otherwise: str) -> Arrays:
    """Return all arrays of a NumPy archive.

    Raises
    ------
    TrainingFailed
        When there is no such archive, it is damaged, or its arrays do not fit into memory. The message begins with the
        path and `otherwise`.
    """
    if path.exists() and not path.is_file():
        raise TrainingFailed(f"{path} {otherwise}: it is no regular file.")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            size = sum(part.file_size for part in archive.zip.infolist())
            if size > min(_free_memory(), max(_LARGEST, _DENSEST * path.stat().st_size)):
                raise TrainingFailed(f"{path} {otherwise}: it claims to hold {size / 2**30:.1f} GiB.")
            file.seek(-22, os.SEEK_END)  # where the directory of an archive without a comment ends
            if struct.unpack("<4s6xH10x", file.read(22)) != (b"PK\5\6", len(archive.files)):
                raise ValueError("its directory lacks arrays")
            return {name: archive[name] for name in archive.files}
    except TrainingFailed:
        raise
    except Exception as error:  # of zipfile, zlib and NumPy, which raise nearly anything on damaged files
        raise TrainingFailed(f"{path} {otherwise}, or is damaged ({error}).") from error


def _free_memory() -> float:
    try:
        import psutil  # optional: machines that train on packed images lack it
    except ImportError:
        return math.inf
    return float(psutil.virtual_memory().available)


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Raise what a damaged checkpoint leads to as `TrainingFailed`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, OverflowError) as error:
        if isinstance(error, BayesrError):
            raise
        raise TrainingFailed(f"{path} is no checkpoint that can be resumed: it is damaged ({error!r}).") from error


def network_of(path: Path) -> tuple[Generator, dict[str, Any]]:
    """Return (averaged network, facts) of a checkpoint, to start another training from.

    If the weights do not fit this version's stochastic head, the network is the backbone with its output head alone.

    Raises
    ------
    TrainingFailed
        When there is no checkpoint, or its network cannot be built.
    """
    arrays, facts = read(path)
    weights = part("average", arrays)
    try:
        architecture = read_architecture(check_architecture(facts["network"]))
        stored = {name: Weight(tuple(value.shape), value.is_floating_point()) for name, value in weights.items()}
        sketch(lambda: build(**architecture), stored)  # which is not larger than the weights
        with OwnRandomNumbers():  # initial weights, which are replaced
            network = build(**architecture)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise TrainingFailed(f"{path} holds a network that this version cannot build ({error}).") from error
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in network.state_dict().items()}:
        network.head = NoHead()
        weights = {k: v for k, v in weights.items() if not k.startswith("head.")}
    restore(path, network, weights)
    return network, facts


def origin_of(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry ``start`` of the card of a model whose training starts from a checkpoint, given its facts."""
    origin = {
        "checkpoint": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "recipe": facts.get("recipe", ""),
        "steps": facts["step"],
        "seconds": round(facts["seconds"]),
    }
    return origin | ({"start": facts["start"]} if facts.get("start") else {})


def restore(path: Path, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a module; errors name the checkpoint `path`.

    Raises
    ------
    TrainingFailed
        When they do not fit the module.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainingFailed(
            f"{path} holds another network than that of the recipe, although the sizes agree: it was written by "
            "another version. Start from it instead of resuming it."
        ) from error


def of_module(prefix: str, module: nn.Module) -> Arrays:
    """Return a module's weights and buffers as arrays."""
    weights = stored_names(module.state_dict())
    return {f"{prefix}/{name}": value.detach().cpu().numpy() for name, value in weights.items()}


def of_optimiser(prefix: str, optimiser: torch.optim.Optimizer) -> Arrays:
    """Return an optimiser's moments as arrays; its parameter groups follow from the recipe."""
    state = optimiser.state_dict()["state"]
    return {f"{prefix}/{i}/{k}": np.asarray(v.cpu()) for i, moments in state.items() for k, v in moments.items()}


def part(prefix: str, arrays: Arrays) -> dict[str, Tensor]:
    """Return the arrays below a prefix, as tensors."""
    return read_names(
        {k[len(prefix) + 1 :]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith(f"{prefix}/")}
    )


def restore_optimiser(optimiser: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> None:
    """Restore the moments that `of_optimiser` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in values.items():
        i, name = key.split("/")
        state.setdefault(int(i), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
