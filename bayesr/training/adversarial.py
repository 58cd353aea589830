"""Games that a discriminator and the generator play: what each minimises, given the discriminator's logits of real and fake images.

Logits ``r`` of real and ``f`` of fake images may hold one value per image or one per patch; all are averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of the logits of real and of fake images, a scalar."""

Network = Callable[[Tensor, Tensor], tuple[Tensor, list[Tensor]]]
"""A discriminator: of images and their context, logits and features."""

Penalty = Callable[[Network, Tensor, Tensor, Tensor], Tensor]
"""Of a discriminator, real and fake images and their context, a scalar that can be differentiated by the weights."""


@dataclass(frozen=True)
class AdversarialLoss:
    """Two losses, and what keeps the discriminator smooth.

    Parameters
    ----------
    discriminator, generator : callable
        ``(real_logits, fake_logits) -> loss`` of either player. Real logits reach the generator without
        their gradient, and only where `relative` asks for them.
    penalty : callable, optional
        Of the discriminator; see `Penalty`.
    weight : float
        Of the penalty.
    every : int
        The penalty is taken at every so many of the discriminator's turns, which saves most of its cost and does not
        raise its weight.
    relative : bool
        Whether the generator's loss depends on the logits of real images too.
    """

    discriminator: Loss
    generator: Loss
    penalty: Penalty | None = None
    weight: float = 0.0
    every: int = 1
    relative: bool = False


def discriminator_step_loss(
    adversarial_loss: AdversarialLoss, discriminator: Network, real: Tensor, fake: Tensor, context: Tensor, turn: int
) -> Tensor:
    """What the discriminator minimises at its turn: its loss, and the penalty where it is due.

    Parameters
    ----------
    real, fake, context : Tensor
        `b x band x y x x` each; none of them receives a gradient.
    turn : int
        Turns that the discriminator has had before.
    """
    real, fake, context = real.detach(), fake.detach(), context.detach()
    loss = adversarial_loss.discriminator(discriminator(real, context)[0], discriminator(fake, context)[0])
    if adversarial_loss.penalty is None or turn % adversarial_loss.every:
        return loss
    return loss + adversarial_loss.weight * adversarial_loss.penalty(discriminator, real, fake, context)


def generator_step_loss(
    adversarial_loss: AdversarialLoss, discriminator: Network, real: Tensor, fake: Tensor, context: Tensor
) -> Tensor:
    """Return the generator's loss against a discriminator.

    Parameters
    ----------
    real, fake, context : Tensor
        `b x band x y x x` each; `fake` alone receives a gradient.
    """
    on_real = on_fake = discriminator(fake, context)[0]
    if adversarial_loss.relative:
        with torch.no_grad():
            on_real = discriminator(real, context)[0]
    return adversarial_loss.generator(on_real, on_fake)


def _logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _logistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return _relativistic_discriminator(fake, real)


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (real - 1).square().mean() + fake.square().mean()


def _least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    return (fake - 1).square().mean()


def _minus_fake(real: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


def _slope(discriminator: Network, x: Tensor, context: Tensor) -> Tensor:
    """The gradient of each image's mean logit by the image, of the shape of `x`."""
    x = x.detach().requires_grad_()
    logits = discriminator(x, context)[0].flatten(1).mean(1)
    slope: Tensor = torch.autograd.grad(logits.sum(), x, create_graph=True)[0]
    return slope


def slope_at_real(discriminator: Network, real: Tensor, fake: Tensor, context: Tensor) -> Tensor:
    """``mean_i |grad_x D(x_i)|^2`` at real images: R1, which makes the game converge near its end.

    References
    ----------
    L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?",
    2018, arXiv:1801.04406.
    """
    return _slope(discriminator, real, context).flatten(1).pow(2).sum(1).mean()


def slope_between(discriminator: Network, real: Tensor, fake: Tensor, context: Tensor) -> Tensor:
    """``mean_i (|grad_x D(x_i)| - 1)^2`` at ``x_i = e_i real_i + (1 - e_i) fake_i``: the gradient penalty.

    The shares ``e_i = (i + 1/2) / b`` are spread evenly over (0, 1), not drawn: images come in random order
    as it is, strata have less variance than draws, and training stays a function of its own seed.

    References
    ----------
    I. Gulrajani et al., "Improved training of Wasserstein GANs", 2017, arXiv:1704.00028.
    """
    share = ((torch.arange(len(real), device=real.device) + 0.5) / len(real)).view(-1, 1, 1, 1)
    # The root's own slope at zero is infinite, and zero is where a discriminator may well be flat.
    norm = (
        _slope(discriminator, torch.lerp(fake, real, share.to(real)), context).flatten(1).pow(2).sum(1) + 1e-12
    ).sqrt()
    return (norm - 1).pow(2).mean()


PLAIN = AdversarialLoss(_logistic_discriminator, _logistic_generator)
"""``softplus(-r) + softplus(f)`` against ``softplus(-f) = -log D(G)``, the non-saturating game of SRGAN.

The discriminator's best logits are the logarithm of the densities' ratio, real over fake.

References
----------
I. Goodfellow et al., "Generative adversarial nets", 2014, arXiv:1406.2661. C. Ledig et al., "Photo-realistic single
image super-resolution using a generative adversarial network", 2017, arXiv:1609.04802.
"""

LOGISTIC = AdversarialLoss(_logistic_discriminator, _logistic_generator, penalty=slope_at_real, weight=4.0, every=8)
"""`PLAIN` with R1 at every eighth turn."""

RELATIVISTIC = AdversarialLoss(_relativistic_discriminator, _relativistic_generator, relative=True)
"""``softplus(-(r - mean f)) + softplus(f - mean r)`` against the same with real and fake swapped.

Of the relativistic average discriminator, which says how much more real an image is than the other kind on average; so the
generator learns from real images as well.

References
----------
A. Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018,
arXiv:1807.00734. X. Wang et al., "ESRGAN", 2018, arXiv:1809.00219.
"""

HINGE = AdversarialLoss(_hinge_discriminator, _minus_fake)
"""``max(0, 1 - r) + max(0, 1 + f)`` against ``-f``: what is told apart by the margin teaches no more. Of SAGAN.

References
----------
J. H. Lim, J. C. Ye, "Geometric GAN", 2017, arXiv:1705.02894. H. Zhang et al., "Self-attention generative adversarial
networks", 2019, arXiv:1805.08318.
"""

WASSERSTEIN = AdversarialLoss(_wasserstein_discriminator, _minus_fake, penalty=slope_between, weight=10.0)
"""``mean f - mean r`` against ``-mean f``, with the gradient penalty at every turn; the discriminator of rcGAN.

For discriminators whose layers do not mix the images of a batch (no batch normalisation): each image has its own slope.

References
----------
I. Gulrajani et al., "Improved training of Wasserstein GANs", 2017, arXiv:1704.00028. M. Bendel, R. Ahmad, P. Schniter,
"A regularized conditional GAN for posterior sampling in image recovery problems", 2023, arXiv:2210.13389.
"""

LEAST_SQUARES = AdversarialLoss(_least_squares_discriminator, _least_squares_generator)
"""``(r - 1)^2 + f^2`` against ``(f - 1)^2``: what is far from the boundary still teaches. Of CycleGAN.

References
----------
X. Mao et al., "Least squares generative adversarial networks", 2017, arXiv:1611.04076. J.-Y. Zhu et al., "Unpaired
image-to-image translation using cycle-consistent adversarial networks", 2017, arXiv:1703.10593.
"""
