"""The denoiser that samplers of deepinv use as their prior.

The network is a DRUNet of deepinv that trains in minutes on a CPU. Images are folded 2x2, which reduces its cost to a
quarter, and it is preconditioned, so that one network denoises all noise levels. It is trained on the same images, on
as many pixels in a patch, and for the same processor seconds as the recipes.

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
"""Range of the noise's standard deviation in training, for images in [0, 1]. At the largest only noise is visible."""
PATCH, BATCH, RATE = 64, 16, 2e-3
_SPREAD, _MIDDLE = 0.25, 0.5
"""Approximate standard deviation and mean of pixels."""
_FOLD, _WIDTHS, _BLOCKS = 2, (32, 64, 64, 64), 1
_DECAY = 0.999
"""Decay of the exponential moving average of the weights, which is the result of training."""


def deepinv() -> Any:
    """Import and return the module ``deepinv``.

    Raises
    ------
    EngineUnavailable
        If it is not installed.
    """
    torchvision()  # deepinv imports torchvision, which fails beside a CPU build of torch unless it is prepared
    try:
        import deepinv as package  # optional
    except ImportError as error:
        raise EngineUnavailable(
            f"The samplers of deepinv need deepinv, which is not installed ({error}): "
            "pip install 'bayesr-bench[deepinv]'."
        ) from error
    return package


class Folded(nn.Module):
    """Network on images whose pixels are folded 2x2: four times the bands at half the resolution.

    Parameters
    ----------
    network : Module
        Takes folded images and the noise level that the preconditioning passes on.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor, **unused: Any) -> Tensor:
        # The preconditioning passes log(sigma) / 4, which must not exceed the values of training.
        sigma = sigma.clamp(max=math.log(NOISE[1]) / 4)
        return F.pixel_shuffle(self.network(F.pixel_unshuffle(x, _FOLD), sigma), _FOLD)


class Centred(nn.Module):
    """Denoiser of images in [0, 1] by one of images around 0: ``D(x, sigma) = 1/2 + D_0(x - 1/2, sigma)``."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, sigma: Tensor | float, **unused: Any) -> Tensor:
        found: Tensor = self.denoiser(x - _MIDDLE, sigma) + _MIDDLE
        return found


def network(bands: int = 3) -> nn.Module:
    """Return an untrained denoiser. It takes images ``n x band x y x x`` in about [0, 1], and sigma."""
    package, folded = deepinv(), bands * _FOLD**2
    inner = package.models.DRUNet(folded, folded, nc=_WIDTHS, nb=_BLOCKS, pretrained=None)
    from deepinv.models.precond import EDMPrecond  # optional

    for layer in inner.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    for name, layer in inner.named_modules():  # residual branches and the last layer start small, or training diverges
        if name.endswith("res.2") or name == "m_tail":
            layer.weight.data.mul_(0.2 if name != "m_tail" else 0.1)
    found = Centred(EDMPrecond(Folded(inner), pixel_std=_SPREAD))
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(images: ImageSet, budget: float, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
    """Train a denoiser for a number of processor seconds.

    Every step draws patches, and noise whose standard deviation is log-uniform in `NOISE`. The loss is the squared
    error, weighted so that all noise levels count equally. The learning rate falls to zero at the end of the budget.

    Parameters
    ----------
    images : ImageSet
    budget : float
        Processor seconds.
    seed : int

    Returns
    -------
    denoiser : Module
    card : dict
        Facts for its file.
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
    """Write the denoiser and its facts. A failure leaves an existing file unchanged."""
    return write(path, denoiser, {"card": dict(card)})


def load(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return a denoiser and the facts in its file."""
    header = read_header(path)
    found = network().eval().requires_grad_(False)
    found.load_state_dict({name: weight.float() for name, weight in read_weights(path, header).items()})
    return found, header["card"]
