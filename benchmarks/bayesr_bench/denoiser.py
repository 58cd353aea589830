"""The denoiser that samplers of deepinv take for their prior: one of its own networks, trained here.

Its network is deepinv's DRUNet, small enough for minutes on a CPU: on images folded 2x2, which quarters its cost, and
preconditioned, so that one network serves noise of any size. It learns from the images, the patches' pixels and the
processor seconds that every recipe learns from.

References
----------
K. Zhang et al., "Plug-and-play image restoration with deep denoiser prior", 2021, arXiv:2008.13751.
T. Karras et al., "Elucidating the design space of diffusion-based generative models", 2022, arXiv:2206.00364.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import EngineUnavailable
from bayesr.model.file import read_weights, write
from bayesr.model.header import read_header
from bayesr.networks.vision import torchvision
from bayesr.observe import bicubic
from bayesr.training.data import ImageSet
from bayesr.training.pairs import Pairs
from bayesr_bench.sets import SCALE

NOISE = (0.003, 3.0)
"""Standard deviations that it is trained for, where images are in [0, 1]; beyond the largest, noise is all it sees."""
PATCH, BATCH, RATE = 64, 16, 2e-3
_SPREAD, _MIDDLE = 0.25, 0.5
"""Of pixels, about."""
_FOLD, _WIDTHS, _BLOCKS = 2, (32, 64, 64, 64), 1
_DECAY = 0.999
"""Of the average of the weights, which is what is kept."""


def deepinv() -> Any:
    """The module ``deepinv``, imported.

    Raises
    ------
    EngineUnavailable
        When it is not installed.
    """
    torchvision()  # deepinv imports it, which fails beside a torch built for CPUs alone
    try:
        import deepinv as package
    except ImportError as error:
        raise EngineUnavailable(
            f"The samplers of deepinv are measured, too, and it is not installed ({error}): "
            "pip install 'bayesr-bench[deepinv]'."
        ) from error
    return package


class Folded(nn.Module):
    """A network of `12` bands on images of 3, whose pixels are folded 2x2.

    Parameters
    ----------
    network : Module
        Takes images and the standard deviations of their noise.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor, **unused: Any) -> Tensor:
        # Of noise, the preconditioning tells the logarithm over 4, which beyond the largest would be foreign.
        sigma = sigma.clamp(max=math.log(NOISE[1]) / 4)
        return F.pixel_shuffle(self.network(F.pixel_unshuffle(x, _FOLD), sigma), _FOLD)


class Centred(nn.Module):
    """A denoiser of images about 0, for those in [0, 1]: ``D(x, sigma) = 1/2 + D_0(x - 1/2, sigma)``."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, sigma: Tensor | float, **unused: Any) -> Tensor:
        found: Tensor = self.denoiser(x - _MIDDLE, sigma) + _MIDDLE
        return found


def network(bands: int = 3) -> nn.Module:
    """A denoiser that has learnt nothing; it takes images `n x band x y x x` in about [0, 1], and sigma."""
    package, folded = deepinv(), bands * _FOLD**2
    inner = package.models.DRUNet(folded, folded, nc=_WIDTHS, nb=_BLOCKS, pretrained=None)
    from deepinv.models.precond import EDMPrecond

    for layer in inner.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    for name, layer in inner.named_modules():  # residual branches and the end begin small, or training diverges
        if name.endswith("res.2") or name == "m_tail":
            layer.weight.data.mul_(0.2 if name != "m_tail" else 0.1)
    found = Centred(EDMPrecond(Folded(inner), pixel_std=_SPREAD))
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(images: ImageSet, budget: float, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
    """(a denoiser, facts for its file) after so many processor seconds of training steps.

    Every step draws patches, noise whose standard deviation is log-uniform in `NOISE`, and takes the squared error,
    weighted so that it counts alike at every size of noise. The rate falls with the budget, to zero at its end.

    Parameters
    ----------
    images : ImageSet
    budget : float
        Seconds.
    seed : int
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(images.bands).train()
    pairs = Pairs(images, bicubic(SCALE), PATCH // SCALE)
    average = copy.deepcopy(net).eval().requires_grad_(False)
    optimiser = torch.optim.Adam(net.parameters(), RATE, betas=(0.9, 0.99))
    least, most = map(math.log, NOISE)
    begun, steps, spent = time.process_time(), 0, 0.0
    while not steps or spent < budget:
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * min(1, spent / budget)))
        x = pairs.batch(BATCH, random)[1].contiguous(memory_format=torch.channels_last)
        sigma = torch.exp(least + (most - least) * torch.rand(BATCH, 1, 1, 1, generator=random))
        noise = torch.randn(x.shape, generator=random)
        error = net(x + sigma * noise, sigma.flatten()) - x
        loss = (error**2 * (1 / sigma**2 + 1 / _SPREAD**2)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        steps += 1
        share = 1 - min(_DECAY, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for mine, new in zip(average.parameters(), net.parameters(), strict=True):
                mine.lerp_(new, share)
        spent = time.process_time() - begun
    card = {
        "parameters": sum(p.numel() for p in average.parameters()),
        "steps": {"denoiser": steps},
        "processor_seconds": round(spent, 1),
        "images": len(pairs.starts),
        "noise": list(NOISE),
    }
    return average, card


def save(denoiser: nn.Module, card: Mapping[str, Any], path: Path) -> Path:
    """Write the denoiser with its facts, replacing the file whole or not at all."""
    return write(path, denoiser, {"card": dict(card)})


def load(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """(a denoiser, the facts of its file)."""
    header = read_header(path)
    found = network().eval().requires_grad_(False)
    found.load_state_dict({name: weight.float() for name, weight in read_weights(path, header).items()})
    return found, header["card"]
