"""Timing of calls: in turn with a reference, in one process, on a bundled photograph."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import bayesr


class SRResNet(nn.Module):
    """The generator of SRGAN as published.

    Parameters
    ----------
    width : int
        Number of channels.
    blocks : int
        Number of residual blocks.

    References
    ----------
    C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017,
    arXiv:1609.04802.
    """

    def __init__(self, width: int = 64, blocks: int = 16) -> None:
        super().__init__()

        def normed(prelu: bool) -> list[nn.Module]:
            layers = [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)]
            return [*layers, nn.PReLU()] if prelu else layers

        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.ModuleList(nn.Sequential(*normed(True), *normed(False)) for _ in range(blocks))
        self.body = nn.Sequential(*normed(False))
        up = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        again = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.up = nn.Sequential(*up, *again, nn.Conv2d(width, 3, 9, padding=4))

    def forward(self, y: Tensor) -> Tensor:
        first = f = self.head(y)
        for block in self.blocks:
            f = f + block(f)
        out: Tensor = self.up(first + self.body(f))
        return out


def waiting(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Return a call that ends when the device has ended its work."""
    if torch.device(device).type != "cuda":
        return call

    def run() -> None:
        call()
        torch.cuda.synchronize(device)

    return run


def without_tf32(call: Callable[[], object]) -> Callable[[], object]:
    """Return a call whose convolutions have float32 on CUDA devices, as those of bayesr have of themselves."""

    def run() -> None:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            call()

    return run


def multiply_adds(call: Callable[[], object]) -> int:
    """Return the multiply-adds of convolutions and matrix products in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops()) // 2


def products_per_second(device: str, side: int = 2048) -> float:
    """Return the multiply-adds a second of the fastest of ten products of float32 matrices."""
    a, b = (torch.rand(side, side, dtype=torch.float32, device=device) for _ in range(2))
    call = waiting(partial(torch.mm, a, b), device)
    taken = []
    for _ in range(11):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return float(side**3 / min(taken[1:]))


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Time two calls in turn, after one call of each that is not timed.

    Parameters
    ----------
    ours, theirs : callable
    rounds : int

    Returns
    -------
    float
        Median over rounds of our time divided by theirs.
    float, float
        Median milliseconds of ours and of theirs.
    """
    times: list[tuple[float, float]] = []
    for call in (ours, theirs):
        call()
    for _ in range(rounds):
        taken = []
        for call in (ours, theirs):
            begun = time.perf_counter()
            call()
            taken.append(1e3 * (time.perf_counter() - begun))
        times.append((taken[0], taken[1]))
    return (
        statistics.median(a / b for a, b in times),
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
    )


def example() -> np.ndarray:
    """Return a bundled photograph, ``y x x x band``, uint8."""
    return np.asarray(PIL.Image.open(Path(bayesr.__file__).parent / "examples" / "coffee-x4.png"))
