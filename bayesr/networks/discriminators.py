"""Discriminators: of patches, of whole images as in SRGAN, and of patches with attention as in SAGAN.

A discriminator is made as ``Discriminator(bands, scale, **options)``. It takes images and their context and returns
logits, which are high for real images, and a list of features.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from bayesr.networks.backbones.attention import SelfAttention

_SLOPE = 0.2
_POOLED = 6
"""Side of the input of SRGAN's dense layers, a sixteenth of its training patches of 96 x 96 pixels."""


class PatchDiscriminator(nn.Module):
    """Patch discriminator with features of three depths.

    Images and context, `n x bands x H x W` with even H and W, are folded to half resolution first: 2x2 pixels become
    channels. That is several times cheaper than convolution at full resolution.

    Parameters
    ----------
    bands, scale : int
        Bands of the images. The scale factor is not used.
    width : int
        Channels of the first layer.
    """

    def __init__(self, bands: int, scale: int = 1, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Conv2d(8 * bands, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.third = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.verdict = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return one logit for each patch, and the features of every depth."""
        f = F.pixel_unshuffle(torch.cat([x, context], 1), 2)
        features = []
        for layer in (self.first, self.second, self.third):
            f = F.leaky_relu(layer(f), 0.2)
            features.append(f)
        return self.verdict(f), features


class ImageDiscriminator(nn.Module):
    """SRGAN's discriminator: eight convolutions, every second with stride 2, two dense layers, one logit per image.

    Pooling in front of the dense layers admits patches of any size. At 96 x 96 pixels it is the identity, and the
    network with width 64 and normalisation is the published one.

    Parameters
    ----------
    bands, scale : int
        Bands of the images. The scale factor is not used.
    width : int
        Channels of the first layer, an eighth of those of the last. Published is 64, which is too expensive for a CPU.
    conditional : bool
        Use the context besides the image; published is without.
    normalised : bool
        Batch normalisation after all convolutions but the first, as published. Without it the images of a batch are
        independent, as gradient penalties for each image require.

    References
    ----------
    C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network",
    2017, arXiv:1609.04802.
    """

    def __init__(
        self, bands: int, scale: int, width: int = 16, conditional: bool = False, normalised: bool = True
    ) -> None:
        super().__init__()
        self.conditional = conditional
        channels = [bands * (1 + conditional)] + [width * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=1 + i % 2, padding=1)
            for i, (inputs, outputs) in enumerate(pairwise(channels))
        )
        norms = [
            nn.BatchNorm2d(outputs) if normalised and i else nn.Identity() for i, outputs in enumerate(channels[1:])
        ]
        self.norms = nn.ModuleList(norms)
        self.dense = nn.Linear(8 * width * _POOLED**2, 16 * width)
        self.verdict = nn.Linear(16 * width, 1)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits, `n x 1 x 1 x 1`, and the features at each of the four resolutions.

        Images `x` have shape `n x bands x H x W` of any size; `context` has the same shape and is ignored unless
        the discriminator is conditional.
        """
        f = torch.cat([x, context], 1) if self.conditional else x
        features = []
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            f = convolution(f)
            if i == 0:  # torch's path for few bands loses the memory layout, which would slow down what follows
                f = f.contiguous(memory_format=torch.channels_last)
            f = F.leaky_relu(norm(f), _SLOPE)
            if i % 2:
                features.append(f)
        hidden = F.leaky_relu(self.dense(F.adaptive_avg_pool2d(f, _POOLED).flatten(1)), _SLOPE)
        return self.verdict(hidden)[:, :, None, None], features


class AttentionDiscriminator(nn.Module):
    """Patch discriminator of image and context with self-attention and spectral normalisation.

    Every weight is divided by its spectral norm, which bounds the gradient without a penalty. Each logit depends on
    the whole image. Gradient penalties cannot be used, because torch's attention has no second derivative. Images are
    folded to half resolution first, as in `PatchDiscriminator`, and attention works at a quarter of their resolution.

    The norm of a weight is that of the matrix `outputs x inputs*k*k`. Training updates it by one power iteration per
    call; evaluation uses the last one.

    Parameters
    ----------
    bands, scale : int
        Bands of the images. The scale factor is not used.
    width : int
        Channels of the first layer.

    References
    ----------
    H. Zhang et al., "Self-attention generative adversarial networks", 2019, arXiv:1805.08318. T. Miyato et al.,
    "Spectral normalization for generative adversarial networks", 2018, arXiv:1802.05957.
    """

    def __init__(self, bands: int, scale: int, width: int = 32) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(8 * bands, width, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1))
        self.attention = SelfAttention(2 * width, spectral=True)
        self.third = spectral_norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1))
        self.verdict = spectral_norm(nn.Conv2d(2 * width, 1, 3, padding=1))

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return one logit for each patch of 4 x 4 pixels, and the features of every depth.

        Images and context have shape `n x bands x H x W` with even sides.
        """
        f = F.pixel_unshuffle(torch.cat([x, context], 1), 2).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in (self.first, self.second, self.third):
            f = F.leaky_relu(layer(f), _SLOPE)
            features.append(f)
            if layer is self.second:
                f = self.attention(f)
        return self.verdict(f), features
