"""The sections of a model file's metadata, checked, without weights or torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.input_check import InputStatistics
from bayesr.calibration.plain import mapping, number, text, whole
from bayesr.errors import InvalidModel
from bayesr.model.architecture import check_architecture
from bayesr.model.header import read_header

_LARGEST_HALO = 1024
"""Low-resolution pixels, far beyond the reach of any network that can be tiled."""


class Sections(NamedTuple):
    """What a model file says about its model."""

    header: dict[str, Any]
    architecture: Mapping[str, Any]
    forward_operator: Mapping[str, Any]
    calibration: Calibration
    inputs: InputStatistics | None
    halo: int


def read_sections(path: Path) -> Sections:
    """Return the checked sections of a model file.

    Raises
    ------
    InvalidModel
        For another file, and for values that no model has; the message names them.
    """
    header = read_header(path)
    if "segmenter" in header:
        raise InvalidModel(f"{path} is a segmenter, no model for sampling: give it to bayesr.segment.")
    try:
        for name in ("architecture", "observation", "calibration"):
            if name not in header:
                raise InvalidModel(f"it lacks {name}.")
        architecture = check_architecture(header["architecture"])
        for name in ("bands", "scale"):
            whole(f"architecture.{name}", architecture.get(name), 1)
        inputs = InputStatistics.from_description(header.get("inputs"))
        if inputs is not None and inputs.bands != architecture["bands"]:
            raise InvalidModel(f"inputs.bands is {inputs.bands}, and the network has {architecture['bands']} bands.")
        return Sections(
            header,
            architecture,
            mapping("observation", header["observation"]),
            Calibration.from_description(header["calibration"]),
            inputs,
            whole("halo", header.get("halo"), 0, _LARGEST_HALO),
        )
    except InvalidModel as error:
        raise unusable(path, error) from error


def segmenter_values(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says about a segmenter beside its network.

    Raises
    ------
    InvalidModel
        For values that no segmenter has; the message names them.
    """
    inputs = header.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(name, str) for name in inputs):
        raise InvalidModel(f"inputs must be a list of names, not {inputs!r}.")
    return {
        "inputs": tuple(inputs),
        "scaling": text("scaling", header.get("scaling")),
        "threshold": number("threshold", header.get("threshold"), 0, 1),
        "smallest": whole("smallest", header.get("smallest")),
        "card": header["card"],
        "sha256": header["sha256"],
    }


def unusable(path: Path, error: Exception) -> InvalidModel:
    """Return the error of a model file, with its path."""
    return InvalidModel(f"The model file {path} cannot be used: {str(error).rstrip('.')}.")
