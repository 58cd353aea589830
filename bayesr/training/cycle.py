"""Losses of a cycle between two kinds of images without pairs: there and back again is where one was.

G takes low-resolution images y to high resolution and is the recipe's generator; B takes high-resolution images x back
and is its network ``backward``. The truths of a scene belong to other scenes than its low-resolution images.

References
----------
J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", 2017, arXiv:1703.10593.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bayesr.training.batch import TrainingBatch


def predicted_low(batch: TrainingBatch) -> Tensor:
    """``B(x)``, what the truths would be seen as, `b x band x h x w`; one for all losses of a step."""
    if "predicted_low" not in batch.cache:
        batch.cache["predicted_low"] = batch.networks["backward"](batch.truth).float()
    found: Tensor = batch.cache["predicted_low"]
    return found


def cycle(batch: TrainingBatch) -> Tensor:
    """``mean |B(G(y)) - y| + mean |G(B(x)) - x|``."""
    low_again = batch.networks["backward"](batch.x[:, 0])
    high_again = batch.generate(predicted_low(batch))[:, 0]
    loss: Tensor = (low_again - batch.low).abs().mean() + (high_again - batch.truth).abs().mean()
    return loss


def identity(batch: TrainingBatch) -> Tensor:
    """``mean |D G(D x) - D x| + mean |B(U y) - y|``, D the mean of `s x s` pixels and U interpolation.

    At scale 1, where both kinds are of one size, D and U do nothing, and this is the published ``|G(x) - x| +
    |B(y) - y|``: what is sharp already stays. At other scales it says the same of what both kinds have in common,
    their means over a low-resolution pixel, so that the game is not won by other colours or another brightness.
    """
    coarse = F.avg_pool2d(batch.truth, batch.operator.scale)
    kept = F.avg_pool2d(batch.generate(coarse)[:, 0], batch.operator.scale)
    again = batch.networks["backward"](batch.base)
    loss: Tensor = (kept - coarse).abs().mean() + (again - batch.low).abs().mean()
    return loss


def high_resolution_inputs(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """What the discriminator of high-resolution images is shown: x, G(y), which are no pair, and a blank context."""
    return batch.truth, batch.x[:, 0], torch.zeros_like(batch.truth)


def low_resolution_inputs(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """What the discriminator of low-resolution images is shown: y, B(x), and a blank context."""
    return batch.low, predicted_low(batch), torch.zeros_like(batch.low)
