"""SRGAN's generator, cut where the randomness enters: a trunk that runs once, a tail that runs n times.

    g(y, z, m) = up(f) + tail(f, z, m),    f = trunk(y)

``up(f)`` is the deterministic detail; the tail adds the deviation of a member. The observation
turns ``g`` into an image that explains `y`; that is the caller's part.

Any trunk goes with the one tail. A trunk is made as ``Trunk(bands, width, blocks, **options)``, maps
`n x bands x h x w` to `n x width x h x w` for every size, and says of itself its `width`, its `reach` (how many
low-resolution pixels an output pixel sees in every direction; None for all of the image) and its `multiple` (where
windows of the image must begin for tiles to agree).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.attention import AttentionTrunk
from bayesr.networks.backbones.residual import ResidualTrunk, convolution
from bayesr.networks.backbones.rrdb import RRDBTrunk
from bayesr.networks.backbones.srresnet import SRResNetTrunk, StagedOutput
from bayesr.networks.backbones.swin import SwinTrunk
from bayesr.networks.backbones.unet import UNetTrunk
from bayesr.networks.heads.marginal import GaussianTail, QuantileTail
from bayesr.networks.heads.stochastic import Shared, StochasticTail, pointwise

TRUNKS: dict[str, Callable[..., Any]] = {
    "residual": ResidualTrunk,
    "srresnet": SRResNetTrunk,
    "rrdb": RRDBTrunk,
    "swin": SwinTrunk,
    "attention": AttentionTrunk,
    "unet": UNetTrunk,
}
"""Trunks by the name that model files know them by; one of your own joins them before its files are loaded."""

_HALO = 32
"""Low-resolution pixels around a tile for trunks that see all of an image; tiles then agree only roughly."""


class Generator(nn.Module):
    """A residual trunk with sub-pixel upsampling, and a stochastic tail beside it.

    Parameters
    ----------
    bands, scale : int
        Bands of the image, and high-resolution pixels per low-resolution pixel.
    width, blocks : int
        Channels and residual blocks of the trunk.
    tail_width, tail_blocks, latent : int
        Channels and blocks of the tail, and latent channels per block.
        ``tail_blocks=0`` makes a point estimator, ``latent=0`` leaves dropout alone.
    tail : {"stochastic", "gaussian", "quantile"}
        The last two know every pixel by itself (`bayesr.networks.heads.marginal`).
    gaussian_dropout, direct, mix : bool, bool, int
        Of a stochastic tail: normal masks, one of them on the weights of the deterministic detail; a
        linear path for the latents; channels of its image-dependent way out (`StochasticTail`).
    dropout : float
        Where the learnt dropout rates start; 0 for no dropout.
    trunk : str
        One of `TRUNKS`.
    trunk_options : mapping, optional
        What that trunk takes beside bands, width and blocks.
    output : {"sub-pixel", "staged"}
        How the deterministic detail leaves: one convolution and pixel shuffle, or SRGAN's, which doubles the
        resolution step by step and ends in a convolution of high-resolution pixels.

    Raises
    ------
    InvalidModel
        For an unknown trunk, output or tail.
    """

    def __init__(
        self,
        bands: int = 3,
        scale: int = 4,
        width: int = 48,
        blocks: int = 8,
        tail_width: int = 24,
        tail_blocks: int = 3,
        latent: int = 8,
        dropout: float = 0.1,
        tail: str = "stochastic",
        gaussian_dropout: bool = False,
        direct: bool = False,
        mix: int = 0,
        trunk: str = "residual",
        trunk_options: Mapping[str, Any] | None = None,
        output: str = "sub-pixel",
    ) -> None:
        super().__init__()
        if trunk not in TRUNKS:
            raise InvalidModel(
                f"Unknown trunk {trunk!r}: use one of {', '.join(TRUNKS)}, or add your own to "
                "bayesr.networks.generator.TRUNKS before."
            )
        if output not in ("sub-pixel", "staged"):
            raise InvalidModel(f"Unknown output {output!r}: use sub-pixel or staged.")
        # What is not asked for is left out, so that files older than an option describe themselves rightly.
        options = {
            "tail": tail if tail != "stochastic" else "",
            "gaussian_dropout": gaussian_dropout,
            "direct": direct,
            "mix": mix,
            "trunk": trunk if trunk != "residual" else "",
            "trunk_options": dict(trunk_options or {}),
            "output": output if output != "sub-pixel" else "",
        }
        self.architecture: dict[str, Any] = {
            "bands": bands,
            "scale": scale,
            "width": width,
            "blocks": blocks,
            "tail_width": tail_width,
            "tail_blocks": tail_blocks,
            "latent": latent,
        } | {name: value for name, value in options.items() if value}
        self.scale = scale
        outputs = bands * scale**2
        self.trunk: Any = TRUNKS[trunk](bands, width, blocks, **(trunk_options or {}))
        width = int(self.trunk.width)
        self.up: Any = (
            convolution(width, outputs, std=0.01) if output == "sub-pixel" else StagedOutput(width, bands, scale)
        )
        self.tail: StochasticTail | GaussianTail | QuantileTail | None
        if tail == "gaussian":
            self.tail = GaussianTail(width, outputs)
        elif tail == "quantile":
            self.tail = QuantileTail(width, outputs)
        elif tail == "stochastic":
            sizes = (width, tail_width, tail_blocks, latent, outputs)
            self.tail = StochasticTail(*sizes, dropout, gaussian_dropout, direct, mix) if tail_blocks else None
        else:
            raise InvalidModel(f"Unknown tail {tail!r}: use stochastic, gaussian or quantile.")

    @property
    def parts(self) -> tuple[Generator, ...]:
        """The networks that are trained each by itself: of an ensemble several."""
        return (self,)

    @property
    def stochastic(self) -> bool:
        """Whether there is more than one member."""
        return self.tail is not None

    @property
    def latent_channels(self) -> int:
        """Latent channels that a member needs."""
        return self.tail.latent_channels if self.tail else 0

    @property
    def masked(self) -> bool:
        """Whether members depend on dropout masks."""
        return self.tail is not None and bool((self.tail.rates() > 1e-12).any())

    @property
    def reach(self) -> int:
        """Low-resolution pixels that an output pixel can see in every direction; of what sees all, some."""
        if self.trunk.reach is None:
            return _HALO
        reach: int = self.trunk.reach
        return reach + max(getattr(self.up, "reach", 1), self.tail.reach if self.tail else 0)

    @property
    def local(self) -> bool:
        """Whether `reach` bounds what an output pixel can see, so that tiles can agree."""
        return self.trunk.reach is not None

    @property
    def multiple(self) -> int:
        """What windows of an image must begin at multiples of."""
        return int(self.trunk.multiple)

    @property
    def most_masks(self) -> int | None:
        """How many different masks there are, None for endless."""
        return None

    def prepare(self, y: Tensor) -> Shared | Tensor:
        """What members share, from `n x bands x h x w`; of a point estimator, that is all there is."""
        f = self.trunk(y)
        detail: Tensor = self.up(f)
        return self.tail.prepare(f, detail) if self.tail is not None else detail

    def draw(
        self, shared: Shared | Tensor, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """Members `n x bands x sh x sw` from what they share, a latent each, and masks (see `StochasticTail`).

        They are written to the memory of `out`, of at least n images, where that is given; all members are then of
        one image.
        """
        if self.tail is None or z is None:
            return sub_pixels(shared.detail if isinstance(shared, Shared) else shared, self.scale, out)
        assert isinstance(shared, Shared)
        if isinstance(self.tail, StochasticTail) and self.tail.gaussian:
            perturbation, *masks = masks
            shared = shared._replace(detail=shared.detail + pointwise(shared.trunk, perturbation))
        if out is None or not isinstance(self.tail, StochasticTail):
            return sub_pixels(self.tail(shared, z, masks), self.scale, out)
        # One by one from here: what is wider than the tail then stays small enough for memory to be used again.
        members = self.tail.deviate(shared, z, masks).split(1)
        for member, place in zip(members, out.split(1), strict=False):
            sub_pixels(self.tail.leave(member, shared), self.scale, place)
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
