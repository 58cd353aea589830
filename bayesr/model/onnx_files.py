"""A model as two ONNX graphs, ``backbone.onnx`` and ``head.onnx``, for programs without torch.

Both halves of the network are graphs (`bayesr.networks.exchange`). The forward operator and the calibration are not:
metadata describe them, and ``docs/exchange.md`` what is computed outside of the graphs.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from bayesr.errors import EngineUnavailable, StoreExists, StoreFailed
from bayesr.files import failures_of, write_atomically
from bayesr.isolation import isolated
from bayesr.networks import exchange
from bayesr.networks.generator import Generator

OPSET = 20
"""Version of the operators of ONNX."""
FORMAT = 1
"""Version of the metadata."""
_NOTE = (
    "The calibrated standard deviation is factor(s) * s, of the raw standard deviation s of members in network units: "
    "log(factor) + log(s) is linear in log(s) between the points (spread, factor), and factor is constant outside, at "
    "most 8. An interval is mean +- half_width(level, n) calibrated standard deviations, which bayesr tabulates."
)


def write(
    folder: str | os.PathLike[str],
    generator: Generator,
    description: Mapping[str, Any],
    size: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write both halves of a network; see `bayesr.Model.to_onnx`.

    Parameters
    ----------
    folder : path
        Made if it does not exist; its parent must.
    generator : Generator
        An ensemble has two files for each of its networks, ``backbone-0.onnx`` and so on.
    description : mapping
        Plain values about the model, which are added to the metadata.
    size, overwrite
        As in `bayesr.Model.to_onnx`.

    Returns
    -------
    list of Path
        The files.
    """
    _require()
    target = Path(folder)
    files: dict[str, bytes] = {}
    several = len(generator.parts) > 1
    names = [f"-{number}" if several else "" for number in range(len(generator.parts))]
    places = [target / f"{half}{name}.onnx" for name in names for half in ("backbone", "head")]
    if (taken := [path for path in places if path.exists()]) and not overwrite:
        raise StoreExists(f"{taken[0]} exists: use overwrite=True, or another folder.")
    if not target.absolute().parent.is_dir():
        raise StoreFailed(f"There is no folder {target.parent} to make {target.name} in: make it first.")
    for name, network in zip(names, generator.parts, strict=True):
        for half, content in graphs(network, description, size).items():
            files[f"{half}{name}.onnx"] = content
    with failures_of(target):
        target.mkdir(exist_ok=True)
    for place in places:
        write_atomically(place, files[place.name])
    return places


@isolated
def graphs(network: Generator, description: Mapping[str, Any], size: tuple[int, int] | None = None) -> dict[str, bytes]:
    """Return ``backbone`` and ``head`` as ONNX files with metadata.

    Raises
    ------
    InvalidArgument
        For a size that is none.
    EngineUnavailable
        When the packages are missing, or the network cannot be converted.
    """
    _require()
    backbone, head = exchange.export(network, size)
    parts = exchange.halves(network) if size is None else exchange.halves(network, size)
    masks = [f"mask_{number}" for number in range(len(parts.masks))]
    metadata = {
        "format": FORMAT,
        "opset": OPSET,
        **description,
        "latent_channels": network.latent_channels,
        "size": None if size is None else list(size),
        "features": list(parts.features),
        "masks": [{"name": name} | law for name, law in zip(masks, parts.masks, strict=True)],
        "calibration_note": _NOTE,
    }
    latents = ["z"] if network.latent_channels else []
    return {
        "backbone": convert(backbone, ["y"], list(parts.features), metadata),
        "head": convert(head, [*parts.features, *latents, *masks], ["g"], metadata),
    }


def convert(
    program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str], metadata: Mapping[str, Any]
) -> bytes:
    """Return a traced program as an ONNX file, with metadata as JSON under ``bayesr``.

    Raises
    ------
    EngineUnavailable
        When ONNX has no operators for it.
    """
    try:
        with _quiet(), torch.no_grad():
            made: Any = torch.onnx.export(
                program,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = " ".join(str(cause).split())[:300]
        raise EngineUnavailable(f"ONNX cannot hold this network ({reason}): use it in bayesr.") from error
    _keep_names(made.model.graph, {*inputs, *outputs})
    made.model.metadata_props["bayesr"] = json.dumps(metadata)
    proto = made.model_proto
    _name_axes(proto.graph)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _keep_names(graph: Any, taken: set[str]) -> None:
    """Rename values inside a graph that have the names of its inputs or outputs, which torch does not avoid."""
    ends = {id(value) for value in (*graph.inputs, *graph.outputs)}
    for node in graph:
        for value in node.outputs:
            if value.name in taken and id(value) not in ends:
                value.name = f"inner_{value.name}"


def _name_axes(graph: Any) -> None:
    """Give free axes the names of what they count, in place of torch's symbols."""
    names: dict[str, str] = {}
    for value in graph.input:
        axes = {**({0: "members"} if value.name == "z" else {}), 2: "height", 3: "width"}
        for place, size in enumerate(value.type.tensor_type.shape.dim):
            if size.dim_param:
                names[size.dim_param] = axes.get(place, size.dim_param)
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(r"\w+", lambda found: names.get(found[0], found[0]), size.dim_param)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter of torch from warning and logging about its own parts."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _require() -> None:
    """Refuse before any work when the packages of the extra are missing."""
    try:
        import onnx  # optional
        import onnxscript  # optional
    except ImportError as error:
        raise EngineUnavailable("ONNX files need onnx and onnxscript: pip install 'bayesr[onnx]'.") from error
    del onnx, onnxscript
