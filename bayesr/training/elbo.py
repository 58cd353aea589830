"""The evidence lower bound of a conditional variational autoencoder, by Pyro; imported where it is trained alone.

    z ~ N(0, 1)                          the prior: a value per latent channel and low-resolution pixel
    x | z, y ~ N(A+ y + P g(y, z), t^2 P)    the likelihood: noise in what the observation cannot see
    z | x, y ~ N(m(x, y), s(x, y)^2)     the approximate posterior: the recipe's network ``encoder``

The prior is what `bayesr.sample` draws its latents from, g the generator and its tail, t is learnt.
"""

from __future__ import annotations

import torch
from pyro import distributions as dist
from pyro import poutine, sample
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor

from bayesr.networks.encoder import Encoder
from bayesr.training.scene import Scene


class Drawn(dist.Normal):  # type: ignore[misc]
    """``N(mean, std^2)`` whose draw is ``mean + std e`` of a given e: trainers have random states of their own."""

    def __init__(self, mean: Tensor, std: Tensor, e: Tensor) -> None:
        super().__init__(mean, std)
        self.e = e

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """The one draw."""
        value: Tensor = self.loc + self.scale * self.e
        return value


def negative_elbo(scene: Scene) -> Tensor:
    """``(KL(q || p) - E_q log p(x | z, y)) / N`` of N values of high-resolution images: nats per value.

    Noise of the covariance ``t^2 P`` has ``rank P`` independent values in a patch, and the standard deviation
    ``t sqrt(rank P / N)`` in a pixel. So, but for a constant, its log-density is that of as many
    independent pixels of this deviation, times ``rank P / N``.
    ...
    """
    encoder = scene.networks["encoder"]
    assert isinstance(encoder, Encoder)
    low, truth = scene.low, scene.truth
    hidden = float(scene.operator.hidden_share(*low.shape[-2:]).mean())
    mean, std = encoder(truth - scene.base, low)
    e = scene.normal(mean.shape)

    def model() -> None:
        z = sample("z", dist.Normal(torch.zeros_like(mean), 1.0).to_event())
        x = scene.generate(low, 1, z)[:, 0]
        with poutine.scale(scale=hidden):
            sample("x", dist.Normal(x, hidden**0.5 * encoder.log_noise.exp()).to_event(), obs=truth)

    def guide() -> None:
        sample("z", Drawn(mean, std, e).to_event())

    loss: Tensor = TraceMeanField_ELBO().differentiable_loss(model, guide)
    return loss / truth.numel()
