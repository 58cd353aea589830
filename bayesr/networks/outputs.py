"""Output heads: layers that turn features of the backbone into the deterministic detail.

An output head maps `n x width x h x w` to `n x bands*scale^2 x h x w`, the high-resolution image folded in the order of
`torch.nn.functional.pixel_unshuffle`. `reach` is the radius of influence in low-resolution pixels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.layers import convolution


class SubPixelOutput(nn.Conv2d):
    """One 3x3 convolution, whose channels are sub-pixels. It starts at zero: its result is added to an image.

    Parameters
    ----------
    width, bands, scale : int
        Channels of the features, bands, scale factor.

    References
    ----------
    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network", 2016, arXiv:1609.05158.
    """

    reach = 1

    def __init__(self, width: int, bands: int, scale: int) -> None:
        super().__init__(width, bands * scale**2, 3, padding=1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]


class StagedOutput(nn.Module):
    """SRGAN's output head, which raises the resolution step by step.

    For every factor of two: a 3x3 convolution to ``4 width`` channels (``9 width`` for a factor of three), pixel
    shuffle and PReLU. A 9x9 convolution of the high-resolution features follows. Unlike the published one it starts
    at zero: its result is added to an image, and without batch normalisation features are large.

    Parameters
    ----------
    width, bands : int
        Channels of the features, bands.
    scale : int
        Scale factor, a product of twos and threes, or 1.

    Raises
    ------
    InvalidModel
        If the scale factor has other prime factors.

    References
    ----------
    C. Ledig et al., 2017, arXiv:1609.04802, Figure 4.
    """

    def __init__(self, width: int, bands: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.factors = _factors(scale)
        self.stages = nn.ModuleList(convolution(width, width * factor**2) for factor in self.factors)
        self.activations = nn.ModuleList(nn.PReLU() for _ in self.factors)
        self.last = nn.Conv2d(width, bands, 9, padding=4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        # The upper left sub-pixel depends on the farthest pixels above, the lower right on pixels equally far below.
        farthest = 4
        for factor in reversed(self.factors):
            farthest = -(-farthest // factor) + 1
        self.reach = farthest

    def forward(self, f: Tensor) -> Tensor:
        for factor, stage, activation in zip(self.factors, self.stages, self.activations, strict=True):
            f = activation(F.pixel_shuffle(stage(f), factor))
        return F.pixel_unshuffle(self.last(f), self.scale)


def _factors(scale: int) -> list[int]:
    """Factorise into twos and threes."""
    factors, rest = [], scale
    for prime in (2, 3):
        while rest > 1 and rest % prime == 0:
            factors.append(prime)
            rest //= prime
    if rest != 1:
        raise InvalidModel(
            f"A staged output has stages of two and three, but {scale} is no product of these: use output='sub-pixel'."
        )
    return factors
