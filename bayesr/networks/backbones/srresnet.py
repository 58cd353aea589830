"""SRGAN's generator as published, in two halves: a backbone at low resolution, and its staged output head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.residual import convolution


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

    ``f = PReLU(conv_9x9(y))``; `blocks` residual blocks; ``f + BN(conv(.))``. As published: values in [0, 1] are
    not centred, and a PReLU has one slope. What is not: without normalisation, residual convolutions start near
    zero, or features would grow from block to block.

    Parameters
    ----------
    bands, width, blocks : int
        Bands of the image, channels, residual blocks.
    normalise : bool
        Batch normalisation. In training, images of a batch then see each other; in evaluation none sees farther
        than `reach`.

    References
    ----------
    C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network",
    2017, arXiv:1609.04802, Figure 4.
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
        # On a CPU torch convolves small images with few bands by a slow path that forgets the layout.
        first: Tensor = self.activation(self.head(y).contiguous(memory_format=torch.channels_last))
        f = first
        for block in self.blocks:
            f = block(f)
        body: Tensor = self.norm(self.body(f))
        return first + body


class StagedOutput(nn.Module):
    """SRGAN's output head, `n x width x h x w` to `n x bands*scale^2 x h x w`: the image, folded to low resolution.

    Per factor of two a 3x3 convolution to ``4 width`` channels, pixel shuffle and PReLU; then a 9x9 convolution
    of the high-resolution features. A factor of three takes ``9 width``. The image is folded in the order of
    `torch.nn.functional.pixel_unshuffle`, so that it takes the place of a sub-pixel convolution. The last
    convolution starts near zero, which is not published: its result is added to an image.

    Parameters
    ----------
    width, bands : int
        Channels in, bands of the image.
    scale : int
        A product of twos and threes, or 1.

    Raises
    ------
    InvalidModel
        For another scale.

    References
    ----------
    C. Ledig et al., 2017, arXiv:1609.04802, Figure 4. W. Shi et al., "Real-time single image and video
    super-resolution using an efficient sub-pixel convolutional neural network", 2016, arXiv:1609.05158.
    """

    def __init__(self, width: int, bands: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.factors = _factors(scale)
        self.stages = nn.ModuleList(convolution(width, width * factor**2) for factor in self.factors)
        self.activations = nn.ModuleList(nn.PReLU() for _ in self.factors)
        self.last = nn.Conv2d(width, bands, 9, padding=4)
        nn.init.normal_(self.last.weight, std=0.003)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        # The pixel in the upper left corner of a low-resolution pixel sees farthest up, as far as others see down.
        farthest = 4
        for factor in reversed(self.factors):
            farthest = -(-farthest // factor) + 1
        self.reach = farthest

    def forward(self, f: Tensor) -> Tensor:
        for factor, stage, activation in zip(self.factors, self.stages, self.activations, strict=True):
            f = activation(F.pixel_shuffle(stage(f), factor))
        return F.pixel_unshuffle(self.last(f), self.scale)


def _factors(scale: int) -> list[int]:
    """Twos and threes whose product is the scale."""
    factors, rest = [], scale
    for prime in (2, 3):
        while rest > 1 and rest % prime == 0:
            factors.append(prime)
            rest //= prime
    if rest != 1:
        raise InvalidModel(
            f"A staged output has stages of two and three, whose product {scale} is not: use output='sub-pixel'."
        )
    return factors


def _last(width: int, normalise: bool) -> nn.Conv2d:
    """The last convolution of a residual path: small where no normalisation follows."""
    return convolution(width, width, std=None if normalise else 0.01)


def _norm(width: int, normalise: bool) -> nn.Module:
    return nn.BatchNorm2d(width) if normalise else nn.Identity()
