"""Penalties on the gradients of a discriminator, which keep it smooth."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Logits = Tensor | list[Tensor]
"""Logits of one resolution, or of several, whose losses are added."""

Network = Callable[[Tensor, Tensor], tuple[Logits, list[Tensor]]]
"""A discriminator: maps images and their context to logits and a list of features."""

Penalty = Callable[[Network, Tensor, Tensor, Tensor], Tensor]
"""Maps a discriminator, real images, fake images and their context to a differentiable scalar."""


def by_resolution(logits: Logits) -> list[Tensor]:
    """Return the logits of each resolution as float32."""
    return [part.float() for part in (logits if isinstance(logits, list) else [logits])]


def _gradient(discriminator: Network, x: Tensor, context: Tensor) -> Tensor:
    """Return the gradient of each image's mean logit, of the shape of `x`."""
    x = x.detach().requires_grad_()
    logits = torch.stack([part.flatten(1).mean(1) for part in by_resolution(discriminator(x, context)[0])])
    gradient: Tensor = torch.autograd.grad(logits.sum(), x, create_graph=True)[0]
    return gradient


def paired_penalty(discriminator: Network, real: Tensor, fake: Tensor, context: Tensor) -> Tensor:
    """Compute the penalties R1 and R2, ``mean |d/dx sum_p D_p(x)|^2``, at real and at fake images.

    The sums are over places p; the penalties of both resolutions are added, and multiplied by the discriminator's own
    ``penalty_weight``.

    References
    ----------
    K. Roth et al., "Stabilizing training of generative adversarial networks through regularization", 2017,
    arXiv:1705.09367.
    """
    images = [x.detach().requires_grad_() for x in (real, fake)]
    on_images = [by_resolution(discriminator(x, context[: len(x)])[0]) for x in images]
    total = torch.zeros((), device=real.device)
    for parts in zip(*on_images, strict=True):
        gradients = torch.autograd.grad([part.sum() for part in parts], images, create_graph=True)
        total = total + torch.stack([gradient.pow(2).mean() for gradient in gradients]).sum()
    weight: Tensor = discriminator.penalty_weight  # type: ignore[attr-defined]
    return weight.clone() * total


def r1_penalty(discriminator: Network, real: Tensor, fake: Tensor, context: Tensor) -> Tensor:
    """Compute the R1 penalty ``mean_i |grad_x D(x_i)|^2`` at real images, which makes training converge locally.

    References
    ----------
    L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?",
    2018, arXiv:1801.04406.
    """
    return _gradient(discriminator, real, context).flatten(1).pow(2).sum(1).mean()


def gradient_penalty(discriminator: Network, real: Tensor, fake: Tensor, context: Tensor) -> Tensor:
    """Compute the gradient penalty ``mean_i (|grad_x D(x_i)| - 1)^2`` at ``x_i = e_i real_i + (1 - e_i) fake_i``.

    The weights ``e_i = (i + 1/2) / b`` are evenly spaced, not drawn: images are in random order already, and even
    spacing has less variance.

    References
    ----------
    I. Gulrajani et al., "Improved training of Wasserstein GANs", 2017, arXiv:1704.00028.
    """
    share = ((torch.arange(len(real), dtype=torch.float32, device=real.device) + 0.5) / len(real)).view(-1, 1, 1, 1)
    between = torch.lerp(fake, real, share.to(real))
    # The square root has an infinite derivative at 0, the gradient of a flat discriminator.
    norm = (_gradient(discriminator, between, context).flatten(1).pow(2).sum(1) + 1e-12).sqrt()
    return (norm - 1).pow(2).mean()
