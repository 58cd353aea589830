"""The critic: tells (truth, context) from (member, context), and lends its features to the energy score."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Critic(nn.Module):
    """A patch critic with features of three depths.

    Both images, `n x bands x H x W` with even H and W, are folded to half resolution first
    (nothing is lost: 2x2 pixels become channels), which makes it several times cheaper than
    convolving at full resolution.
    """

    def __init__(self, bands: int, width: int = 48) -> None:
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
