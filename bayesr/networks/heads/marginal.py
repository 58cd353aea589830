"""Tails that know the distribution of every pixel by itself: what regression baselines learn.

Members are drawn pixel by pixel, each from its own marginal distribution, with one latent per
high-resolution pixel. Right marginals and no correlation at all: the heads that show what the
stochastic head is for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.backbones.residual import convolution
from bayesr.networks.heads.stochastic import BackboneFeatures


class GaussianHead(nn.Module):
    """A normal distribution per pixel: ``detail + spread * z``; trained by its negative log-likelihood.

    References
    ----------
    D. Nix, A. Weigend, "Estimating the mean and variance of the target probability distribution",
    1994, doi:10.1109/ICNN.1994.374138.
    """

    width = 0
    reach = 1

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.latent_channels = outputs
        self.spread = convolution(inputs, outputs, std=0.01)
        nn.init.constant_(self.spread.bias, math.log(math.expm1(0.05)))  # type: ignore[arg-type]

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        spread = F.softplus(self.spread(f)) + 1e-4
        return BackboneFeatures(f[:, :0], detail, f[:, :0], f[:, :0], f[:, :0], spread)

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        return shared.detail + shared.spread * z

    def rates(self) -> Tensor:
        """No dropout."""
        return torch.empty(0)


class QuantileHead(nn.Module):
    """Quantiles per pixel at `LEVELS`, linear between them; trained by the pinball loss.

    Beyond the outermost levels a pixel follows the normal distribution through the last two.

    References
    ----------
    R. Koenker, G. Bassett, "Regression quantiles", 1978, doi:10.2307/1913643.
    """

    LEVELS = tuple((2 * k + 1) / 20 for k in range(10))
    width = 0
    reach = 1

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.latent_channels = outputs
        # From one quantile to the next: positive, so that quantiles never cross.
        self.steps = convolution(inputs, outputs * (len(self.LEVELS) - 1), std=0.01)
        nn.init.constant_(self.steps.bias, math.log(math.expm1(0.01)))  # type: ignore[arg-type]

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        steps = F.softplus(self.steps(f)).unflatten(1, (len(self.LEVELS) - 1, -1))
        rising = F.pad(steps, (0, 0, 0, 0, 0, 0, 1, 0)).cumsum(1)
        spread = (rising - rising.mean(1, keepdim=True)).flatten(1, 2)
        return BackboneFeatures(f[:, :0], detail, f[:, :0], f[:, :0], f[:, :0], spread)

    def quantiles(self, shared: BackboneFeatures) -> Tensor:
        """Offsets from the detail, `n x levels x outputs x h x w`."""
        offsets: Tensor = shared.spread.unflatten(1, (len(self.LEVELS), -1))
        return offsets

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        at = torch.tensor(self.LEVELS, dtype=torch.float64).mul(2).sub(1).erfinv().mul(math.sqrt(2)).to(z)
        quantiles = self.quantiles(shared).expand(len(z), -1, -1, -1, -1)
        # Piecewise linear in the normal deviate, extended by the outermost pieces.
        piece = torch.bucketize(z.contiguous(), at[1:-1])
        below = quantiles.gather(1, piece[:, None])[:, 0]
        above = quantiles.gather(1, piece[:, None] + 1)[:, 0]
        share: Tensor = (z - at[piece]) / (at[piece + 1] - at[piece])
        return shared.detail + below + (above - below) * share

    def rates(self) -> Tensor:
        """No dropout."""
        return torch.empty(0)
