"""Pixel losses, differentiable and soft: ``loss(logits, targets, weight) -> scalar``.

Every loss takes logits `n x outputs x h x w`, targets in [0, 1] of the same shape, and weights `n x 1 x h x w`, 0 or
more (1 for a pixel that counts once). Below, p is the sigmoid of the logits, t the targets, w the weights. Sums
run over the pixels of all images of the batch, output by output, so that a patch without an object is no special
case; what is left is the mean over outputs. Overlap losses are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

PixelLoss = Callable[[Tensor, Tensor, Tensor], Tensor]

_SMOOTH = 1.0
"""Pixels added to both sides of a fraction: what is empty and predicted empty has loss 0."""
FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7
"""Tversky's weights of pixels too many and pixels missed; Salehi et al. found these best where objects are small."""


def bce(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy: ``sum w (-t log p - (1 - t) log(1 - p)) / sum w``.

    A proper score, so that p aims at the probability of the foreground. Nats; 0 or more.
    """
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * weight).sum() / (weight.sum() * logits.shape[1]).clamp_min(1e-8)


def dice(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Soft Dice loss: ``1 - 2 sum w p t / (sum w p + sum w t)``.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 2016, arXiv:1606.04797 (which squares p and t in the denominator;
    without squares, as here, the loss of a certain p is that of the mask).
    """
    both, extra, missed = _counts(logits, targets, weight)
    return (1 - (2 * both + _SMOOTH) / (2 * both + extra + missed + _SMOOTH)).mean()


def tversky(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Soft Tversky loss: ``1 - sum w p t / (sum w p t + a sum w p (1 - t) + b sum w (1 - p) t)``.

    With a = 0.3 and b = 0.7 a missed pixel costs more than one too many; a = b = 1/2 is Dice, a = b = 1 Jaccard.

    References
    ----------
    S. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation using 3D fully convolutional
    deep networks", 2017, arXiv:1706.05721.
    """
    both, extra, missed = _counts(logits, targets, weight)
    left = FALSE_POSITIVES * extra + FALSE_NEGATIVES * missed
    return (1 - (both + _SMOOTH) / (both + left + _SMOOTH)).mean()


def jaccard(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Soft Jaccard loss: ``1 - sum w p t / (sum w p + sum w t - sum w p t)``.

    References
    ----------
    M. A. Rahman, Y. Wang, "Optimizing intersection-over-union in deep neural networks for image segmentation", 2016,
    doi:10.1007/978-3-319-50835-1_22.
    """
    both, extra, missed = _counts(logits, targets, weight)
    return (1 - (both + _SMOOTH) / (both + extra + missed + _SMOOTH)).mean()


def bce_dice(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice: ``bce + dice``, probabilities from the one and overlap from the other.

    References
    ----------
    S. Jadon, "A survey of loss functions for semantic segmentation", 2020, arXiv:2006.14822.
    """
    return bce(logits, targets, weight) + dice(logits, targets, weight)


LOSSES: dict[str, PixelLoss] = {
    "bce": bce,
    "dice": dice,
    "tversky": tversky,
    "jaccard": jaccard,
    "bce_dice": bce_dice,
}


def _counts(logits: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Soft numbers of pixels in both, too many and missed, one of each per output."""
    p = torch.sigmoid(logits)
    over = (0, 2, 3)
    both = (weight * p * targets).sum(over)
    return both, (weight * p).sum(over) - both, (weight * targets).sum(over) - both
