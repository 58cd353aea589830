"""SRGAN's backbone; `bayesr.networks.outputs.StagedOutput` is its output head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bayesr.networks.layers import convolution


class SRResNetBlock(nn.Module):
    """``f + BN(conv(PReLU(BN(conv(f)))))``."""

    def __init__(self, width: int, normalise: bool) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = _last(width, normalise)
        self.first_norm, self.second_norm = _norm(width, normalise), _norm(width, normalise)
        self.activation = nn.PReLU()

    def forward(self, f: Tensor) -> Tensor:
        change: Tensor = self.second_norm(self.second(self.activation(self.first_norm(self.first(f)))))
        return f + change


class SRResNetBackbone(nn.Module):
    """SRGAN's generator up to its upsampling: `n x bands x h x w` to `n x width x h x w`.

    ``f = PReLU(conv_9x9(y))``, then `blocks` residual blocks, then ``f + BN(conv(.))``. As published, values in [0, 1]
    are not centred, and a PReLU has one slope. Unlike in the paper, residual convolutions start near zero without
    normalisation, or features would grow from block to block.

    Parameters
    ----------
    bands, width, blocks : int
        Bands, channels, residual blocks.
    normalise : bool
        Use batch normalisation, by which the images of a batch depend on each other in training.

    References
    ----------
    C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017,
    arXiv:1609.04802, Figure 4.
    """

    multiple = 1

    def __init__(self, bands: int, width: int = 64, blocks: int = 16, *, normalise: bool = True) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Conv2d(bands, width, 9, padding=4)
        self.activation = nn.PReLU()
        self.blocks = nn.ModuleList(SRResNetBlock(width, normalise) for _ in range(blocks))
        self.body = _last(width, normalise)
        self.norm = _norm(width, normalise)
        self.reach = 4 + 2 * blocks + 1

    def forward(self, y: Tensor) -> Tensor:
        # On a CPU torch's path for few bands loses the memory layout.
        first: Tensor = self.activation(self.head(y).contiguous(memory_format=torch.channels_last))
        f = first
        for block in self.blocks:
            f = block(f)
        body: Tensor = self.norm(self.body(f))
        return first + body


def _last(width: int, normalise: bool) -> nn.Conv2d:
    """Make the last convolution of a residual path, with small weights if no normalisation follows."""
    return convolution(width, width, std=None if normalise else 0.01)


def _norm(width: int, normalise: bool) -> nn.Module:
    return nn.BatchNorm2d(width) if normalise else nn.Identity()
