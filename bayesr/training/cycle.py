"""Cycle-consistency losses for training without pairs.

The generator G maps low-resolution images y to high resolution. The network ``backward``, B, maps high-resolution
images x of other scenes to low resolution.

References
----------
J.-Y. Zhu et al., "CycleGAN", 2017, arXiv:1703.10593.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bayesr.training.batch import TrainingBatch


def predicted_low(batch: TrainingBatch) -> Tensor:
    """Return ``B(x)``, `b x band x h x w`, computed once per step."""
    if "predicted_low" not in batch.cache:
        batch.cache["predicted_low"] = batch.networks["backward"](batch.truth).float()
    low: Tensor = batch.cache["predicted_low"]
    return low


def cycle(batch: TrainingBatch) -> Tensor:
    """Compute the cycle-consistency loss ``mean |B(G(y)) - y| + mean |G(B(x)) - x|``."""
    low_again = batch.networks["backward"](batch.x[:, 0])
    high_again = batch.generate(predicted_low(batch))[:, 0]
    loss: Tensor = (low_again - batch.low).abs().mean() + (high_again - batch.truth).abs().mean()
    return loss


def identity(batch: TrainingBatch) -> Tensor:
    """Compute the identity loss ``mean |D G(D x) - D x| + mean |B(U y) - y|``.

    D averages blocks of `s x s` pixels, and U interpolates. At scale 1 both are the identity, and this is the published
    ``|G(x) - x| + |B(y) - y|``. At other scales it compares means over low-resolution pixels. It keeps the networks
    from changing colours or brightness to satisfy the discriminators.
    """
    coarse = F.avg_pool2d(batch.truth, batch.operator.scale)
    coarse_again = F.avg_pool2d(batch.generate(coarse)[:, 0], batch.operator.scale)
    low_again = batch.networks["backward"](batch.base)
    loss: Tensor = (coarse_again - coarse).abs().mean() + (low_again - batch.low).abs().mean()
    return loss


def high_resolution_inputs(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of the high-resolution discriminator: x, G(y), and an empty context."""
    return batch.truth, batch.x[:, 0], torch.zeros_like(batch.truth)


def low_resolution_inputs(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of the low-resolution discriminator: y, B(x), and an empty context."""
    return batch.low, predicted_low(batch), torch.zeros_like(batch.low)
