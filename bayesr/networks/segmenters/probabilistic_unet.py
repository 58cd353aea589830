"""Probabilistic U-Net: a U-Net whose output depends on a latent, so that one image has several plausible masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.layers import SLOPE
from bayesr.networks.segmenters.mobile_unet import MobileUNet, PixelLoss

DRAWS = 16
"""Number of plausible maps whose mean is the probability map."""
_WIDTHS = (16, 32, 64, 64)
_PACE = 0.1
"""Factor on the learning rate of `LatentEncoder`: rates for a U-Net, which is normalised, are too high for it."""
_GAIN = 0.3
"""Factor on the output of `LatentEncoder`, so that it starts near zero mean."""
_BOUND = 3.0
"""Bound of log standard deviations, approached by a hyperbolic tangent: clipped values would have no gradient."""
_POSTERIOR_LOG_STD = -2.0
"""Initial log of the posterior's standard deviation over the prior's; logits would ignore uninformative latents."""
_RESIDUAL_GAIN, _STEP_GAIN = 8.0, 4.0
"""Factors on the difference of a mask from its expectation, pixel by pixel and in total, which is small."""


class SlowLayer(nn.Module):
    """A layer whose weights are `_PACE` times its parameters, so that optimisers like Adam change them slowly.

    References
    ----------
    T. Karras et al., "Progressive growing of GANs for improved quality, stability, and variation" (equalised learning
    rate), 2018, arXiv:1710.10196.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        assert layer.bias is not None
        nn.init.kaiming_normal_(layer.weight, SLOPE)
        nn.init.zeros_(layer.bias)
        with torch.no_grad():
            layer.weight.div_(_PACE)
        self.layer = layer

    def forward(self, f: Tensor) -> Tensor:
        out: Tensor = _PACE * self.layer(f)
        return out


class LatentEncoder(nn.Module):
    """Mean and standard deviation of a latent vector from an image of any size, `n x latent` each.

    Four times, two 3x3 convolutions with LeakyReLU, the first of which halves the size. Their mean over pixels is
    normalised over channels and mapped linearly to mean and log standard deviations.

    Parameters
    ----------
    bands, latent : int
        Bands of the image and the mask, if any, and values of the latent.
    start : float
        Approximate initial log standard deviation.
    """

    def __init__(self, bands: int, latent: int, start: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((bands, *_WIDTHS)):
            layers += [SlowLayer(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)), nn.LeakyReLU(SLOPE, inplace=True)]
            layers += [SlowLayer(nn.Conv2d(outputs, outputs, 3, padding=1)), nn.LeakyReLU(SLOPE, inplace=True)]
        self.convolutions, self.exit = nn.Sequential(*layers), SlowLayer(nn.Linear(_WIDTHS[-1], 2 * latent))
        self.start = start

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f: Tensor = self.convolutions(x.contiguous(memory_format=torch.channels_last))
        f = F.layer_norm(f.mean((-2, -1)), (f.shape[1],))
        mean, log_std = (_GAIN * self.exit(f)).float().chunk(2, 1)
        return mean, (self.start + _BOUND * torch.tanh(log_std / _BOUND)).exp()


class ProbabilisticUNet(nn.Module):
    """``p(y | x) = E_z p(y | U(x), z)``, ``z ~ N(m(x), diag s(x)^2)``: plausible masks y of the image x.

    U is a `MobileUNet`, and z one vector for the whole image. Three 1x1 convolutions of U's last features and of z,
    repeated over pixels, make a change of U's logits. It starts at zero, so training may start from a trained U-Net
    (`begin_with`). The prior N(m(x), s(x)^2) and a posterior `q(z | x, y)` are learnt by maximising the evidence lower
    bound

        ELBO = E_q log p(y | x, z) - beta KL(q(z | x, y) || p(z | x))

    in Pyro, where y is the mask of an annotator drawn at random for each image and step. With ``beta = 1`` and the loss
    ``bce``, pixels are independent Bernoulli variables given z. With another pixel loss l, ``log p = -N l`` for N
    pixels. A smaller beta admits a more informative posterior, farther from the prior.

    Unlike in the paper, U has its own logits, and the posterior is a change relative to the prior, as in residual
    normal distributions. Both shorten training from scratch.

    The prior depends on the whole image, so a map of a part is not a part of the whole's map. In training on patches
    much smaller than images, z would stand for the content of a patch, not for its annotation.

    Parameters
    ----------
    bands, outputs : int
        Bands, and predicted maps.
    width, depth, decoder : float, int, sequence of int
        Options of the `MobileUNet`.
    latent : int
        Values of z.
    beta : float
        Weight of the divergence, positive.

    Raises
    ------
    InvalidModel
        For invalid sizes.

    Attributes
    ----------
    architecture : dict
        Options from which the network can be built again; JSON.
    reach : None
        The network has no finite reach.
    multiple : int
        That of the U-Net.

    References
    ----------
    S. Kohl et al., "A probabilistic U-Net for segmentation of ambiguous images", 2018, arXiv:1806.05034. I. Higgins et
    al., "beta-VAE: Learning basic visual concepts with a constrained variational framework", 2017. E. Bingham et al.,
    "Pyro", 2019, arXiv:1810.09538. A. Vahdat, J. Kautz, "NVAE: A deep hierarchical variational autoencoder" (residual
    normal distributions), 2020, arXiv:2007.03898.
    """

    reach = None

    def __init__(
        self,
        bands: int = 1,
        outputs: int = 1,
        width: float = 1.0,
        depth: int = 5,
        decoder: Sequence[int] | None = None,
        latent: int = 6,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        if latent < 1 or not beta > 0:
            raise InvalidModel(f"A latent has one value or more, not {latent}, and beta is positive, not {beta:g}.")
        self.unet = MobileUNet(bands, outputs, width, depth, decoder)
        self.architecture = self.unet.architecture | {"kind": "probabilistic-unet", "latent": latent, "beta": beta}
        self.multiple = self.unet.multiple
        self.outputs, self.latent, self.beta = outputs, latent, beta
        channels = self.unet.channels
        self.prior, self.change = (
            LatentEncoder(bands, latent),
            LatentEncoder(bands + outputs, latent, _POSTERIOR_LOG_STD),
        )
        self.of_step = nn.Linear(outputs, latent, bias=False)
        # A convolution of features and z in two parts; that of the features is the same for all z.
        self.of_features, self.of_latent = nn.Conv2d(channels, channels, 1), nn.Linear(latent, channels, bias=False)
        self.join = nn.Sequential(
            nn.LeakyReLU(SLOPE), nn.Conv2d(channels, channels, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, outputs, 1)
        )
        nn.init.zeros_(self.join[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.join[-1].bias)  # type: ignore[arg-type]

    def features(self, x: Tensor) -> Tensor:
        """Return what is independent of z, U's logits and further channels, from images in about [0, 1]."""
        f = self.unet.decode(self.unet.encode(x))
        return torch.cat([self.unet.head(f), self.of_features(f)], 1)

    def logits(self, features: Tensor, z: Tensor) -> Tensor:
        """Return logits, `n x outputs x h x w`, from `features` and one z for each image, `n x latent`."""
        plain, f = features[:, : self.outputs], features[:, self.outputs :]
        logits: Tensor = plain + self.join(f + self.of_latent(z)[:, :, None, None])
        return logits

    def expected(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return `features`, and the prior's mean and standard deviation of z, `n x latent` each."""
        return self.features(x), self.prior(x - 0.5)

    def posterior(
        self, x: Tensor, target: Tensor, features: Tensor, prior: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of z given a mask, `n x latent` each.

        Both are changes relative to the prior. They depend on the mask y minus the probabilities p at the prior's mean:
        pixel by pixel, and through ``sum (y - p) / sum p (1 - p)``, Newton's first step towards the constant shift of
        logits that fits the mask best. So masks that differ in few pixels, such as objects drawn larger or smaller, are
        distinguished from the start.

        Parameters
        ----------
        x, target : Tensor
            Image and mask, `n x bands x h x w` and `n x outputs x h x w`.
        features, prior : Tensor, tuple of Tensor
            The results of `expected`.
        """
        mean, std = prior
        p = torch.sigmoid(self.logits(features, mean)).detach()
        residual = target - p
        step = residual.sum((-2, -1)) / (p * (1 - p)).sum((-2, -1)).clamp_min(1)
        shift, factor = self.change(torch.cat([x - 0.5, _RESIDUAL_GAIN * residual], 1))
        return mean + std * (shift + self.of_step(_STEP_GAIN * step.clamp(-1, 1))), std * factor

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits at the prior's mean, `n x outputs x h x w`."""
        features, (mean, _) = self.expected(x)
        return self.logits(features, mean)

    def begin_with(self, unet: MobileUNet) -> None:
        """Copy all weights of a trained U-Net of the same sizes; its output is then the initial one for every z."""
        self.unet.load_state_dict(unet.state_dict())

    def start_from(self, path: str | Path) -> None:
        """Read the encoder's weights; see `MobileUNet.start_from`."""
        self.unet.start_from(path)

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator
    ) -> Tensor:
        """Return ``-ELBO / N`` in nats per value of a mask, with the analytic divergence and one sample of q.

        See `bayesr.segmentation.protocol.SegmentationNetwork.loss` for the parameters.
        """
        # Pyro is slow to import, and only training needs it.
        from pyro import distributions as dist
        from pyro import factor, poutine, sample
        from pyro.infer import TraceMeanField_ELBO

        from bayesr.networks.variational import GivenNoiseNormal  # imports Pyro

        n, annotators = targets.shape[:2]
        chosen = torch.randint(annotators, (n,), generator=generator, device=generator.device).to(x.device)
        target = targets[torch.arange(n, device=x.device), chosen].to(x.dtype)
        e = torch.randn(n, self.latent, generator=generator, device=generator.device).to(x.device)
        features, prior = self.expected(x)
        mean, std = self.posterior(x, target, features, prior)
        normal: Any = dist.Normal  # Pyro has no annotations
        drawn: Any = GivenNoiseNormal(mean, std, e)

        def model() -> None:
            with poutine.scale(scale=self.beta):
                z = sample("z", normal(*prior).to_event())
            factor("mask", -target.numel() * pixel_loss(self.logits(features, z), target, weight))

        def guide() -> None:
            with poutine.scale(scale=self.beta):
                sample("z", drawn.to_event())

        loss: Tensor = TraceMeanField_ELBO().differentiable_loss(model, guide)
        return loss / target.numel()

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return plausible probability maps, `n x count x outputs x h x w`, each with a sample of z from the prior."""
        device = generator.device if generator is not None else x.device
        e = torch.randn(len(x), count, self.latent, generator=generator, device=device)
        return self._maps(x, e.to(x.device))

    def probability(self, x: Tensor) -> Tensor:
        """Return the mean of `DRAWS` plausible maps, `n x outputs x h x w`, with fixed random numbers."""
        e = torch.randn(DRAWS, self.latent, generator=torch.Generator().manual_seed(0))
        return self._maps(x, e.to(x.device).expand(len(x), -1, -1)).mean(1)

    def _maps(self, x: Tensor, e: Tensor) -> Tensor:
        """Return maps from standard normal values, `n x count x latent`."""
        features, (mean, std) = self.expected(x)
        drawn = [torch.sigmoid(self.logits(features, mean + std * e[:, i])) for i in range(e.shape[1])]
        return torch.stack(drawn, 1)
