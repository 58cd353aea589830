"""ESRGAN's backbone: residual-in-residual dense blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.2
_SCALING = 0.2
"""Factor on residual paths."""


class DenseBlock(nn.Module):
    """``f + 0.2 conv_5(f, f_1, .., f_4)``, ``f_i = LeakyReLU(conv_i(f, f_1, .., f_{i-1}))`` of `growth` channels."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        inner = (_convolution(width + i * growth, growth) for i in range(4))
        self.convolutions = nn.ModuleList([*inner, _convolution(width + 4 * growth, width)])

    def forward(self, f: Tensor) -> Tensor:
        joined = f
        *inner, last = self.convolutions
        for layer in inner:
            joined = torch.cat([joined, F.leaky_relu(layer(joined), _SLOPE, inplace=True)], 1)
        change: Tensor = last(joined)
        return f.add(change, alpha=_SCALING)


class RRDB(nn.Module):
    """``f + 0.2 dense_3(dense_2(dense_1(f)))``."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, f: Tensor) -> Tensor:
        change: Tensor = self.dense(f)
        return f.add(change, alpha=_SCALING)


class RRDBBackbone(nn.Module):
    """ESRGAN's generator up to its upsampling: `n x bands x h x w` to `n x width x h x w`.

    ``f = conv(y)``, then `blocks` residual-in-residual dense blocks, then ``f + conv(.)``. As published, nothing is
    normalised, values in [0, 1] are not centred, residual paths are scaled by 0.2, LeakyReLU has slope 0.2, and dense
    blocks start at a tenth of Kaiming's weights. Unlike in the paper, the first and the last convolution have torch's
    initial weights.

    Parameters
    ----------
    bands, width, blocks : int
        Bands, channels, residual-in-residual dense blocks.
    growth : int
        Channels added by each convolution of a dense block.

    References
    ----------
    X. Wang et al., "ESRGAN: Enhanced super-resolution generative adversarial networks", 2018, arXiv:1809.00219.
    """

    multiple = 1

    def __init__(self, bands: int, width: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Conv2d(bands, width, 3, padding=1)
        self.blocks = nn.ModuleList(RRDB(width, growth) for _ in range(blocks))
        self.body = nn.Conv2d(width, width, 3, padding=1)
        self.reach = 1 + 15 * blocks + 1

    def forward(self, y: Tensor) -> Tensor:
        # On a CPU torch's path for few bands loses the memory layout.
        first: Tensor = self.head(y).contiguous(memory_format=torch.channels_last)
        f = first
        for block in self.blocks:
            f = block(f)
        body: Tensor = self.body(f)
        return first + body


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Make a 3x3 convolution with a tenth of Kaiming's weights, so that deep sums of blocks start near f."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight).mul_(0.1)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
