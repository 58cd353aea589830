"""From high resolution back to low: the other generator of a cycle, which learns what an instrument does."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.layers import convolution


class Backward(nn.Module):
    """``B(x) = D x + conv(backbone(x))`` with D the mean of `s x s` pixels: `n x bands x sh x sw` to `n x bands x h x w`.

    The backbone sees x folded to low resolution (`s x s` pixels become channels, so nothing is lost). It starts as D:
    colours and brightness need not be found out by a game.

    Parameters
    ----------
    bands, scale : int
        Bands of the image, and high-resolution pixels per low-resolution pixel, from 1.
    width, blocks : int
        Channels and residual blocks.
    """

    def __init__(self, bands: int, scale: int, width: int = 32, blocks: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.backbone = ResidualBackbone(bands * scale**2, width, blocks)
        self.exit = convolution(width, bands, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Low-resolution images, in about [0, 1] as x is."""
        change: Tensor = self.exit(self.backbone(F.pixel_unshuffle(x, self.scale)))
        return F.avg_pool2d(x, self.scale) + change
