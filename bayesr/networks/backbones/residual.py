"""The plain residual backbone: dense 3x3 convolutions alone, which CPUs run fastest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.layers import SLOPE, convolution


class ResidualBlock(nn.Module):
    """``f + conv(act(conv(f)))``, without normalisation, so that members and tiles are independent."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = convolution(width, width, std=0.01)

    def forward(self, f: Tensor) -> Tensor:
        change: Tensor = self.second(F.leaky_relu(self.first(f), SLOPE, inplace=True))
        return change.add_(f)


class ResidualBackbone(nn.Module):
    """Residual backbone, `n x bands x h x w` to `n x width x h x w`.

    Values, in about [0, 1], are centred.

    Parameters
    ----------
    bands, width, blocks : int
        Bands, channels, residual blocks.
    """

    def __init__(self, bands: int, width: int, blocks: int) -> None:
        super().__init__()
        self.width = width
        self.head = convolution(bands, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.reach, self.multiple = 1 + 2 * blocks, 1

    def forward(self, y: Tensor) -> Tensor:
        # On a CPU torch's path for few bands loses the memory layout, and what follows would take three times as long.
        f: Tensor = self.head(y - 0.5).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            f = block(f)
        return f
