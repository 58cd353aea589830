"""Adversarial losses: functions of the logits of real and fake images.

``r`` are the logits of real images, ``f`` those of fake images, one per image or per patch. Losses are means over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bayesr.training.penalties import Network, Penalty, by_resolution, gradient_penalty, paired_penalty, r1_penalty

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps the logits of real and of fake images to a scalar."""


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of discriminator and generator, and a penalty that keeps the discriminator smooth.

    Parameters
    ----------
    discriminator, generator : callable
        ``(real_logits, fake_logits) -> loss``. The generator receives the real logits only if `relative`, without their
        gradient.
    penalty : callable, optional
        See `Penalty`.
    weight : float
    every : int
        Steps from one penalty to the next. A larger number saves most of the cost; the weight stays the same.
    relative : bool
        Whether the generator's loss depends on real images too.
    steer : callable, optional
        Called at every step of the discriminator with itself, and the logits of real and fake images by resolution, to
        change its own weight of the penalty.
    """

    discriminator: Loss
    generator: Loss
    penalty: Penalty | None = None
    weight: float = 0.0
    every: int = 1
    relative: bool = False
    steer: Callable[[Network, list[Tensor], list[Tensor]], None] | None = None


def discriminator_step_loss(
    adversarial_loss: AdversarialLoss, discriminator: Network, real: Tensor, fake: Tensor, context: Tensor, step: int
) -> Tensor:
    """Compute the loss of the discriminator at one step, with the penalty if it is due.

    Parameters
    ----------
    real, fake, context : Tensor
        Images `b x band x y x x`. None receives a gradient. There may be several fake images of each real one, one set
        of `b` after another; the context is that of the fake ones.
    step : int
        Earlier steps of the discriminator.
    """
    real, fake, context = real.detach(), fake.detach(), context.detach()
    on_real, on_fake = (by_resolution(discriminator(x, context[: len(x)])[0]) for x in (real, fake))
    loss = _sum_over_resolutions(adversarial_loss.discriminator, on_real, on_fake)
    if adversarial_loss.penalty is not None and step % adversarial_loss.every == 0:
        loss = loss + adversarial_loss.weight * adversarial_loss.penalty(discriminator, real, fake, context)
    if adversarial_loss.steer is not None:
        with torch.no_grad():
            adversarial_loss.steer(discriminator, on_real, on_fake)
    return loss


def generator_step_loss(
    adversarial_loss: AdversarialLoss, discriminator: Network, real: Tensor, fake: Tensor, context: Tensor
) -> Tensor:
    """Compute the loss of the generator against a discriminator.

    Parameters
    ----------
    real, fake, context : Tensor
        Images, see `discriminator_step_loss`. Only `fake` receives a gradient.
    """
    on_real = on_fake = by_resolution(discriminator(fake, context)[0])
    if adversarial_loss.relative:
        with torch.no_grad():
            on_real = by_resolution(discriminator(real, context[: len(real)])[0])
    return _sum_over_resolutions(adversarial_loss.generator, on_real, on_fake)


def _sum_over_resolutions(loss: Loss, real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Return the sum of a loss over resolutions."""
    return torch.stack([loss(r, f) for r, f in zip(real, fake, strict=True)]).sum()


def _logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _logistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return _relativistic_discriminator(fake, real)


def _margin(real: Tensor, fake: Tensor) -> Tensor:
    """Return by how much the logit of each fake image's real one is higher, place by place."""
    return real.repeat(len(fake) // len(real), 1, 1, 1) - fake


def _paired_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-_margin(real, fake)).mean()


def _paired_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(_margin(real, fake)).mean()


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (real - 1).square().mean() + fake.square().mean()


def _least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    return (fake - 1).square().mean()


def _negative_fake_mean(real: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


_TARGET_ACCURACY = 0.7
"""Share of places at which the discriminator of `PAIRED` is to be right."""
_WEIGHT_BOUNDS = (1e-4, 5.0)
"""Bounds of the weight of its penalty; with larger weights, members get worse."""


def _steer_penalty_weight(discriminator: Network, real: list[Tensor], fake: list[Tensor]) -> None:
    """Raise the weight of the penalty while the discriminator is right too often, and lower it otherwise."""
    accuracy = torch.stack([(_margin(r, f) > 0).float().mean() for r, f in zip(real, fake, strict=True)]).mean()
    weight: Tensor = discriminator.penalty_weight  # type: ignore[attr-defined]
    weight.mul_(torch.exp(0.02 * (accuracy - _TARGET_ACCURACY))).clamp_(*_WEIGHT_BOUNDS)


PLAIN = AdversarialLoss(_logistic_discriminator, _logistic_generator)
"""The non-saturating logistic loss of SRGAN.

Discriminator: ``softplus(-r) + softplus(f)``. Generator: ``softplus(-f) = -log D(G)``. The optimal logit is the
logarithm of the ratio of the densities of real and fake images.

References
----------
I. Goodfellow et al., "Generative adversarial nets", 2014, arXiv:1406.2661. C. Ledig et al., "SRGAN", 2017,
arXiv:1609.04802.
"""

LOGISTIC = AdversarialLoss(_logistic_discriminator, _logistic_generator, penalty=r1_penalty, weight=4.0, every=8)
"""`PLAIN` with the R1 penalty at every eighth step."""

RELATIVISTIC = AdversarialLoss(_relativistic_discriminator, _relativistic_generator, relative=True)
"""The relativistic average loss of ESRGAN.

Discriminator: ``softplus(-(r - mean f)) + softplus(f - mean r)``. Generator: the same with real and fake swapped. The
discriminator compares an image with the average image of the other kind, so the generator receives gradients through
both terms.

References
----------
A. Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018,
arXiv:1807.00734. X. Wang et al., "ESRGAN", 2018, arXiv:1809.00219.
"""

PAIRED = AdversarialLoss(
    _paired_discriminator,
    _paired_generator,
    penalty=paired_penalty,
    weight=0.04,
    every=4,
    relative=True,
    steer=_steer_penalty_weight,
)
"""The paired relativistic loss, with the penalties R1 and R2 at every fourth step.

Discriminator: ``softplus(f - r)`` at every place of every resolution, of a truth and a member of the same scene.
Generator: ``softplus(r - f)``. The discriminator compares two images that agree in all that the input fixes. The weight
of the penalties is steered so that it is right at 70% of places. It takes `PairedDiscriminator`.

References
----------
Y. Huang et al., "The GAN is dead; long live the GAN! A modern GAN baseline", 2024, arXiv:2501.05441.
"""

HINGE = AdversarialLoss(_hinge_discriminator, _negative_fake_mean)
"""The hinge loss of SAGAN.

Discriminator: ``max(0, 1 - r) + max(0, 1 + f)``. Generator: ``-f``. Images beyond the margin give the discriminator no
gradient.

References
----------
J. H. Lim, J. C. Ye, "Geometric GAN", 2017, arXiv:1705.02894. H. Zhang et al., "SAGAN", 2019, arXiv:1805.08318.
"""

WASSERSTEIN = AdversarialLoss(_wasserstein_discriminator, _negative_fake_mean, penalty=gradient_penalty, weight=10.0)
"""The Wasserstein loss with gradient penalty, as in rcGAN.

Discriminator: ``mean f - mean r``, and the gradient penalty at every step. Generator: ``-mean f``. The penalty takes
the gradient of each image, so the discriminator must not mix images (no batch normalisation).

References
----------
I. Gulrajani et al., "Improved training of Wasserstein GANs", 2017, arXiv:1704.00028. M. Bendel et al., "rcGAN", 2023,
arXiv:2210.13389.
"""

LEAST_SQUARES = AdversarialLoss(_least_squares_discriminator, _least_squares_generator)
"""The least-squares loss of CycleGAN.

Discriminator: ``(r - 1)^2 + f^2``. Generator: ``(f - 1)^2``. Images far from the decision boundary still contribute
gradients.

References
----------
X. Mao et al., "Least squares generative adversarial networks", 2017, arXiv:1611.04076. J.-Y. Zhu et al., "CycleGAN",
2017, arXiv:1703.10593.
"""
