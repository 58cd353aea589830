"""SRGAN's generator, cut where the randomness enters: a trunk that runs once, a tail that runs n times.

    g(y, z, m) = up(f) + tail(f, z, m),    f = trunk(y)

``up(f)`` is the deterministic detail; the tail adds the deviation of a member. The observation's
null-space projection turns ``g`` into an image that explains `y`; it is applied by the caller.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.residual import ResidualTrunk, convolution
from bayesr.networks.tail import StochasticTail


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
        ``tail_blocks=0`` makes a point estimator.
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
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "bands": bands,
            "scale": scale,
            "width": width,
            "blocks": blocks,
            "tail_width": tail_width,
            "tail_blocks": tail_blocks,
            "latent": latent,
        }
        self.scale = scale
        outputs = bands * scale**2
        self.trunk = ResidualTrunk(bands, width, blocks)
        self.up = convolution(width, outputs, std=0.01)
        self.tail = StochasticTail(width, tail_width, tail_blocks, latent, outputs, dropout) if tail_blocks else None

    @property
    def latent_channels(self) -> int:
        """Latent channels that a member needs; 0 says the network is a point estimator."""
        return self.tail.latent * len(self.tail.blocks) if self.tail else 0

    @property
    def reach(self) -> int:
        """Low-resolution pixels that an output pixel can see in every direction."""
        return self.trunk.reach + max(1, self.tail.reach if self.tail else 0)

    def detail(self, f: Tensor) -> Tensor:
        """The deterministic detail, `n x bands x sh x sw`, from the trunk's features."""
        return F.pixel_shuffle(self.up(f), self.scale)
