"""Heads that model the distribution of every pixel by itself, as regression baselines do.

Members are drawn from these marginals, with one latent per high-resolution pixel. Marginals can be right, but pixels
are uncorrelated: these heads show what the stochastic head adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.heads.base import BackboneFeatures, Head, HeadOptions
from bayesr.networks.layers import convolution, sub_pixels

MARGINAL_LOSSES = ("gaussian_likelihood", "pinball")
"""Losses of a training stage that the head computes (`Head.marginal_loss`)."""


def gaussian_likelihood(error: Tensor, std: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of errors under ``N(0, std^2)``, without its constant."""
    return (0.5 * (error / std).pow(2) + std.log()).mean()


def pinball(error: Tensor, quantiles: Tensor, levels: Tensor) -> Tensor:
    """Return the pinball loss of quantiles, averaged over levels and values.

    Parameters
    ----------
    error : Tensor
        `n x ...`.
    quantiles : Tensor
        Of the error, `n x levels x ...`.
    levels : Tensor
        Probabilities of the quantiles, in (0, 1).
    """
    difference = error[:, None] - quantiles
    level = levels.view(1, -1, *[1] * (error.dim() - 1))
    return torch.maximum(level * difference, (level - 1) * difference).mean()


class GaussianHead(Head):
    """A normal distribution for each pixel, ``detail + spread * z``, trained by its negative log-likelihood.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the backbone's features, and of the detail.

    References
    ----------
    D. Nix, A. Weigend, "Estimating the mean and variance of the target probability distribution",
    1994, doi:10.1109/ICNN.1994.374138.
    """

    reach = 1

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.latent_channels = outputs
        self.spread = convolution(inputs, outputs, std=0.01)
        nn.init.constant_(self.spread.bias, math.log(math.expm1(0.05)))  # type: ignore[arg-type]

    @classmethod
    def from_options(cls, options: HeadOptions) -> Head:
        """Build the head of an architecture."""
        return cls(options.inputs, options.outputs)

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        return BackboneFeatures.of_detail(detail, F.softplus(self.spread(f)) + 1e-4)

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        return shared.detail + shared.spread * z

    def marginal_loss(self, shared: BackboneFeatures, error: Tensor, factor: Tensor, scale: int) -> Tensor:
        return gaussian_likelihood(error, factor * sub_pixels(shared.spread, scale).float())


class QuantileHead(Head):
    """Quantiles of each pixel at `LEVELS`, linear between them, trained by the pinball loss.

    Beyond the outermost levels a pixel follows the normal distribution through the last two quantiles.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the backbone's features, and of the detail.

    References
    ----------
    R. Koenker, G. Bassett, "Regression quantiles", 1978, doi:10.2307/1913643.
    """

    LEVELS = tuple((2 * k + 1) / 20 for k in range(10))
    reach = 1

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.latent_channels = outputs
        # Differences are positive, so that quantiles never cross.
        self.steps = convolution(inputs, outputs * (len(self.LEVELS) - 1), std=0.01)
        nn.init.constant_(self.steps.bias, math.log(math.expm1(0.01)))  # type: ignore[arg-type]

    @classmethod
    def from_options(cls, options: HeadOptions) -> Head:
        """Build the head of an architecture."""
        return cls(options.inputs, options.outputs)

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        steps = F.softplus(self.steps(f)).unflatten(1, (len(self.LEVELS) - 1, -1))
        rising = F.pad(steps, (0, 0, 0, 0, 0, 0, 1, 0)).cumsum(1)
        return BackboneFeatures.of_detail(detail, (rising - rising.mean(1, keepdim=True)).flatten(1, 2))

    def quantiles(self, shared: BackboneFeatures) -> Tensor:
        """Return the quantiles minus the detail, `n x levels x outputs x h x w`."""
        offsets: Tensor = shared.spread.unflatten(1, (len(self.LEVELS), -1))
        return offsets

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        at = torch.tensor(self.LEVELS, dtype=torch.float64).mul(2).sub(1).erfinv().mul(math.sqrt(2)).to(z)
        quantiles = self.quantiles(shared).expand(
            z.shape[0], -1, -1, -1, -1
        )  # len() would fix it in programs of torch.export
        # Piecewise linear in the normal deviate, extended by the outermost pieces.
        piece = torch.bucketize(z.contiguous(), at[1:-1])
        below = quantiles.gather(1, piece[:, None])[:, 0]
        above = quantiles.gather(1, piece[:, None] + 1)[:, 0]
        share: Tensor = (z - at[piece]) / (at[piece + 1] - at[piece])
        return shared.detail + below + (above - below) * share

    def marginal_loss(self, shared: BackboneFeatures, error: Tensor, factor: Tensor, scale: int) -> Tensor:
        offsets = self.quantiles(shared)
        unfolded = sub_pixels(offsets.flatten(0, 1), scale).float().unflatten(0, offsets.shape[:2])
        return pinball(error, factor * unfolded, torch.tensor(self.LEVELS, device=error.device))
