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


def seen(scene: TrainingBatch) -> Tensor:
    """``B(x)``, what the truths would be seen as, `b x band x h x w`; one for all losses of a step."""
    if "seen" not in scene.kept:
        scene.kept["seen"] = scene.networks["backward"](scene.truth).float()
    found: Tensor = scene.kept["seen"]
    return found


def cycle(scene: TrainingBatch) -> Tensor:
    """``mean |B(G(y)) - y| + mean |G(B(x)) - x|``."""
    low_again = scene.networks["backward"](scene.x[:, 0])
    high_again = scene.generate(seen(scene))[:, 0]
    loss: Tensor = (low_again - scene.low).abs().mean() + (high_again - scene.truth).abs().mean()
    return loss


def identity(scene: TrainingBatch) -> Tensor:
    """``mean |D G(D x) - D x| + mean |B(U y) - y|``, D the mean of `s x s` pixels and U interpolation.

    At scale 1, where both kinds are of one size, D and U do nothing, and this is the published ``|G(x) - x| +
    |B(y) - y|``: what is sharp already stays. At other scales it says the same of what both kinds have in common,
    their means over a low-resolution pixel, so that the game is not won by other colours or another brightness.
    """
    coarse = F.avg_pool2d(scene.truth, scene.operator.scale)
    kept = F.avg_pool2d(scene.generate(coarse)[:, 0], scene.operator.scale)
    again = scene.networks["backward"](scene.base)
    loss: Tensor = (kept - coarse).abs().mean() + (again - scene.low).abs().mean()
    return loss


def high_resolution(scene: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """What the discriminator of high-resolution images is shown: x, G(y), which are no pair, and a blank context."""
    return scene.truth, scene.x[:, 0], torch.zeros_like(scene.truth)


def low_resolution(scene: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """What the discriminator of low-resolution images is shown: y, B(x), and a blank context."""
    return scene.low, seen(scene), torch.zeros_like(scene.low)
