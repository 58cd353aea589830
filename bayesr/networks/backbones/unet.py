"""U-Net backbone on the low-resolution grid."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.layers import SLOPE, convolution
from bayesr.resampling import extend


class Pair(nn.Module):
    """Two 3x3 convolutions, each followed by LeakyReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = convolution(inputs, outputs), convolution(outputs, outputs)

    def forward(self, f: Tensor) -> Tensor:
        f = F.leaky_relu(self.first(f), SLOPE, inplace=True)
        return F.leaky_relu(self.second(f), SLOPE, inplace=True)


class UNetBackbone(nn.Module):
    """U-Net backbone, `n x bands x h x w` to `n x width x h x w`.

    On the way down, each of `blocks` levels has two convolutions and the mean of 2x2 pixels, and doubles the channels.
    On the way up, each has nearest-neighbour interpolation, a convolution, concatenation with the features of that
    size, and two convolutions. Values, in about [0, 1], are centred.

    Unlike the published network it has LeakyReLU; means of 2x2 pixels, because maxima lose their positions;
    interpolation and a convolution, because a transposed convolution leaves a chequerboard; and padding, so that the
    output has the input's size. Images are extended to a multiple of ``2^blocks`` by reflection. Pixels are grouped
    from the upper left corner, so windows must begin at multiples of `multiple`.

    Parameters
    ----------
    bands, width : int
        Bands, and channels at full size.
    blocks : int
        Levels below the full size.

    References
    ----------
    O. Ronneberger et al., "U-Net: Convolutional networks for biomedical image segmentation", 2015, arXiv:1505.04597.
    """

    def __init__(self, bands: int, width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.width, self.multiple = width, 2**blocks
        widths = [width * 2**level for level in range(blocks + 1)]
        self.head = Pair(bands, width)
        self.down = nn.ModuleList(Pair(fine, coarse) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(convolution(coarse, fine) for fine, coarse in pairwise(widths))
        self.join = nn.ModuleList(Pair(2 * fine, fine) for fine in widths[:-1])
        self.reach = max(_reach(pixel, blocks) for pixel in range(self.multiple))

    def forward(self, y: Tensor) -> Tensor:
        height, width = y.shape[-2:]
        f: Tensor = extend(y - 0.5, self.multiple).contiguous(memory_format=torch.channels_last)
        f = self.head(f)
        skipped = []
        for down in self.down:
            skipped.append(f)
            f = down(F.avg_pool2d(f, 2))
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            f = join(torch.cat([up(F.interpolate(f, scale_factor=2.0)), skipped.pop()], 1))
        return f[..., :height, :width].contiguous(memory_format=torch.channels_last)


def _reach(pixel: int, blocks: int) -> int:
    """Follow the pixels that an output pixel depends on back to the image."""
    first = last = pixel
    for _ in range(blocks):  # two convolutions after concatenation, one before it, then interpolation
        first, last = (first - 3) // 2, (last + 3) // 2
    for _ in range(blocks):  # two convolutions, then the mean of 2x2 pixels
        first, last = 2 * (first - 2), 2 * (last + 2) + 1
    return max(pixel - (first - 2), last + 2 - pixel)
