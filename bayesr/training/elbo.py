"""The evidence lower bound of a conditional variational autoencoder, by Pyro.

    z ~ N(0, 1)                              the prior, of which `bayesr.sample` draws latents
    x | z, y ~ N(A+ y + P g(y, z), t^2 P)    the likelihood: noise in what the observation cannot see
    z | x, y ~ N(m(x, y), s(x, y)^2)         the approximate posterior: the recipe's network ``encoder``

z has a value for every latent channel and low-resolution pixel; g is the generator, t is learnt with it. Without
a bond (`bayesr.observe.Inexact`) P is the identity.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro import distributions as dist
from pyro import poutine, sample
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor

from bayesr.networks.encoder import Encoder
from bayesr.networks.variational import GivenNoiseNormal
from bayesr.training.batch import TrainingBatch


def negative_elbo(scene: TrainingBatch) -> Tensor:
    """``(KL(q(z | x, y) || p(z)) - log p(x | z, y)) / N``, z ~ q: nats per value, N = b bands sh sw values in all.

    The divergence is the analytic one, the expectation over q that of one draw. Noise of the covariance ``t^2 P`` has
    ``r = rank P`` independent values among the N, and the variance ``t^2 r / N`` at a pixel; so ``log p`` is, but for a
    constant, ``r / N`` times that of N independent pixels of this variance.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014, arXiv:1312.6114. E. Bingham et al., "Pyro: deep
    universal probabilistic programming", 2019, arXiv:1810.09538. O. Rybkin, K. Daniilidis, S. Levine, "Simple and
    effective VAE training with calibrated decoders", 2021, arXiv:2006.13202.
    """
    encoder = scene.networks["encoder"]
    assert isinstance(encoder, Encoder)
    hidden = float(scene.operator.null_space_variance(*scene.low.shape[-2:]).mean())  # r / N
    mean, std = encoder(scene.truth - scene.base, scene.low)
    e = scene.normal(mean.shape)
    normal: Any = dist.Normal  # Pyro's own are not annotated
    posterior: Any = GivenNoiseNormal(mean, std, e)

    def model() -> None:
        z = sample("z", normal(torch.zeros_like(mean), 1.0).to_event())
        x = scene.generate(scene.low, 1, z)[:, 0]
        with poutine.scale(scale=hidden):
            sample("x", normal(x, hidden**0.5 * encoder.log_noise.exp()).to_event(), obs=scene.truth)

    def guide() -> None:
        sample("z", posterior.to_event())

    loss: Tensor = TraceMeanField_ELBO().differentiable_loss(model, guide)
    return loss / scene.truth.numel()
