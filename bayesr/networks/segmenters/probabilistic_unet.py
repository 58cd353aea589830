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
from bayesr.networks.layers import SLOPE
from bayesr.networks.segmenters.mobile_unet import MobileUNet, PixelLoss

DRAWS = 16
"""How many plausible maps are averaged into one."""
_WIDTHS = (16, 32, 64, 64)
_PACE = 0.1
"""How fast `Latent` learns, over what the rate says: rates that suit a U-Net, which is normalised, are too high."""
_GAIN = 0.3
"""On what a `Latent` says, so that it begins close to where it should."""
_BOUND = 3.0
"""Of logarithms of standard deviations. They near it as a hyperbolic tangent does: what is cut off has no gradient to
come back by."""
_TOLD = -2.0
"""Logarithm of the posterior's standard deviation over the prior's, at first: with latents that say nothing from the
start, logits would learn to do without them."""
_SURPRISE, _STEPS = 8.0, 4.0
"""Factors on what a mask has beyond what was expected, pixel by pixel and altogether: it is little."""


class Slow(nn.Module):
    """A layer whose weights are `_PACE` times its parameters, so that an optimiser like Adam moves them slowly.

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
        found: Tensor = _PACE * self.layer(f)
        return found


class Latent(nn.Module):
    """A vector and its standard deviations from an image, `n x latent` each.

    Two 3x3 convolutions, the first of which halves the size, LeakyReLU after each, four times; then the mean over
    all pixels, normalised over channels, of which a linear map makes the vector and the logarithms of the deviations.
    So it takes any size.

    Parameters
    ----------
    bands, latent : int
        Bands of the image, and of a mask where there is one; values of the latent.
    start : float
        About what the logarithms of the standard deviations begin with.
    """

    def __init__(self, bands: int, latent: int, start: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((bands, *_WIDTHS)):
            layers += [Slow(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)), nn.LeakyReLU(SLOPE, inplace=True)]
            layers += [Slow(nn.Conv2d(outputs, outputs, 3, padding=1)), nn.LeakyReLU(SLOPE, inplace=True)]
        self.convolutions, self.exit = nn.Sequential(*layers), Slow(nn.Linear(_WIDTHS[-1], 2 * latent))
        self.start = start

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f: Tensor = self.convolutions(x.contiguous(memory_format=torch.channels_last))
        f = F.layer_norm(f.mean((-2, -1)), (f.shape[1],))
        mean, log_std = (_GAIN * self.exit(f)).float().chunk(2, 1)
        return mean, (self.start + _BOUND * torch.tanh(log_std / _BOUND)).exp()


class ProbabilisticUNet(nn.Module):
    """``p(y | x) = E_z p(y | U(x), z)``, ``z ~ N(m(x), diag s(x)^2)``: plausible masks y of the image x.

    U is a `MobileUNet`; z, one vector for the whole image, is spread over all pixels and joined with the last
    features of U, of which three 1x1 convolutions make what is added to the logits of U: nothing at first, so that
    training may begin with a U-Net that is trained already (`begin_with`). The prior N(m(x), s(x)^2) is learnt, with
    a posterior `q(z | x, y)` that sees an annotator's mask too, by maximising the evidence lower bound

        ELBO = E_q log p(y | x, z) - beta KL(q(z | x, y) || p(z | x))

    in Pyro, where y is the mask of an annotator who is drawn anew for each image of each step. At ``beta = 1`` with
    the loss ``bce`` it is the bound itself: pixels given z are independent Bernoulli variables. With another pixel
    loss l, ``log p = -N l`` for N pixels. Less beta lets the posterior tell more, and the prior follow it less.

    What differs from the published network: U's own logits are kept, and the posterior says how z differs from the
    prior's, as in residual normal distributions. Both spare training from scratch its first, aimless part.

    The prior sees all of the image, so what is drawn for a part of an image is not part of what is drawn for all;
    and z of patches much smaller than images would stand for what is in a patch, not for how it is drawn.

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
    al., "Pyro: deep universal probabilistic programming", 2019, arXiv:1810.09538. A. Vahdat, J. Kautz, "NVAE: A deep
    hierarchical variational autoencoder" (residual normal distributions), 2020, arXiv:2007.03898.
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
        self.prior, self.change = Latent(bands, latent), Latent(bands + outputs, latent, _TOLD)
        self.of_step = nn.Linear(outputs, latent, bias=False)
        # One convolution of features and z, joined: the part of the features is computed once for all z.
        self.of_features, self.of_latent = nn.Conv2d(channels, channels, 1), nn.Linear(latent, channels, bias=False)
        self.join = nn.Sequential(
            nn.LeakyReLU(SLOPE), nn.Conv2d(channels, channels, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, outputs, 1)
        )
        nn.init.zeros_(self.join[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.join[-1].bias)  # type: ignore[arg-type]

    def features(self, x: Tensor) -> Tensor:
        """What does not depend on z, from `n x bands x h x w` in about [0, 1]: U's logits, and more channels."""
        f = self.unet.decode(self.unet.encode(x))
        return torch.cat([self.unet.head(f), self.of_features(f)], 1)

    def logits(self, features: Tensor, z: Tensor) -> Tensor:
        """`n x outputs x h x w`, from `features` and a z for each image, `n x latent`."""
        plain, f = features[:, : self.outputs], features[:, self.outputs :]
        found: Tensor = plain + self.join(f + self.of_latent(z)[:, :, None, None])
        return found

    def expected(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`features`, and the prior's mean and standard deviation of z, `n x latent` each."""
        return self.features(x), self.prior(x - 0.5)

    def posterior(
        self, x: Tensor, target: Tensor, features: Tensor, prior: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """(mean, std) of z once a mask was seen, `n x outputs x h x w`, from what `expected` returns.

        Both are changes of the prior's, made from how the mask y differs from the p that the prior's mean lets expect:
        from its difference pixel by pixel, and from ``sum (y - p) / sum p (1 - p)``, the first step of Newton's method
        towards the one shift of all logits that explains the mask best. So even masks that differ in few pixels, as
        those of annotators who draw more or less boldly, are told apart from the start.
        """
        mean, std = prior
        p = torch.sigmoid(self.logits(features, mean)).detach()
        surprise = target - p
        step = surprise.sum((-2, -1)) / (p * (1 - p)).sum((-2, -1)).clamp_min(1)
        shift, factor = self.change(torch.cat([x - 0.5, _SURPRISE * surprise], 1))
        return mean + std * (shift + self.of_step(_STEPS * step.clamp(-1, 1))), std * factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits at the prior's mean, `n x outputs x h x w`."""
        features, (mean, _) = self.expected(x)
        return self.logits(features, mean)

    def begin_with(self, unet: MobileUNet) -> None:
        """Take over all weights of a trained U-Net of the same sizes, whose answer is then the first for any z."""
        self.unet.load_state_dict(unet.state_dict())

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

        from bayesr.networks.variational import GivenNoiseNormal

        n, annotators = targets.shape[:2]
        chosen = torch.randint(annotators, (n,), generator=generator, device=generator.device).to(x.device)
        target = targets[torch.arange(n, device=x.device), chosen].to(x.dtype)
        e = torch.randn(n, self.latent, generator=generator, device=generator.device).to(x.device)
        features, prior = self.expected(x)
        mean, std = self.posterior(x, target, features, prior)
        normal: Any = dist.Normal  # Pyro's own are not annotated
        drawn: Any = GivenNoiseNormal(mean, std, e)  # random numbers are the trainer's

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
        features, (mean, std) = self.expected(x)
        drawn = [torch.sigmoid(self.logits(features, mean + std * e[:, i])) for i in range(e.shape[1])]
        return torch.stack(drawn, 1)
