"""SRGAN's generator, cut where the randomness enters: a backbone that runs once, a head that runs n times.

    g(y, z, m) = up(f) + head(f, z, m),    f = backbone(y)

``up(f)`` is the deterministic detail; the head adds the deviation of a member. The observation
turns ``g`` into an image that explains `y`; that is the caller's part.

Any backbone goes with the one head. A backbone is made as ``Backbone(bands, width, blocks, **options)``, maps
`n x bands x h x w` to `n x width x h x w` for every size, and says of itself its `width`, its `reach` (how many
low-resolution pixels an output pixel sees in every direction; None for all of the image) and its `multiple` (where
windows of the image must begin for tiles to agree).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.attention import AttentionBackbone
from bayesr.networks.backbones.residual import ResidualBackbone, convolution
from bayesr.networks.backbones.rrdb import RRDBBackbone
from bayesr.networks.backbones.srresnet import SRResNetBackbone, StagedOutput
from bayesr.networks.backbones.swin import SwinBackbone
from bayesr.networks.backbones.unet import UNetBackbone
from bayesr.networks.heads.marginal import GaussianHead, QuantileHead
from bayesr.networks.heads.stochastic import BackboneFeatures, StochasticHead, pointwise

BACKBONES: dict[str, Callable[..., Any]] = {
    "residual": ResidualBackbone,
    "srresnet": SRResNetBackbone,
    "rrdb": RRDBBackbone,
    "swin": SwinBackbone,
    "attention": AttentionBackbone,
    "unet": UNetBackbone,
}
"""Trunks by the name that model files know them by; one of your own joins them before its files are loaded."""

_HALO = 32
"""Low-resolution pixels around a tile for backbones that see all of an image; tiles then agree only roughly."""


class Generator(nn.Module):
    """A residual backbone with sub-pixel upsampling, and a stochastic head beside it.

    Parameters
    ----------
    bands, scale : int
        Bands of the image, and high-resolution pixels per low-resolution pixel.
    width, blocks : int
        Channels and residual blocks of the backbone.
    tail_width, tail_blocks, latent : int
        Channels and blocks of the head, and latent channels per block.
        ``tail_blocks=0`` makes a point estimator, ``latent=0`` leaves dropout alone.
    head : {"stochastic", "gaussian", "quantile"}
        The last two know every pixel by itself (`bayesr.networks.heads.marginal`).
    gaussian_dropout, direct, mix : bool, bool, int
        Of a stochastic head: normal masks, one of them on the weights of the deterministic detail; a
        linear path for the latents; channels of its image-dependent output head (`StochasticHead`).
    dropout : float
        Where the learnt dropout rates start; 0 for no dropout.
    backbone : str
        One of `BACKBONES`.
    trunk_options : mapping, optional
        What that backbone takes beside bands, width and blocks.
    output : {"sub-pixel", "staged"}
        How the deterministic detail leaves: one convolution and pixel shuffle, or SRGAN's, which doubles the
        resolution step by step and ends in a convolution of high-resolution pixels.

    Raises
    ------
    InvalidModel
        For an unknown backbone, output or head.
    """

    def __init__(
        self,
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
        backbone: str = "residual",
        backbone_options: Mapping[str, Any] | None = None,
        output: str = "sub-pixel",
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise InvalidModel(
                f"Unknown backbone {backbone!r}: use one of {', '.join(BACKBONES)}, or add your own to "
                "bayesr.networks.generator.TRUNKS before."
            )
        if output not in ("sub-pixel", "staged"):
            raise InvalidModel(f"Unknown output {output!r}: use sub-pixel or staged.")
        # What is not asked for is left out, so that files older than an option describe themselves rightly.
        options = {
            "head": head if head != "stochastic" else "",
            "gaussian_dropout": gaussian_dropout,
            "direct": direct,
            "mix": mix,
            "backbone": backbone if backbone != "residual" else "",
            "backbone_options": dict(backbone_options or {}),
            "output": output if output != "sub-pixel" else "",
        }
        self.architecture: dict[str, Any] = {
            "bands": bands,
            "scale": scale,
            "width": width,
            "blocks": blocks,
            "head_width": head_width,
            "head_blocks": head_blocks,
            "latent": latent,
        } | {name: value for name, value in options.items() if value}
        self.scale = scale
        outputs = bands * scale**2
        self.backbone: Any = BACKBONES[backbone](bands, width, blocks, **(backbone_options or {}))
        width = int(self.backbone.width)
        self.up: Any = (
            convolution(width, outputs, std=0.01) if output == "sub-pixel" else StagedOutput(width, bands, scale)
        )
        self.head: StochasticHead | GaussianHead | QuantileHead | None
        if head == "gaussian":
            self.head = GaussianHead(width, outputs)
        elif head == "quantile":
            self.head = QuantileHead(width, outputs)
        elif head == "stochastic":
            sizes = (width, head_width, head_blocks, latent, outputs)
            self.head = StochasticHead(*sizes, dropout, gaussian_dropout, direct, mix) if head_blocks else None
        else:
            raise InvalidModel(f"Unknown head {head!r}: use stochastic, gaussian or quantile.")

    @property
    def parts(self) -> tuple[Generator, ...]:
        """The networks that are trained each by itself: of an ensemble several."""
        return (self,)

    @property
    def stochastic(self) -> bool:
        """Whether there is more than one member."""
        return self.head is not None

    @property
    def latent_channels(self) -> int:
        """Latent channels that a member needs."""
        return self.head.latent_channels if self.head else 0

    @property
    def masked(self) -> bool:
        """Whether members depend on dropout masks."""
        return self.head is not None and bool((self.head.rates() > 1e-12).any())

    @property
    def reach(self) -> int:
        """Low-resolution pixels that an output pixel can see in every direction; of what sees all, some."""
        if self.backbone.reach is None:
            return _HALO
        reach: int = self.backbone.reach
        return reach + max(getattr(self.up, "reach", 1), self.head.reach if self.head else 0)

    @property
    def local(self) -> bool:
        """Whether `reach` bounds what an output pixel can see, so that tiles can agree."""
        return self.backbone.reach is not None

    @property
    def multiple(self) -> int:
        """What windows of an image must begin at multiples of."""
        return int(self.backbone.multiple)

    @property
    def max_masks(self) -> int | None:
        """How many different masks there are, None for endless."""
        return None

    def prepare(self, y: Tensor) -> BackboneFeatures | Tensor:
        """What members share, from `n x bands x h x w`; of a point estimator, that is all there is."""
        f = self.backbone(y)
        detail: Tensor = self.up(f)
        return self.head.prepare(f, detail) if self.head is not None else detail

    def draw(
        self, shared: BackboneFeatures | Tensor, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """Members `n x bands x sh x sw` from what they share, a latent each, and masks (see `StochasticHead`).

        They are written to the memory of `out`, of at least n images, where that is given; all members are then of
        one image.
        """
        if self.head is None or z is None:
            return sub_pixels(shared.detail if isinstance(shared, BackboneFeatures) else shared, self.scale, out)
        assert isinstance(shared, BackboneFeatures)
        if isinstance(self.head, StochasticHead) and self.head.gaussian:
            perturbation, *masks = masks
            shared = shared._replace(detail=shared.detail + pointwise(shared.backbone, perturbation))
        if out is None or not isinstance(self.head, StochasticHead):
            return sub_pixels(self.head(shared, z, masks), self.scale, out)
        # One by one from here: what is wider than the head then stays small enough for memory to be used again.
        members = self.head.deviate(shared, z, masks).split(1)
        for member, place in zip(members, out.split(1), strict=False):
            sub_pixels(self.head.leave(member, shared), self.scale, place)
        return out[: len(members)]


def sub_pixels(g: Tensor, scale: int, out: Tensor | None = None) -> Tensor:
    """Pixel shuffle, `n x bands s^2 x h x w` to `n x bands x sh x sw`, in one copy, to `out` where given.

    torch's own keeps the layout of its input, so that channels_last would be copied a second time.
    """
    n, channels, h, w = g.shape
    bands = channels // scale**2
    parts = g.permute(0, 2, 3, 1).reshape(n, h, w, bands, scale, scale).permute(0, 3, 1, 4, 2, 5)
    if out is None:
        return parts.reshape(n, bands, h * scale, w * scale)
    out[:n].view(parts.shape).copy_(parts)
    return out[:n]
