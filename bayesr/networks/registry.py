"""Parts of networks by name, and the networks that architectures describe.

Add a part of your own to its table before its model files are loaded::

    from bayesr.networks.registry import BACKBONES

    BACKBONES["mine"] = MyBackbone

Then ``network=dict(backbone="mine", ...)`` works in recipes, and model files know the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from bayesr.errors import InvalidModel
from bayesr.isolation import isolated
from bayesr.networks.backbones.attention import AttentionBackbone
from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.backbones.rrdb import RRDBBackbone
from bayesr.networks.backbones.srresnet import SRResNetBackbone
from bayesr.networks.backbones.swin import SwinBackbone
from bayesr.networks.backbones.unet import UNetBackbone
from bayesr.networks.discriminators import (
    AttentionDiscriminator,
    ImageDiscriminator,
    PairedDiscriminator,
    PatchDiscriminator,
)
from bayesr.networks.ensemble import Ensemble
from bayesr.networks.features.efficientnet import EfficientNetLite0
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import Head, HeadOptions
from bayesr.networks.heads.marginal import GaussianHead, QuantileHead
from bayesr.networks.heads.stochastic import StochasticHead
from bayesr.networks.interpolation import Interpolation
from bayesr.networks.outputs import StagedOutput, SubPixelOutput

Part = TypeVar("Part")

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "residual": ResidualBackbone,
    "srresnet": SRResNetBackbone,
    "rrdb": RRDBBackbone,
    "swin": SwinBackbone,
    "attention": AttentionBackbone,
    "unet": UNetBackbone,
}
"""Backbones, made as ``Backbone(bands, width, blocks, **options)``; see `bayesr.networks.generator.Generator`."""

HEADS: dict[str, Callable[[HeadOptions], Head]] = {
    "stochastic": StochasticHead.from_options,
    "gaussian": GaussianHead.from_options,
    "quantile": QuantileHead.from_options,
}
"""Heads, made from `bayesr.networks.heads.base.HeadOptions`."""

OUTPUTS: dict[str, Callable[[int, int, int], nn.Module]] = {"sub-pixel": SubPixelOutput, "staged": StagedOutput}
"""Output heads, made as ``Output(width, bands, scale)``; see `bayesr.networks.outputs`."""

FEATURES: dict[str, Callable[[], nn.Module]] = {"efficientnet-lite0": EfficientNetLite0.bundled}
"""Feature networks with bundled weights, whose method ``features`` returns the features of images."""

DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "patch": PatchDiscriminator,
    "paired": PairedDiscriminator,
    "image": ImageDiscriminator,
    "attention": AttentionDiscriminator,
}
"""Discriminators, made as ``Discriminator(bands, scale, **options)``; see `bayesr.networks.discriminators`."""


@isolated
def build(**architecture: Any) -> Generator:
    """Build the network of an architecture.

    Parameters
    ----------
    **architecture
        Options of one of `NETWORKS`, if its entry is among them, else of `generator`.

    Raises
    ------
    InvalidModel
        For an unknown part.
    """
    for entry, make in NETWORKS.items():
        if entry in architecture:
            return make(**architecture)
    return generator(**architecture)


def generator(
    bands: int = 3,
    scale: int = 4,
    width: int = 48,
    blocks: int = 8,
    head_width: int = 24,
    head_blocks: int = 3,
    latent: int = 8,
    dropout: float = 0.1,
    head: str = "stochastic",
    gaussian_dropout: bool = False,
    direct: bool = False,
    mix: int = 0,
    smooth: bool = False,
    backbone: str = "residual",
    backbone_options: Mapping[str, Any] | None = None,
    output: str = "sub-pixel",
) -> Generator:
    """Build a generator from the names and sizes of its parts.

    Parameters
    ----------
    bands, scale : int
        Bands, and the scale factor.
    width, blocks : int
        Channels and blocks of the backbone.
    head_width, head_blocks, latent : int
        Channels and blocks of the head, and latent channels per block. ``head_blocks=0`` makes a point estimator,
        ``latent=0`` leaves dropout as the only randomness.
    dropout : float
        Initial dropout rate; 0 for no dropout.
    head : str
        One of `HEADS`; ``"gaussian"`` and ``"quantile"`` model every pixel by itself.
    gaussian_dropout, direct, mix, smooth : bool, bool, int, bool
        `gaussian`, `direct`, `mix` and `smooth` of `bayesr.networks.heads.stochastic.StochasticHead`.
    backbone : str
        One of `BACKBONES`.
    backbone_options : mapping, optional
        Further options of the backbone.
    output : str
        One of `OUTPUTS`: one convolution and pixel shuffle, or SRGAN's stages.

    Raises
    ------
    InvalidModel
        For an unknown backbone, output or head.
    """
    make_backbone = _part("backbone", backbone, BACKBONES, "BACKBONES")
    make_output = _part("output", output, OUTPUTS, "OUTPUTS")
    make_head = _part("head", head, HEADS, "HEADS")
    # Options at their defaults are left out, so that files older than an option keep their description.
    options = {
        "head": head if head != "stochastic" else "",
        "gaussian_dropout": gaussian_dropout,
        "direct": direct,
        "mix": mix,
        "smooth": smooth,
        "backbone": backbone if backbone != "residual" else "",
        "backbone_options": dict(backbone_options or {}),
        "output": output if output != "sub-pixel" else "",
    }
    architecture: dict[str, Any] = {
        "bands": bands,
        "scale": scale,
        "width": width,
        "blocks": blocks,
        "head_width": head_width,
        "head_blocks": head_blocks,
        "latent": latent,
    } | {name: value for name, value in options.items() if value}
    # Initial weights depend on the order in which parts are made.
    made: Any = make_backbone(bands, width, blocks, **(backbone_options or {}))
    features = int(made.width)
    up = make_output(features, bands, scale)
    sizes = (features, bands * scale**2, head_width, head_blocks, latent)
    return Generator(
        made,
        up,
        make_head(HeadOptions(*sizes, dropout, gaussian_dropout, direct, mix, smooth, scale)),
        scale,
        architecture,
    )


def ensemble(networks: int, **network: Any) -> Ensemble:
    """Build a deep ensemble of so many networks, each made by `generator`."""
    return Ensemble([generator(**network) for _ in range(networks)])


NETWORKS: dict[str, Callable[..., Generator]] = {"interpolation": Interpolation, "networks": ensemble}
"""Networks other than a single generator, by the entry of an architecture that asks for them."""


def _part(part: str, name: str, table: Mapping[str, Part], variable: str) -> Part:
    if name not in table:
        raise InvalidModel(
            f"Unknown {part} {name!r}: use one of {', '.join(table)}, or add your own to "
            f"bayesr.networks.registry.{variable} first."
        )
    return table[name]
