"""Differentiable pixel losses: ``loss(logits, targets, weight) -> scalar``.

Logits are `n x outputs x h x w`, targets of the same shape in [0, 1], and weights `n x 1 x h x w`, 0 or larger. In the
formulas, p is the sigmoid of the logits, t the targets and w the weights. Sums run over all pixels of the batch for
each output, so that a patch without objects is not a special case. The loss is the mean over outputs. Overlap losses
lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

PixelLoss = Callable[[Tensor, Tensor, Tensor], Tensor]

_SMOOTH = 1.0
"""Pixels added to numerator and denominator: an empty mask predicted as empty has no loss."""
FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7
"""Weights in the Tversky loss; best for small objects in Salehi et al."""


def bce(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute the binary cross-entropy: ``sum w (-t log p - (1 - t) log(1 - p)) / sum w``.

    It is a proper score in nats, 0 or larger, minimised by the probability of the foreground.
    """
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * weight).sum() / (weight.sum() * logits.shape[1]).clamp_min(1e-8)


def dice(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute the soft Dice loss: ``1 - 2 sum w p t / (sum w p + sum w t)``.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 2016, arXiv:1606.04797 (there with p and t squared in the
    denominator).
    """
    both, extra, missed = _counts(logits, targets, weight)
    return (1 - (2 * both + _SMOOTH) / (2 * both + extra + missed + _SMOOTH)).mean()


def tversky(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute the soft Tversky loss: ``1 - sum w p t / (sum w p t + a sum w p (1 - t) + b sum w (1 - p) t)``.

    With a = 0.3 and b = 0.7, false negatives cost more. a = b = 1/2 gives the Dice loss, a = b = 1 the Jaccard loss.

    References
    ----------
    S. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation using 3D fully convolutional
    deep networks", 2017, arXiv:1706.05721.
    """
    both, extra, missed = _counts(logits, targets, weight)
    left = FALSE_POSITIVES * extra + FALSE_NEGATIVES * missed
    return (1 - (both + _SMOOTH) / (both + left + _SMOOTH)).mean()


def jaccard(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute the soft Jaccard loss: ``1 - sum w p t / (sum w p + sum w t - sum w p t)``.

    References
    ----------
    M. A. Rahman, Y. Wang, "Optimizing intersection-over-union in deep neural networks for image segmentation", 2016,
    doi:10.1007/978-3-319-50835-1_22.
    """
    both, extra, missed = _counts(logits, targets, weight)
    return (1 - (both + _SMOOTH) / (both + extra + missed + _SMOOTH)).mean()


def bce_dice(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute ``bce + dice``.

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
    """Soft numbers of true positives, false positives and false negatives, for each output."""
    p = torch.sigmoid(logits)
    over = (0, 2, 3)
    both = (weight * p * targets).sum(over)
    return both, (weight * p).sum(over) - both, (weight * targets).sum(over) - both
