"""Probabilistic U-Net: a U-Net whose answer depends on a latent, so that one image has several plausible masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.mobile_unet import MobileUNet, PixelLoss
from bayesr.networks.residual import SLOPE

DRAWS = 16
"""How many plausible maps are averaged into one."""
_WIDTHS = (16, 32, 64, 64)
_GAIN = 0.3
"""Of latents' exits: they learn by so much more slowly than the rate says, which suits a U-Net."""
_BOUND = 3.0
"""Of the absolute value of the logarithm of standard deviations, which nears it as a hyperbolic tangent does: what is
cut off has no gradient to come back by."""


class Latent(nn.Module):
    """Two vectors from an image, `n x latent` each: a mean, and a standard deviation.

    Two 3x3 convolutions, the first of which halves the size, LeakyReLU after each, four times; then the mean over
    all pixels, normalised over channels, of which a linear map makes means and logarithms of deviations. So it takes
    any size.

    Parameters
    ----------
    bands, latent : int
        Bands of the image, and of a mask where there is one; values of the latent.
    start : float
        About what logarithm of the standard deviations begin with.
    """

    def __init__(self, bands: int, latent: int, start: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((bands, *_WIDTHS)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
            layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        self.convolutions, self.exit = nn.Sequential(*layers), nn.Linear(_WIDTHS[-1], 2 * latent)
        with torch.no_grad():
            self.exit.bias.zero_()
            self.exit.bias[latent:] = start / _GAIN

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f: Tensor = self.convolutions((x - 0.5).contiguous(memory_format=torch.channels_last))
        f = F.layer_norm(f.mean((-2, -1)), (f.shape[1],))
        mean, log_std = _GAIN * self.exit(f).float().chunk(2, 1)
        return mean, (_BOUND * torch.tanh(log_std / _BOUND)).exp()


class ProbabilisticUNet(nn.Module):
    """``p(y | x) = E_z p(y | U(x), z)``, ``z ~ N(m(x), diag s(x)^2)``: plausible masks y of the image x.

    U is a `MobileUNet`; z, one vector for the whole image, is spread over all pixels and joined with the last
    features of U, of which three 1x1 convolutions make logits. The prior N(m(x), s(x)^2) is learnt, with a posterior
    `q(z | x, y)` that sees an annotator's mask too, by maximising the evidence lower bound

        ELBO = E_q log p(y | x, z) - beta KL(q(z | x, y) || p(z | x))

    in Pyro, where y is the mask of an annotator who is drawn anew for each image of each step. At ``beta = 1`` with
    the loss ``bce`` it is the bound itself: pixels given z are independent Bernoulli variables. With another pixel
    loss l, ``log p = -N l`` for N pixels. Less beta lets the posterior tell more, and the prior follow it less.

    The prior sees all of the image, so what is drawn for a part of an image is not part of what is drawn for all.

    Parameters
    ----------
    bands, outputs : int
        Bands of the image; maps that are predicted.
    width, depth : float, int
        Of the U-Net.
    decoder : sequence of int, optional
        Of the U-Net.
    latent : int
        Values of z.
    beta : float
        Positive.

    Raises
    ------
    InvalidModel
        For sizes that no network can have.

    Attributes
    ----------
    architecture : dict
        What builds it again; JSON.
    reach : None
        No window is exact.
    multiple : int
        Of the U-Net.

    References
    ----------
    S. Kohl et al., "A probabilistic U-Net for segmentation of ambiguous images", 2018, arXiv:1806.05034. I. Higgins
    et al., "beta-VAE: Learning basic visual concepts with a constrained variational framework", 2017. E. Bingham et
    al., "Pyro: deep universal probabilistic programming", 2019, arXiv:1810.09538.
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
        self.latent, self.beta = latent, beta
        channels = self.unet.channels
        del self.unet.head  # logits are made here, from features and z
        self.prior, self.change = Latent(bands, latent), Latent(bands + outputs, latent, -1.0)
        # One convolution of features and z, joined: the part of the features is computed once for all z.
        self.of_features, self.of_latent = nn.Conv2d(channels, channels, 1), nn.Linear(latent, channels, bias=False)
        self.join = nn.Sequential(
            nn.LeakyReLU(SLOPE), nn.Conv2d(channels, channels, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, outputs, 1)
        )

    def features(self, x: Tensor) -> Tensor:
        """What of the logits does not depend on z, `n x channels x h x w`, from `n x bands x h x w` in about [0, 1]."""
        found: Tensor = self.of_features(self.unet.decode(self.unet.encode(x)))
        return found

    def logits(self, features: Tensor, z: Tensor) -> Tensor:
        """`n x outputs x h x w`, from `features` and a z for each image, `n x latent`."""
        found: Tensor = self.join(features + self.of_latent(z)[:, :, None, None])
        return found

    def posterior(self, x: Tensor, target: Tensor, prior: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(mean, std) of z, `n x latent` each, once a mask `n x outputs x h x w` was seen: changes of the prior's."""
        mean, std = prior
        shift, factor = self.change(torch.cat([x, target], 1))
        return mean + std * shift, std * factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits at the prior's mean, `n x outputs x h x w`."""
        return self.logits(self.features(x), self.prior(x)[0])

    def start_from(self, path: str | Path) -> None:
        """Take over the weights of the U-Net's encoder from a file, see `MobileUNet.start_from`."""
        self.unet.start_from(path)

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator
    ) -> Tensor:
        """``-ELBO / N``: nats per value of a mask. The divergence is analytic, the expectation over q of one draw.

        Parameters
        ----------
        x : Tensor
            `n x bands x h x w`.
        targets : Tensor
            Masks of the annotators, `n x annotator x outputs x h x w`, in {0, 1}.
        weight : Tensor
            Of the pixels, `n x 1 x h x w`.
        pixel_loss : callable
            Of logits, a target and the weight: the mean over values.
        generator : Generator
            Whose random numbers choose annotators and draw z.
        """
        from pyro import distributions as dist
        from pyro import factor, poutine, sample
        from pyro.infer import TraceMeanField_ELBO

        from bayesr.training.elbo import Drawn

        n, annotators = targets.shape[:2]
        chosen = torch.randint(annotators, (n,), generator=generator, device=generator.device).to(x.device)
        target = targets[torch.arange(n, device=x.device), chosen].to(x.dtype)
        e = torch.randn(n, self.latent, generator=generator, device=generator.device).to(x.device)
        features, prior = self.features(x), self.prior(x)
        mean, std = self.posterior(x, target, prior)
        normal: Any = dist.Normal  # Pyro's own are not annotated
        drawn: Any = Drawn(mean, std, e)  # random numbers are the trainer's

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
        """Plausible maps of probabilities, `n x count x outputs x h x w`: a draw of z from the prior for each."""
        device = generator.device if generator is not None else x.device
        e = torch.randn(len(x), count, self.latent, generator=generator, device=device)
        return self._maps(x, e.to(x.device))

    def probability(self, x: Tensor) -> Tensor:
        """The mean of `DRAWS` plausible maps, `n x outputs x h x w`, always of the same random numbers."""
        e = torch.randn(DRAWS, self.latent, generator=torch.Generator().manual_seed(0))
        return self._maps(x, e.to(x.device).expand(len(x), -1, -1)).mean(1)

    def _maps(self, x: Tensor, e: Tensor) -> Tensor:
        """`n x count x outputs x h x w`, from standard normal values `n x count x latent`."""
        features = self.features(x)
        mean, std = self.prior(x)
        drawn = [torch.sigmoid(self.logits(features, mean + std * e[:, i])) for i in range(e.shape[1])]
        return torch.stack(drawn, 1)
