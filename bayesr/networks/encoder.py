"""The encoder of a conditional variational autoencoder: the distribution of latents given both images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.layers import convolution

_LEAST, _MOST = -6.0, 1.0
"""Bounds of log standard deviations. Values beyond are useless, and their gradients do harm."""


class Encoder(nn.Module):
    """Approximate posterior ``q(z | x, y) = N(mean, diag std^2)`` of each latent channel and low-resolution pixel.

    A residual backbone takes y and ``x - A+ y``, folded to low resolution (`s x s` pixels become channels).

    Parameters
    ----------
    bands, scale : int
        Bands, and the scale factor s.
    latent : int
        Latent channels in total.
    width, blocks : int
        Channels and residual blocks.
    noise : float
        Initial standard deviation of pixels around the decoded image, relative to the value range; learnt.

    Attributes
    ----------
    log_noise : Parameter
        Its logarithm, a parameter of the decoder that sampling does not need.
    """

    def __init__(
        self, bands: int, scale: int, latent: int, width: int = 48, blocks: int = 3, noise: float = 0.05
    ) -> None:
        super().__init__()
        self.scale = scale
        self.backbone = ResidualBackbone(bands * (scale**2 + 1), width, blocks)
        self.exit = convolution(width, 2 * latent)
        with torch.no_grad():  # latents must be informative from the start, or the decoder learns to ignore them
            self.exit.bias[latent:] = -1.0  # type: ignore[index]
        self.log_noise = nn.Parameter(torch.tensor(math.log(noise)))

    def forward(self, detail: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the latents, `n x latent x h x w` each.

        Parameters
        ----------
        detail : Tensor
            ``x - A+ y``, `n x bands x sh x sw`.
        low : Tensor
            y, `n x bands x h x w`, in about [0, 1].
        """
        # The backbone expects values in about [0, 1]; the detail has a few tenths of their spread.
        inputs = torch.cat([low, 0.5 + 4 * F.pixel_unshuffle(detail, self.scale)], 1)
        mean, log_std = self.exit(self.backbone(inputs)).float().chunk(2, 1)
        return mean, log_std.clamp(_LEAST, _MOST).exp()
