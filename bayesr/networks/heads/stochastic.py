"""The stochastic head: what runs once per member, and the only place where randomness enters.

Each block takes a slice of the latent, weighs it by gains that depend on the image, and drops
channels by a mask; at its output gains decide which patterns of high-resolution pixels are moved. So
where and how members differ is computed once per image, and what runs n times stays small. Latents and
masks are arguments, never drawn inside: a member is a function of what it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.backbones.residual import SLOPE, convolution


class BackboneFeatures(NamedTuple):
    """What all members of an image share: tensors of `1 (or n) x channels x h x w`."""

    backbone: Tensor
    detail: Tensor
    features: Tensor
    hidden: Tensor
    gains: Tensor
    spread: Tensor

    def repeat(self, count: int) -> BackboneFeatures:
        """Every image `count` times in a row."""
        return BackboneFeatures(*(part.repeat_interleave(count, 0) for part in self))


_PERTURBATION = 0.1
"""Standard deviation of the detail, over the value range, at alpha = 1."""


def masked(layer: nn.Conv2d, x: Tensor, mask: Tensor) -> Tensor:
    """A 3x3 convolution of masked channels; `mask` is `(n or 1) x channels x 1 x 1`."""
    if len(mask) == 1:  # one mask for all: cheaper on the weights than on every member
        return F.conv2d(x, layer.weight * mask.view(1, -1, 1, 1), layer.bias, padding=1)
    out: Tensor = layer(x * mask)
    return out


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """A 1x1 convolution, `n x c x h x w` by `k x c`: for these torch's own may take a slow path on a CPU."""
    return F.linear(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


class HeadBlock(nn.Module):
    """``h + conv(m * act(conv(h) + gain * conv(z)))``: latent `z`, gain from the image, channel mask `m`."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.features = convolution(width, width)
        self.latent = convolution(latent, width, bias=False) if latent else None
        self.second = convolution(width, width, std=0.01)

    def forward(self, h: Tensor, hidden: Tensor, gain: Tensor, z: Tensor, mask: Tensor) -> Tensor:
        """`hidden` is ``self.features(h)``, given because the first block shares it between members."""
        if self.latent is None:
            active = F.leaky_relu(hidden, SLOPE)
        else:
            active = F.leaky_relu_(torch.addcmul(hidden, self.latent(z), gain), SLOPE)
        return masked(self.second, active, mask).add_(h)


class StochasticHead(nn.Module):
    """The detail of members: the deterministic detail, and one deviation from it per latent.

    Parameters
    ----------
    inputs : int
        Channels of the trunk's features.
    width, blocks : int
        Channels and number of head blocks.
    latent : int
        Latent channels **per block**. With 0 the masks are all that is random (MC-dropout), and their
        rates stay as they are: no loss would reward a spread that nothing asks for.
    outputs : int
        Channels of the result, before sub-pixel upsampling.
    dropout : float
        Where learnt dropout rates p start; at 0 they stay, and there are no masks.
    gaussian : bool
        Masks are normal, ``N(1, alpha)``, and there is one more, the first: a perturbation of the weights that
        make the deterministic detail, so that what is not learnt of the mean shows too. Its size is relative
        to features as they were in training: `alpha` is the variance of the detail, over 1/100, where they
        are typical, and it rises where they are not. Else masks are Bernoulli, on blocks alone.
    direct : bool
        A linear path from the latents past the blocks. By itself it makes Gaussian deviations, whose
        covariance blocks learn slowly.
    mix : int
        Where positive, the deviation leaves through so many channels, each with a gain from the image, and
        one more layer after that: which patterns of high-resolution pixels a latent moves then depends on
        the image, pixel by pixel. Else every value of the result has a gain of its own.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        blocks: int,
        latent: int,
        outputs: int,
        dropout: float,
        gaussian: bool = False,
        direct: bool = False,
        mix: int = 0,
    ) -> None:
        super().__init__()
        self.gaussian = gaussian
        self.outputs, self.inputs = outputs, inputs
        self.width, self.latent, self.latent_channels = width, latent, latent * blocks
        self.enter = convolution(inputs, width)
        self.gains = convolution(inputs, width * blocks, std=0.01)
        self.spread = convolution(inputs, mix or outputs, std=0.01)
        nn.init.ones_(self.gains.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.spread.bias, math.log(math.e - 1))  # type: ignore[arg-type]  # softplus of it is 1
        self.blocks = nn.ModuleList(HeadBlock(width, latent) for _ in range(blocks))
        self.exit = nn.Linear(width, mix, bias=False) if mix else convolution(width, outputs, std=0.01)
        self.mix = nn.Linear(mix, outputs, bias=False) if mix else None
        if self.mix is not None:
            nn.init.normal_(self.mix.weight, std=0.02)
        self.direct = convolution(latent * blocks, width, std=0.05, bias=False) if direct and latent else None
        rates = torch.tensor([0.1 * dropout] * gaussian + [dropout] * blocks)
        # A large negative number is kept as well as minus infinity, and can be averaged.
        self.dropout_logit = nn.Parameter(rates.logit().clamp(min=-40), requires_grad=latent > 0 and dropout > 0)
        self.typical: Tensor
        self.register_buffer("typical", torch.ones(1) if gaussian else None)
        self.reach = 2 + 2 * blocks

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        """All that members share, computed once per image from its features and deterministic detail."""
        h: Tensor = self.enter(f)
        hidden = self.blocks[0].features(h)  # type: ignore[operator]
        return BackboneFeatures(f, detail, h, hidden, self.gains(f), F.softplus(self.spread(f)))

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Detail of shape `n x outputs x h x w`.

        `shared` comes from `prepare` (batch 1 or n), `z` is `n x blocks*latent x h x w`, and
        `masks` holds for each block a tensor `(n or 1) x width x 1 x 1`.
        """
        return self.leave(self.deviate(shared, z, masks), shared)

    def deviate(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """What latents make of the features, `n x width x h x w`."""
        h, hidden = shared.features, shared.hidden
        latents = z.split(self.latent, 1) if self.latent else [z] * len(self.blocks)
        parts = zip(self.blocks, shared.gains.split(self.width, 1), latents, masks, strict=True)
        for i, (block, gain, part, mask) in enumerate(parts):
            h = block(h, hidden if i == 0 else block.features(h), gain, part, mask)  # type: ignore[operator]
        return h if self.direct is None else h.add_(self.direct(z))

    def leave(self, h: Tensor, shared: BackboneFeatures) -> Tensor:
        """The detail that follows from `deviate`, `n x outputs x h x w`."""
        out: Tensor
        if self.mix is None:
            out = self.exit(h).mul_(shared.spread)  # in place: fresh memory costs more than arithmetic
        else:
            out = pointwise(pointwise(h, self.exit.weight).mul_(shared.spread), self.mix.weight)
        return out.add_(shared.detail)

    def rates(self) -> Tensor:
        """The learnt dropout rate of every mask, in (0, 1)."""
        return self.dropout_logit.sigmoid()

    @property
    def mask_sizes(self) -> list[int]:
        """Normal values that each mask takes."""
        head = [self.outputs * self.inputs] if self.gaussian else []
        return head + [self.width] * len(self.blocks)

    def masks(self, normal: Sequence[Tensor]) -> list[Tensor]:
        """Masks from standard normal values, `groups x size` each: ``1 + sqrt(alpha) e``, ``alpha = p / (1 - p)``.

        Mean and variance are those of dropout at the rate p, and have a smooth gradient in it. The first,
        where there is one, is a perturbation of weights, `outputs x inputs`, the same for all groups.

        References
        ----------
        D. Kingma, T. Salimans, M. Welling, "Variational dropout and the local reparameterization trick", 2015,
        arXiv:1506.02557. C. Blundell et al., "Weight uncertainty in neural networks", 2015, arXiv:1505.05424.
        """
        scales = (0.5 * self.dropout_logit).exp()
        masks = [1 + scale * e[:, :, None, None] for scale, e in zip(scales, normal, strict=True)]
        if self.gaussian:
            unit = _PERTURBATION * scales[0] / (self.inputs**0.5 * self.typical)
            masks[0] = unit * normal[0][0].view(self.outputs, self.inputs)
        return masks

    def training_masks(self, groups: int, random: torch.Generator) -> list[Tensor]:
        """Random masks, one per group of members."""
        like = dict(device=self.dropout_logit.device, generator=random)
        return self.masks([torch.randn((groups, size), **like) for size in self.mask_sizes])  # type: ignore[call-overload]

    @torch.no_grad()
    def widen_(self, factor: float) -> None:
        """Move every member from the deterministic detail by `factor` times as much."""
        for parameter in (self.exit if self.mix is None else self.mix).parameters():
            parameter.mul_(factor)

    @torch.no_grad()
    def note(self, f: Tensor) -> None:
        """Learn how large the trunk's features typically are; training alone does so."""
        if self.gaussian:
            self.typical.lerp_(f.float().pow(2).mean().sqrt()[None], 0.02)
