"""SRGAN's generator, cut where the randomness enters: a trunk that runs once, a tail that runs n times.

    g(y, z, m) = up(f) + tail(f, z, m),    f = trunk(y)

``up(f)`` is the deterministic detail; the tail adds the deviation of a member. The observation
turns ``g`` into an image that explains `y`; that is the caller's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.marginal import GaussianTail, QuantileTail
from bayesr.networks.residual import ResidualTrunk, convolution
from bayesr.networks.tail import Shared, StochasticTail, pointwise


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
        The last two know every pixel by itself (`bayesr.networks.marginal`).
    gaussian_dropout, direct, mix : bool, bool, int
        Of a stochastic tail: normal masks, one of them on the weights of the deterministic detail; a
        linear path for the latents; channels of its image-dependent way out (`StochasticTail`).
    dropout : float
        Where the learnt dropout rates start.
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
    ) -> None:
        super().__init__()
        # What is not asked for is left out, so that files older than an option describe themselves rightly.
        options = {
            "tail": tail if tail != "stochastic" else "",
            "gaussian_dropout": gaussian_dropout,
            "direct": direct,
            "mix": mix,
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
        self.trunk = ResidualTrunk(bands, width, blocks)
        self.up = convolution(width, outputs, std=0.01)
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
    def latent_channels(self) -> int:
        """Latent channels that a member needs."""
        return self.tail.latent_channels if self.tail else 0

    @property
    def masked(self) -> bool:
        """Whether members depend on dropout masks."""
        return self.tail is not None and len(self.tail.rates()) > 0

    @property
    def reach(self) -> int:
        """Low-resolution pixels that an output pixel can see in every direction."""
        return self.trunk.reach + max(1, self.tail.reach if self.tail else 0)

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
