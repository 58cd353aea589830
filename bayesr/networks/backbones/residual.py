"""The plain residual backbone: dense 3x3 convolutions and nothing else, which is what CPUs run fastest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.layers import SLOPE, convolution


class ResidualBlock(nn.Module):
    """``f + conv(act(conv(f)))``, without normalisation, so that neither members nor tiles see each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = convolution(width, width, std=0.01)

    def forward(self, f: Tensor) -> Tensor:
        change: Tensor = self.second(F.leaky_relu(self.first(f), SLOPE, inplace=True))
        return change.add_(f)


class ResidualBackbone(nn.Module):
    """Features of the low-resolution image: `n x bands x h x w` to `n x width x h x w`.

    Values are expected in about [0, 1]; the backbone centres them itself.
    """

    def __init__(self, bands: int, width: int, blocks: int) -> None:
        super().__init__()
        self.width = width
        self.head = convolution(bands, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.reach, self.multiple = 1 + 2 * blocks, 1

    def forward(self, y: Tensor) -> Tensor:
        # On a CPU torch convolves small images with few bands by a slow path that forgets the layout, and
        # everything after it would be three times slower.
        f: Tensor = self.head(y - 0.5).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            f = block(f)
        return f
