"""Discriminators: of patches, of whole images as in SRGAN, and of patches with attention as in SAGAN.

``Discriminator(bands, scale, **options)`` takes images and their context, and returns logits, high for real images, and
a list of features.
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
"""Side of the input of SRGAN's dense layers, a sixteenth of its training patches."""


class PatchDiscriminator(nn.Module):
    """Patch discriminator with features of three depths.

    Images and context, `n x bands x H x W` with even sides, are folded to half resolution (2x2 pixels become channels),
    which is several times cheaper than convolution at full resolution.

    Parameters
    ----------
    bands, scale : int
        Bands; the scale factor is unused.
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
        """Return a logit for each patch, and the features of each depth."""
        f = F.pixel_unshuffle(torch.cat([x, context], 1), 2)
        features = []
        for layer in (self.first, self.second, self.third):
            f = F.leaky_relu(layer(f), 0.2)
            features.append(f)
        return self.verdict(f), features


class PairedDiscriminator(nn.Module):
    """Patch discriminator of two resolutions, for losses that compare a truth and its members place by place.

    It sees the detail, ``10 (x - A+ y)``, and what the input fixes, ``2 A+ y - 1``, folded to half resolution. There is
    no normalisation, which gradient penalties do not admit. `penalty_weight` is part of its state, because
    `bayesr.training.adversarial.PAIRED` steers it.

    Parameters
    ----------
    bands, scale : int
        Bands; the scale factor is unused.
    width : int
        Channels of the first layer.

    References
    ----------
    Y. Huang et al., "The GAN is dead; long live the GAN! A modern GAN baseline", 2024, arXiv:2501.05441.
    """

    penalty_weight: Tensor

    def __init__(self, bands: int, scale: int = 1, width: int = 64) -> None:
        super().__init__()
        w = width
        self.first = nn.Conv2d(8 * bands, w, 3, padding=1)
        self.down_fine = nn.Conv2d(w, 2 * w, 4, stride=2, padding=1)
        self.fine = nn.ModuleList([nn.Conv2d(2 * w, 2 * w, 3, padding=1)])
        self.down_coarse = nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1)
        self.coarse = nn.ModuleList(nn.Conv2d(4 * w, 4 * w, 3, padding=1) for _ in range(2))
        # Without biases, which would cancel in a loss that compares logits.
        self.verdicts = nn.ModuleList(nn.Conv2d(channels, 1, 3, padding=1, bias=False) for channels in (2 * w, 4 * w))
        self.register_buffer("penalty_weight", torch.tensor(0.1, dtype=torch.float32))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for verdict in self.verdicts:
            nn.init.normal_(verdict.weight, std=0.01)  # type: ignore[arg-type]

    def forward(self, x: Tensor, context: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return logits of patches at a quarter and an eighth of the resolution, and the features of both.

        Images and context, ``A+ y``, are `n x bands x H x W`, with sides that are multiples of 8.
        """
        folded = F.pixel_unshuffle(torch.cat([(x - context) * 10, context * 2 - 1], 1), 2)
        f = F.leaky_relu(self.first(folded.contiguous(memory_format=torch.channels_last)), _SLOPE)
        features = []
        for down, layers in ((self.down_fine, self.fine), (self.down_coarse, self.coarse)):
            f = F.leaky_relu(down(f), _SLOPE)
            for layer in layers:
                f = f + F.leaky_relu(layer(f), _SLOPE)
            features.append(f)
        return [verdict(f) for verdict, f in zip(self.verdicts, features, strict=True)], features


class ImageDiscriminator(nn.Module):
    """SRGAN's discriminator: eight convolutions, every second with stride 2, two dense layers, one logit per image.

    Pooling before the dense layers admits any patch size. With 96 x 96 pixels, width 64 and normalisation, the network
    is the published one.

    Parameters
    ----------
    bands, scale : int
        Bands; the scale factor is unused.
    width : int
        Channels of the first layer, an eighth of the last's. The published 64 are too expensive for a CPU.
    conditional : bool
        Use the context, too; the published network does not.
    normalised : bool
        Batch normalisation after all convolutions but the first, as published; off for gradient penalties, which need
        independent images.

    References
    ----------
    C. Ledig et al., 2017, arXiv:1609.04802.
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
        """Return logits, `n x 1 x 1 x 1`, and the features at the four resolutions.

        Images and context are `n x bands x H x W`, of any size.
        """
        f = torch.cat([x, context], 1) if self.conditional else x
        features = []
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            f = convolution(f)
            if i == 0:  # torch's path for few bands loses the memory layout
                f = f.contiguous(memory_format=torch.channels_last)
            f = F.leaky_relu(norm(f), _SLOPE)
            if i % 2:
                features.append(f)
        hidden = F.leaky_relu(self.dense(F.adaptive_avg_pool2d(f, _POOLED).flatten(1)), _SLOPE)
        return self.verdict(hidden)[:, :, None, None], features


class AttentionDiscriminator(nn.Module):
    """Patch discriminator of image and context with self-attention and spectral normalisation.

    Weights divided by their spectral norms bound the gradient without a penalty. Each logit depends on the whole image.
    Gradient penalties cannot be used: torch's attention has no second derivative. Images, `n x bands x H x W` with even
    sides, are folded to half resolution; attention works at a quarter of their resolution.

    The norm is that of the matrix `outputs x inputs*k*k`; training updates it by one power iteration per call.

    Parameters
    ----------
    bands, scale : int
        Bands; the scale factor is unused.
    width : int
        Channels of the first layer.

    References
    ----------
    H. Zhang et al., 2019, arXiv:1805.08318. T. Miyato et al., 2018, arXiv:1802.05957.
    """

    def __init__(self, bands: int, scale: int, width: int = 32) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(8 * bands, width, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1))
        self.attention = SelfAttention(2 * width, spectral=True)
        self.third = spectral_norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1))
        self.verdict = spectral_norm(nn.Conv2d(2 * width, 1, 3, padding=1))

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return a logit for each patch of 4 x 4 pixels, and the features of each depth."""
        f = F.pixel_unshuffle(torch.cat([x, context], 1), 2).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in (self.first, self.second, self.third):
            f = F.leaky_relu(layer(f), _SLOPE)
            features.append(f)
            if layer is self.second:
                f = self.attention(f)
        return self.verdict(f), features
