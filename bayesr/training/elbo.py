"""The evidence lower bound of a conditional variational autoencoder, computed with Pyro.

    z ~ N(0, 1)                              prior, from which `bayesr.sample` draws latents
    x | z, y ~ N(A+ y + P g(y, z), t^2 P)    likelihood, with noise in the null space of the forward operator
    z | x, y ~ N(m(x, y), s(x, y)^2)         approximate posterior, given by the recipe's network ``encoder``

z has one value per latent channel and low-resolution pixel. The generator g and t are learnt together. Without data
consistency (`bayesr.observe.Unconstrained`) P is the identity.
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


def negative_elbo(batch: TrainingBatch) -> Tensor:
    """Compute ``(KL(q(z | x, y) || p(z)) - log p(x | z, y)) / N`` for z ~ q, in nats per value.

    N is the number of values, b bands sh sw. The divergence is analytic; the expectation over q takes one sample. Noise
    with covariance ``t^2 P`` has ``r = rank P`` independent values, and variance ``t^2 r / N`` at each pixel. Up to a
    constant, ``log p`` is therefore ``r / N`` times that of N independent pixels with this variance.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014, arXiv:1312.6114. E. Bingham et al., "Pyro: deep
    universal probabilistic programming", 2019, arXiv:1810.09538. O. Rybkin, K. Daniilidis, S. Levine, "Simple and
    effective VAE training with calibrated decoders", 2021, arXiv:2006.13202.
    """
    encoder = batch.networks["encoder"]
    assert isinstance(encoder, Encoder)
    null_share = float(batch.operator.null_space_variance(*batch.low.shape[-2:]).mean())  # r / N
    mean, std = encoder(batch.truth - batch.base, batch.low)
    e = batch.normal(mean.shape)
    normal: Any = dist.Normal  # not annotated in Pyro
    posterior: Any = GivenNoiseNormal(mean, std, e)

    def model() -> None:
        z = sample("z", normal(torch.zeros_like(mean), 1.0).to_event())
        x = batch.generate(batch.low, 1, z)[:, 0]
        with poutine.scale(scale=null_share):
            sample("x", normal(x, null_share**0.5 * encoder.log_noise.exp()).to_event(), obs=batch.truth)

    def guide() -> None:
        sample("z", posterior.to_event())

    loss: Tensor = TraceMeanField_ELBO().differentiable_loss(model, guide)
    return loss / batch.truth.numel()
