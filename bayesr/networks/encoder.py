"""The encoder of a variational autoencoder: what the latents were, from what was seen and what there was to see."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.layers import convolution

_LEAST, _MOST = -6.0, 1.0
"""Bounds of the logarithm of standard deviations: what lies beyond is no use, and its gradients do harm."""


class Encoder(nn.Module):
    """``q(z | x, y) = N(mean, diag std^2)``: of every latent channel and low-resolution pixel, a mean and a deviation.

    A residual backbone of ``x - A+ y``, folded to low resolution (its `s x s` pixels become channels), and of y.

    Parameters
    ----------
    bands, scale : int
        Bands of the image, and high-resolution pixels per low-resolution pixel.
    latent : int
        Latent channels in all.
    width, blocks : int
        Channels and residual blocks.
    noise : float
        Where the learnt standard deviation of pixels around the decoded image starts, over the value range.

    Attributes
    ----------
    log_noise : Parameter
        Its logarithm. A property of the decoder's, kept here: what draws members has no use for it.
    """

    def __init__(
        self, bands: int, scale: int, latent: int, width: int = 48, blocks: int = 3, noise: float = 0.05
    ) -> None:
        super().__init__()
        self.scale = scale
        self.backbone = ResidualBackbone(bands * (scale**2 + 1), width, blocks)
        self.exit = convolution(width, 2 * latent)
        with torch.no_grad():  # latents that say something from the start, or the decoder learns to do without
            self.exit.bias[latent:] = -1.0  # type: ignore[index]
        self.log_noise = nn.Parameter(torch.tensor(math.log(noise)))

    def forward(self, detail: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, std), `n x latent x h x w` each.

        From ``detail = x - A+ y``, `n x bands x sh x sw`, and y, `n x bands x h x w`, about [0, 1].
        """
        # The backbone expects values about [0, 1]; a detail has a few tenths of their spread.
        seen = torch.cat([low, 0.5 + 4 * F.pixel_unshuffle(detail, self.scale)], 1)
        mean, log_std = self.exit(self.backbone(seen)).float().chunk(2, 1)
        return mean, log_std.clamp(_LEAST, _MOST).exp()
