"""Critics as studies publish them: SRGAN's, which judges whole images, and one with attention and bounded slopes."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from bayesr.networks.backbones.attention import SelfAttention

_SLOPE = 0.2
_POOLED = 6
"""Side of what SRGAN's dense layers see: a sixteenth of its training patches, 96 x 96."""


class PatchDiscriminator(nn.Module):
    """A patch discriminator with features of three depths.

    Both images, `n x bands x H x W` with even H and W, are folded to half resolution first
    (nothing is lost: 2x2 pixels become channels), which makes it several times cheaper than
    convolving at full resolution.
    """

    def __init__(self, bands: int, scale: int = 1, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Conv2d(8 * bands, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.third = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.verdict = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits of being true, one per patch, and the features of every depth."""
        f = F.pixel_unshuffle(torch.cat([x, context], 1), 2)
        features = []
        for layer in (self.first, self.second, self.third):
            f = F.leaky_relu(layer(f), 0.2)
            features.append(f)
        return self.verdict(f), features


class ImageDiscriminator(nn.Module):
    """SRGAN's discriminator: eight convolutions with steps of two between, two dense layers, one logit per image.

    Pooling in front of the dense layers admits every patch size; at 96 x 96 it does nothing, and the network
    with width 64 and normalisation is the published one.

    Parameters
    ----------
    bands, scale : int
        Bands of the images. The scale does not matter here.
    width : int
        Channels of the first layer, an eighth of those of the last. Published: 64, too dear for a CPU.
    conditional : bool
        Whether the discriminator sees the context beside the image; published: not.
    normalised : bool
        Batch normalisation after all convolutions but the first, as published. Without it images of a batch
        do not see each other, which penalties of each image's slope ask for.

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
        """Logits of being true, `n x 1 x 1 x 1`, and the features of each of the four resolutions.

        Images are `n x bands x y x x` of any size; `context` is of the same shape, and ignored unless conditional.
        """
        f = torch.cat([x, context], 1) if self.conditional else x
        features = []
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            f = convolution(f)
            if i == 0:  # torch's path for few bands forgets the layout, and all that follows would be slow
                f = f.contiguous(memory_format=torch.channels_last)
            f = F.leaky_relu(norm(f), _SLOPE)
            if i % 2:
                features.append(f)
        hidden = F.leaky_relu(self.dense(F.adaptive_avg_pool2d(f, _POOLED).flatten(1)), _SLOPE)
        return self.verdict(hidden)[:, :, None, None], features


class AttentionDiscriminator(nn.Module):
    """A patch discriminator of (image, context) with self-attention, every weight divided by its spectral norm.

    So its slope stays within bounds without a penalty, and a patch is judged by what is found anywhere in the
    image. (Penalties are not for it: torch's attention has no second derivative.) Images are folded to half
    resolution first, as in `PatchDiscriminator`, and attention works at a quarter of theirs.

    A weight's norm is that of the matrix `outputs x inputs*k*k`; training follows it by one power iteration at every
    call, evaluation takes it as it is left.

    Parameters
    ----------
    bands, scale : int
        Bands of the images. The scale does not matter here.
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
        """Logits of being true, one per patch of 4 x 4 pixels, and the features of every depth.

        Images and context are `n x bands x y x x` with even sides.
        """
        f = F.pixel_unshuffle(torch.cat([x, context], 1), 2).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in (self.first, self.second, self.third):
            f = F.leaky_relu(layer(f), _SLOPE)
            features.append(f)
            if layer is self.second:
                f = self.attention(f)
        return self.verdict(f), features
