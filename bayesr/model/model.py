"""Model: a network with what it needs to be used rightly. One safetensors file, never a pickle."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bayesr import observe
from bayesr.calibration.calibration import Calibration
from bayesr.calibration.inputs import InputCheck, InputStatistics
from bayesr.errors import InvalidModel
from bayesr.model.catalogue import FORMAT, locate, read_header
from bayesr.networks.generator import Generator
from bayesr.networks.registry import build
from bayesr.networks.stored import read_architecture, read_names, stored_architecture, stored_names


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, the observation it inverts, its calibration and its papers.

    Attributes
    ----------
    name : str
    generator : Generator
        In evaluation mode; sampling never changes it.
    observation : Observation
        The operator that every member reproduces the input under.
    calibration : Calibration
    inputs : InputStatistics or None
        What the calibration's images look like; None where too few were at hand to know.
    card : dict
        Provenance: domain, data, licence, steps, seed, commit, parameters, scores.
    sha256 : str
        Checksum of the weights as stored.
    """

    name: str
    generator: Generator
    observation: observe.ForwardOperator
    calibration: Calibration = field(default_factory=Calibration)
    card: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    inputs: InputStatistics | None = None

    @property
    def scale(self) -> int:
        """High-resolution pixels per low-resolution pixel along an axis."""
        return self.observation.scale

    @property
    def bands(self) -> int:
        """Bands that the network takes at once; a one-band model takes any number, one by one."""
        return int(self.generator.architecture["bands"])

    @property
    def halo(self) -> int:
        """Low-resolution pixels around a tile that can influence it by more than float accuracy."""
        return self.generator.reach + self.observation.reach + self.observation.clipping_reach

    @property
    def promises(self) -> dict[str, bool]:
        """Which promises hold: ``consistency`` (A x = y for each member) and ``one_image`` (tiles agree).

        Without consistency, as for noisy observations, ``|y - A x|^2`` is of the size of the noise, as far as
        the network has learnt it. Without one image, as for attention across all of it, what is cut into tiles is
        not what it would be in one piece.
        """
        return {"consistency": self.observation.exact, "one_image": self.generator.local}

    def check(self, pixels: NDArray[np.floating]) -> InputCheck:
        """Whether an image `band x y x x`, in network units, is like those that the calibration holds for."""
        if self.inputs is None:
            return InputCheck({}, "the model stores no statistics of its calibration's images")
        return self.inputs.check(pixels)

    def on(self, device: torch.device) -> Model:
        """This model with its network on a device; itself where it is there already."""
        if all(weight.device == device for weight in self.generator.parameters()):
            return self
        return replace(self, generator=copy.deepcopy(self.generator).to(device))

    def sample(self, img: Any, n: int = 32, **options: Any) -> xr.Dataset:
        """`bayesr.sample` with this model."""
        from bayesr.sampling.workflow import sample

        return sample(img, n, model=self, **options)

    def save(self, path: str | Path) -> Path:
        """Write the model file, weights as fp16, replacing it whole or not at all."""
        return write(
            path,
            self.generator,
            {
                "architecture": stored_architecture(self.generator.architecture),
                "observation": self.observation.describe(),
                "halo": self.halo,
                "value_scaling": "value_range to [0, 1]",
                "calibration": self.calibration.describe(),
                "inputs": None if self.inputs is None else self.inputs.describe(),
                "card": dict(self.card),
            },
        )


def write(path: str | Path, network: torch.nn.Module, header: Mapping[str, Any]) -> Path:
    """Write weights as fp16 with a header that says what they are, replacing the file whole or not at all."""
    from safetensors.torch import save

    path = Path(path)
    weights = {k: stored(v.detach().cpu()).contiguous() for k, v in stored_names(network.state_dict()).items()}
    known = {"format": FORMAT, **header, "sha256": checksum(weights)}
    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(save(weights, metadata={"bayesr": json.dumps(known)}))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_weights(path: Path, header: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights in a file that `write` wrote.

    Raises
    ------
    InvalidModel
        When they do not have the checksum that the header records.
    """
    from safetensors.torch import load_file

    weights = load_file(path)
    if checksum(weights) != header["sha256"]:
        raise InvalidModel(f"The weights in {path} do not have their recorded checksum: copy the file again.")
    return weights


def stored(weight: torch.Tensor) -> torch.Tensor:
    """As fp16; what only counts, such as the batches that a normalisation saw, stays as it is."""
    return weight.half() if weight.is_floating_point() else weight


def checksum(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names and values, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].numpy().tobytes())
    return digest.hexdigest()


def load(name_or_path: str | Path | Model) -> Model:
    """Load a model.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a bundled model (see `bayesr.models`) or a model file.

    Returns
    -------
    Model

    Raises
    ------
    UnknownModel
        When there is no such model; the message names the nearest.
    InvalidModel
        When the file is damaged, a pickle, or of another version.
    """
    if isinstance(name_or_path, Model):
        return name_or_path
    path = locate(name_or_path)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> Model:
    from safetensors import SafetensorError

    header = read_header(path)
    try:
        weights = read_weights(path, header)
        generator = build(**read_architecture(header["architecture"]))
        generator.load_state_dict(read_names(weights))  # which makes float32 of fp16
        model = Model(
            name=path.stem,
            generator=generator.eval().requires_grad_(False).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            observation=observe.from_description(header["observation"]),
            calibration=Calibration.from_description(header["calibration"]),
            card=header["card"],
            sha256=header["sha256"],
            inputs=InputStatistics.from_description(header.get("inputs")),
        )
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise InvalidModel(f"The model file {path} cannot be used: {error}.") from error
    return model
