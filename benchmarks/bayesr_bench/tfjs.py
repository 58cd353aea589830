"""Networks in the files of TensorFlow.js: ``model.json``, and the binary files (shards) that it names, run by torch.

The format ``layers-model`` lists the layers of a network with their inputs. `Layers` runs those lists in which each
layer is one of a few operations on images: convolution, ReLU, concatenation, sum, product with a constant, and the
rearrangement of channels to pixels. Anything else is refused, since a guess would give other pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bayesr.errors import InvalidModel

_PLAIN = {"data_format": ("channels_last",), "activation": ("linear",), "padding": ("same",), "groups": (1,)}
"""Settings of convolutions that this module reads, with the values that it knows."""


class Layers:
    """A network of TensorFlow.js.

    Parameters
    ----------
    layers : sequence of mappings
        As the file lists them, inputs before the layers that use them. The last one is the output.
    weights : mapping of str to Tensor
        Of each convolution ``NAME/kernel``, of shape ``y x x x inputs x outputs``, and ``NAME/bias``.

    Raises
    ------
    InvalidModel
        If a layer is not known, or if its weights are missing.
    """

    def __init__(self, layers: Sequence[Mapping[str, Any]], weights: Mapping[str, Tensor]) -> None:
        self.parameters = sum(one.numel() for one in weights.values())
        self._steps: list[tuple[str, tuple[str, ...], Callable[..., Tensor]]] = []
        known: set[str] = set()
        for layer in layers:
            name, inputs = layer["name"], _inputs(layer)
            if not set(inputs) <= known:
                raise InvalidModel(f"Layer {name} uses {', '.join(set(inputs) - known)}, which no layer before it has.")
            self._steps.append((name, inputs, _operation(layer, weights)))
            known.add(name)
        if not self._steps:
            raise InvalidModel("The network has no layers.")
        self._last = {source: name for name, inputs, _ in self._steps for source in inputs}

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """Return the output for images ``n x 3 x y x x``."""
        found: dict[str, Tensor] = {}
        out = x
        for name, inputs, operation in self._steps:
            out = found[name] = operation(*(found[source] for source in inputs)) if inputs else x
            for source in inputs:  # memory: a result is dropped after its last use
                if self._last[source] == name:
                    found.pop(source, None)
        return out


def read(folder: Path) -> Layers:
    """Read a network from a folder with ``model.json`` and the files that it names.

    Raises
    ------
    InvalidModel
        If a file is missing or has another size than ``model.json`` says, or if a layer is not known.
    """
    try:
        model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        layers = model["modelTopology"]["model_config"]["config"]["layers"]
        weights: dict[str, Tensor] = {}
        for group in model["weightsManifest"]:
            weights |= _weights(b"".join(_shard(folder, name) for name in group["paths"]), group["weights"])
        return Layers(layers, weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InvalidModel):
            raise
        raise InvalidModel(
            f"{folder} holds no network of TensorFlow.js that can be read: {type(error).__name__} {error}. Install "
            "the package again."
        ) from error


def files(folder: Path) -> list[Path]:
    """Return ``model.json`` and the files that it names, for checksums, in their order."""
    groups = json.loads((folder / "model.json").read_text(encoding="utf-8"))["weightsManifest"]
    return [folder / "model.json", *(folder / Path(name).name for group in groups for name in group["paths"])]


def _shard(folder: Path, name: str) -> bytes:
    if Path(name).name != name:
        raise InvalidModel(f"model.json in {folder} names {name!r}: files outside of its folder are not read.")
    return (folder / name).read_bytes()


def _weights(raw: bytes, listed: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Return weights by name. The file holds them one after the other, as little-endian float32."""
    sizes = [math.prod(one["shape"]) for one in listed]
    other = {one["dtype"] for one in listed} - {"float32"} or {"quantised" for one in listed if "quantization" in one}
    if other:
        raise InvalidModel(f"The weights are {', '.join(sorted(other))}: only float32 is read.")
    if len(raw) != 4 * sum(sizes):
        raise InvalidModel(f"The files hold {len(raw)} bytes of weights, and model.json lists {4 * sum(sizes)}.")
    values, found, begin = np.frombuffer(raw, "<f4").astype(np.float32), {}, 0
    for one, size in zip(listed, sizes, strict=True):
        found[one["name"]] = torch.from_numpy(values[begin : begin + size].reshape(one["shape"]))
        begin += size
    return found


def _inputs(layer: Mapping[str, Any]) -> tuple[str, ...]:
    nodes = layer["inbound_nodes"]
    if len(nodes) > 1:
        raise InvalidModel(f"Layer {layer['name']} is used {len(nodes)} times: shared layers are not read.")
    return tuple(source[0] for node in nodes for source in node)


def _operation(layer: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Callable[..., Tensor]:
    """Return what a layer computes from its inputs, images ``n x channel x y x x``."""
    kind, name, settings = layer["class_name"], layer["name"], layer["config"]
    if kind == "InputLayer":
        return lambda x: x
    if kind == "Conv2D":
        return _convolution(name, settings, weights)
    if kind == "Activation" and settings["activation"] == "relu":
        return F.relu
    if kind == "Concatenate" and settings["axis"] in (3, -1):
        return lambda *parts: torch.cat(parts, 1)
    if kind == "Add":
        return lambda *parts: sum(parts[1:], parts[0])
    if kind == "MultiplyBeta":
        return lambda x, factor=float(settings["beta"]): x * factor
    if kind.startswith("PixelShuffle"):
        return lambda x, scale=int(settings["scale"]): depth_to_space(x, scale)
    raise InvalidModel(f"Layer {name} is a {kind} that is not known: this network cannot be run.")


def _convolution(name: str, settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    odd = [key for key, values in _PLAIN.items() if settings.get(key, values[0]) not in values]
    odd += [key for key in ("strides", "dilation_rate") if list(settings.get(key, (1, 1))) != [1, 1]]
    odd += [] if all(size % 2 for size in settings["kernel_size"]) else ["kernel_size"]
    if odd:
        raise InvalidModel(f"Convolution {name} has another {odd[0]} than this module knows.")
    kernel = weights[f"{name}/kernel"].permute(3, 2, 0, 1).contiguous()
    bias = weights[f"{name}/bias"] if settings["use_bias"] else None
    padding = kernel.shape[-2] // 2, kernel.shape[-1] // 2
    return lambda x: F.conv2d(x, kernel, bias, padding=padding)


def depth_to_space(x: Tensor, scale: int) -> Tensor:
    """Rearrange channels to pixels, as TensorFlow does: the channel of the result varies fastest.

    torch's `pixel_shuffle` expects the position inside the block to vary fastest.

    Parameters
    ----------
    x : Tensor
        Of shape ``n x (scale * scale * channel) x y x x``.
    scale : int
    """
    n, channels, height, width = x.shape
    parts = x.reshape(n, scale * scale, channels // scale**2, height, width).transpose(1, 2)
    return F.pixel_shuffle(parts.reshape(n, channels, height, width), scale)
