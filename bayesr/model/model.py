"""Model: a network with its forward operator, calibration and metadata, in one safetensors file."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from safetensors import SafetensorError

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.input_check import InputCheck, InputStatistics
from bayesr.errors import InvalidForwardOperator, InvalidModel
from bayesr.isolation import isolated
from bayesr.model.catalogue import locate, row_of, rows_of_html, rows_of_text
from bayesr.model.file import load_network, weights_checksum, write
from bayesr.model.sections import read_sections, unusable
from bayesr.networks.generator import Generator
from bayesr.networks.registry import build
from bayesr.networks.stored import read_architecture, stored_architecture
from bayesr.observe import ForwardOperator, from_description

_log = logging.getLogger(__name__)
VALUE_SCALING = "value_range to [0, 1]"
"""What is done to values before the network sees them."""


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained network with the forward operator that it inverts, calibration and metadata.

    Attributes
    ----------
    name : str
    generator : Generator
        The network, in evaluation mode; sampling never changes it.
    forward_operator : ForwardOperator
        The forward operator A.
    calibration : Calibration
    inputs : InputStatistics or None
        Statistics of the calibration images; None if these were too few.
    card : dict
        Metadata: domain, data, licence, steps, seed, commit, parameters, scores.
    sha256 : str
        Checksum of the weights as stored.
    declared_halo : int
        Halo in the model file. A larger one than needed is kept: tiles of old products are redrawn bit for bit.
    """

    name: str
    generator: Generator
    forward_operator: ForwardOperator
    calibration: Calibration = field(default_factory=Calibration)
    card: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    inputs: InputStatistics | None = None
    declared_halo: int = 0

    @property
    def scale(self) -> int:
        """Scale factor."""
        return self.forward_operator.scale

    @property
    def bands(self) -> int:
        """Number of bands that the network takes at once; a one-band model takes any number, one by one."""
        return int(self.generator.architecture["bands"])

    @property
    def halo(self) -> int:
        """Low-resolution pixels from which the input can influence a tile by more than float accuracy."""
        needed = self.generator.reach + self.forward_operator.reach + self.forward_operator.clipping_reach
        return max(needed, self.declared_halo)

    @property
    def promises(self) -> dict[str, bool]:
        """Which promises hold: ``consistency`` (A x = y for each member) and ``one_image`` (tiles agree).

        Without consistency, ``|y - A x|^2`` is about as large as the noise, as far as learnt. Without one image, as for
        global attention, the result depends on the tiling.
        """
        return {"consistency": self.forward_operator.exact, "one_image": self.generator.local}

    def check(self, pixels: NDArray[np.floating]) -> InputCheck:
        """Compare an image with the calibration images.

        Parameters
        ----------
        pixels : ndarray
            `band x y x x`, in network units.
        """
        if self.inputs is None:
            return InputCheck({}, "the model stores no statistics of its calibration's images")
        return self.inputs.check(pixels)

    def on(self, device: torch.device) -> Model:
        """Return this model with its network on a device; itself if it is there already."""
        there = all(weight.device == device for weight in self.generator.parameters())
        return self if there else replace(self, generator=copy.deepcopy(self.generator).to(device))

    def sample(self, img: Any, n: int = 32, **options: Any) -> xr.Dataset:
        """Draw members of an image with this model; see `bayesr.sample`."""
        from bayesr.sampling.workflow import sample  # sampling imports models: the one exception to the import order

        return sample(img, n, model=self, **options)

    def __repr__(self) -> str:
        return rows_of_text([row_of(self)])

    def _repr_html_(self) -> str:
        return rows_of_html([row_of(self)])

    def save(self, path: str | Path) -> Path:
        """Write the model file, weights as fp16, atomically."""
        return write(
            path,
            self.generator,
            {
                "architecture": stored_architecture(self.generator.architecture),
                "observation": self.forward_operator.describe(),
                "halo": self.halo,
                "value_scaling": VALUE_SCALING,
                "calibration": self.calibration.describe(),
                "inputs": None if self.inputs is None else self.inputs.describe(),
                "card": dict(self.card),
            },
        )

    def to_onnx(
        self, folder: str | Path, *, size: tuple[int, int] | None = None, overwrite: bool = False
    ) -> list[Path]:
        """Write the network as two ONNX graphs, for programs without torch.

        ``backbone.onnx`` maps an image ``y``, `1 x bands x h x w`, to the features that members share. ``head.onnx``
        maps these, latents ``z``, `n x latent_channels x h x w`, and masks to ``g``, `n x bands x sh x sw`. The image
        is ``A+ y + P g``: forward operator and calibration are described in the metadata, JSON under ``bayesr``, and
        are not part of the graphs.

        Parameters
        ----------
        folder : path
            Made if it does not exist; its parent must. An ensemble has two files for each network,
            ``backbone-0.onnx`` and so on.
        size : tuple of int, optional
            Height and width of all images, in low-resolution pixels. By default graphs take any size; the backbones
            ``swin`` and ``unet`` need one.
        overwrite : bool
            Replace existing files.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        EngineUnavailable
            When ``onnx`` or ``onnxscript`` is missing (``pip install 'bayesr[onnx]'``), and when the network needs a
            size or cannot be converted.
        InvalidArgument
            For a size that is none.
        StoreExists, StoreFailed
            When a file exists, or cannot be written.
        """
        from bayesr.model import onnx_files  # slow to import

        return onnx_files.write(folder, self.on(torch.device("cpu")).generator, self.describe(), size, overwrite)

    def describe(self) -> dict[str, Any]:
        """Return what other programs need beside the network, as plain values.

        Returns
        -------
        dict
            ``name scale bands forward_operator value_scaling calibration card sha256``; ``sha256`` is the checksum of
            the weights as a model file stores them.
        """
        return {
            "name": self.name,
            "scale": self.scale,
            "bands": self.bands,
            "forward_operator": self.forward_operator.describe(),
            "value_scaling": VALUE_SCALING,
            "calibration": self.calibration.describe(),
            "card": dict(self.card),
            "sha256": self.sha256 or weights_checksum(self.generator),
        }

    @classmethod
    def from_pretrained(
        cls, repository: str, *, filename: str = "model.safetensors", revision: str | None = None
    ) -> Model:
        """Load a model from a repository of the Hugging Face Hub, which is downloaded once.

        The library ``huggingface_hub`` downloads and keeps the file; its settings apply, such as ``HF_ENDPOINT``,
        ``HF_HOME`` and ``HF_HUB_OFFLINE``. `bayesr.load` then reads it with all its checks: only model files of bayesr
        are read, never pickles.

        Parameters
        ----------
        repository : str
            ``"org/name"``. The model has the name ``name``.
        filename : str
            A model file in the repository.
        revision : str, optional
            Branch, tag or commit; the main branch by default.

        Returns
        -------
        Model

        Raises
        ------
        EngineUnavailable
            When ``huggingface_hub`` is not installed (``pip install 'bayesr[hub]'``).
        UnknownModel
            When there is no such repository, revision or file.
        InvalidArgument
            For names that cannot be those of a repository or a model file.
        InvalidModel
            When the file is damaged or no model of bayesr.
        StoreFailed
            When the hub does not answer.
        """
        from bayesr.model.hub import download  # optional, and slow to import

        return replace(load(download(repository, filename, revision)), name=repository.rpartition("/")[2])


@isolated  # a model stays loaded for later calls
def load(name_or_path: str | Path | Model) -> Model:
    """Load a model.

    Parameters
    ----------
    name_or_path : str, Path or Model
        The name of a bundled model (see `bayesr.models`) or a model file. A `Model` is returned as it is.

    Returns
    -------
    Model

    Raises
    ------
    UnknownModel
        When there is no such model; the message lists the nearest names.
    InvalidModel
        When the file is damaged, a pickle, or of another version, and when a `Model` has weights that are not float32.
    """
    if isinstance(name_or_path, Model):
        return _computable(name_or_path)
    path = locate(name_or_path)
    model = _load(path, path.stat().st_mtime_ns)
    _log.info("model %s from %s, weights %s", model.name, path, model.sha256[:12])
    return model


@lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> Model:
    sections = read_sections(path)
    architecture = read_architecture(sections.architecture)
    try:
        operator = from_description(sections.forward_operator)
        if operator.scale != architecture["scale"]:
            raise InvalidModel(
                f"its forward operator has the scale {operator.scale}, and its network {architecture['scale']}"
            )
        return Model(
            name=path.stem,
            generator=load_network(path, sections.header, lambda: build(**architecture)),
            forward_operator=operator,
            calibration=sections.calibration,
            card=sections.header["card"],
            sha256=sections.header["sha256"],
            inputs=sections.inputs,
            declared_halo=sections.halo,
        )
    except (SafetensorError, InvalidModel, InvalidForwardOperator, TypeError, RuntimeError) as error:
        raise unusable(path, error) from error


def _computable(model: Model) -> Model:
    weights = [*model.generator.parameters(), *model.generator.buffers()]
    wrong = next((w for w in weights if w.is_meta or (w.is_floating_point() and w.dtype != torch.float32)), None)
    if wrong is not None:
        what = "without values, on the device 'meta'" if wrong.is_meta else f"of the type {wrong.dtype}"
        raise InvalidModel(
            f"The network of {model.name} has weights {what}, and networks compute in float32: build it with "
            "bayesr.networks.registry.build, which makes float32 whatever torch's defaults are, or convert it with "
            "generator.float()."
        )
    return model
