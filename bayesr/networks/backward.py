"""CycleGAN's second generator, from high to low resolution: it learns an instrument's degradation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.layers import convolution


class Backward(nn.Module):
    """Learned degradation ``B(x) = D x + conv(backbone(x))``, `n x bands x sh x sw` to `n x bands x h x w`.

    D is the mean of `s x s` pixels. The backbone takes x folded to low resolution, `s x s` pixels as channels. The
    network starts near D, so adversarial losses need not teach colours and brightness.

    Parameters
    ----------
    bands, scale : int
        Bands, and the scale factor s, 1 or more.
    width, blocks : int
        Channels and residual blocks.
    """

    def __init__(self, bands: int, scale: int, width: int = 32, blocks: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.backbone = ResidualBackbone(bands * scale**2, width, blocks)
        self.exit = convolution(width, bands, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return low-resolution images, in about [0, 1] like x."""
        change: Tensor = self.exit(self.backbone(F.pixel_unshuffle(x, self.scale)))
        return F.avg_pool2d(x, self.scale) + change
