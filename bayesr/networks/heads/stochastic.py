"""The stochastic head: it runs once per member, and all randomness enters here.

Each block adds latents, weighted by gains that depend on the image, and drops channels by a mask. At the output, gains
decide which patterns of high-resolution pixels a latent moves. What depends on the image alone is computed once per
image. A member is a function of its latents and masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.heads.base import BackboneFeatures, Head, HeadOptions, MaskNoise, NoHead, identity
from bayesr.networks.layers import SLOPE, convolution, interpolated, masked_convolution, pointwise

_OF_WEIGHTS = 1e-3
"""Initial rate of the perturbation of weights, over that of other masks. It is one pattern for the whole image, which
shows as dots with the period of input pixels where it is wide."""
_LEAST_STD = 1e-6
_PERTURBATION = 0.1
"""Standard deviation of the detail, over the value range, at alpha = 1."""


class HeadBlock(nn.Module):
    """``h + conv(m * act(conv(h) + gain * conv(z)))``: latents `z`, gain from the image, channel mask `m`."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.features = convolution(width, width)
        self.latent = convolution(latent, width, bias=False) if latent else None
        self.second = convolution(width, width, std=0.01)

    def forward(self, h: Tensor, hidden: Tensor, gain: Tensor, z: Tensor, mask: Tensor) -> Tensor:
        """Apply the block; `hidden` is ``self.features(h)``, which members share in the first block."""
        if self.latent is None:
            active = F.leaky_relu(hidden, SLOPE)
        else:
            active = F.leaky_relu_(torch.addcmul(hidden, self.latent(z), gain), SLOPE)
        return masked_convolution(self.second, active, mask).add_(h)


class StochasticHead(Head):
    """The detail of members: the deterministic detail, and one deviation from it per latent.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the backbone's features, and of the detail, before pixel shuffle.
    width, blocks : int
        Channels and number of blocks.
    latent : int
        Latent channels **per block**. With 0 masks are the only randomness (MC dropout), and their rates are not
        learnt: no loss would reward their spread.
    dropout : float
        Initial dropout rate p of every mask, a thousandth of it for the perturbation of weights; 0 for no masks.
    gaussian : bool
        Use normal masks, ``N(1, alpha)``, not Bernoulli ones, and one more, the first, which perturbs the weights of
        the deterministic detail, so that members show the uncertainty of the mean, too. The variance of the detail is
        then alpha / 100 where features are as large as usual in training, and more where they are larger.
    direct : bool
        Add a linear path from the latents past the blocks. It makes Gaussian deviations, whose covariance the blocks
        learn slowly.
    mix : int
        If positive, the deviation leaves through so many channels, each with a gain from the image, and one more layer:
        the patterns of high-resolution pixels that a latent moves then depend on the image. If 0, every value of the
        detail has its own gain.
    smooth : bool
        Multiply deviations by a further gain, by which the standard deviation that the gains imply is interpolated
        between low-resolution pixels. Without it, it has steps at their borders.
    """

    spread_adjustable = True
    mask_parameters = frozenset({"dropout_logit", "typical"})
    zero_is_neutral = frozenset({"direct.weight"})

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
        smooth: bool = False,
        scale: int = 1,
    ) -> None:
        super().__init__()
        self.smooth, self.scale = smooth, scale
        self.gaussian, self.mask_kind = gaussian, "normal" if gaussian else "bernoulli"
        self.outputs, self.inputs = outputs, inputs
        self.width, self.latent, self.latent_channels = width, latent, latent * blocks
        self.enter = convolution(inputs, width)
        self.gains = convolution(inputs, width * blocks, std=0.01)
        self.spread = convolution(inputs, mix or outputs, std=0.01)
        nn.init.ones_(self.gains.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.spread.bias, math.log(math.e - 1))  # type: ignore[arg-type]  # its softplus is 1
        self.blocks = nn.ModuleList(HeadBlock(width, latent) for _ in range(blocks))
        self.exit = nn.Linear(width, mix, bias=False) if mix else convolution(width, outputs, std=0.01)
        self.mix = nn.Linear(mix, outputs, bias=False) if mix else None
        if self.mix is not None:
            nn.init.normal_(self.mix.weight, std=0.02)
        self.direct = convolution(latent * blocks, width, std=0.05, bias=False) if direct and latent else None
        rates = torch.tensor([_OF_WEIGHTS * dropout] * gaussian + [dropout] * blocks, device="cpu")
        # Unlike minus infinity, a large negative number survives rounding and averaging of weights.
        self.dropout_logit = nn.Parameter(rates.logit().clamp(min=-40), requires_grad=latent > 0 and dropout > 0)
        self.typical: Tensor
        self.register_buffer("typical", torch.ones(1) if gaussian else None)
        self.sub_pixel_layers = frozenset({"mix"} if mix else {"exit", "spread"})
        self.reach = 2 + 2 * blocks

    @classmethod
    def from_options(cls, options: HeadOptions) -> Head:
        """Build the head of an architecture; without blocks that is `NoHead`."""
        if not options.blocks:
            return NoHead()
        return cls(
            options.inputs,
            options.width,
            options.blocks,
            options.latent,
            options.outputs,
            options.dropout,
            options.gaussian_dropout,
            options.direct,
            options.mix,
            options.smooth,
            options.scale,
        )

    def prepare(self, f: Tensor, detail: Tensor) -> BackboneFeatures:
        h: Tensor = self.enter(f)
        hidden = self.blocks[0].features(h)  # type: ignore[operator]
        spread = F.softplus(self.spread(f))
        smoothing = self._smoothing(spread) if self.smooth else detail[:, :0]
        return BackboneFeatures(f, detail, h, hidden, self.gains(f), spread, smoothing)

    def forward(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Return the detail; masks are `(n or 1) x width x 1 x 1`, a normal head's first one `outputs x inputs`."""
        shared, masks = self._perturb(shared, masks)
        return self._detail(self._deviation(shared, z, masks), shared)

    def pieces(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Iterator[Tensor]:
        shared, masks = self._perturb(shared, masks)
        # One by one: tensors wider than the head then stay small enough for memory to be reused.
        for member in self._deviation(shared, z, masks).split(1):
            yield self._detail(member, shared)

    def _perturb(self, shared: BackboneFeatures, masks: Sequence[Tensor]) -> tuple[BackboneFeatures, Sequence[Tensor]]:
        """Perturb the weights of the deterministic detail by the first of normal masks."""
        if not self.gaussian:
            return shared, masks
        perturbation, *rest = masks
        return shared._replace(detail=shared.detail + pointwise(shared.backbone, perturbation)), rest

    def _deviation(self, shared: BackboneFeatures, z: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Run the blocks: features of members, `n x width x h x w`."""
        h, hidden = shared.features, shared.hidden
        latents = z.split(self.latent, 1) if self.latent else [z] * len(self.blocks)
        parts = zip(self.blocks, shared.gains.split(self.width, 1), latents, masks, strict=True)
        for i, (block, gain, part, mask) in enumerate(parts):
            h = block(h, hidden if i == 0 else block.features(h), gain, part, mask)  # type: ignore[operator]
        return h if self.direct is None else h.add_(self.direct(z))

    def _detail(self, h: Tensor, shared: BackboneFeatures) -> Tensor:
        """Turn the features of members into their detail, `n x outputs x h x w`."""
        out: Tensor
        if self.mix is None:
            out = self.exit(h).mul_(shared.spread)  # in place: fresh memory costs more than arithmetic
        else:
            out = pointwise(pointwise(h, self.exit.weight).mul_(shared.spread), self.mix.weight)
        if self.smooth:
            out.mul_(shared.smoothing)
        return out.add_(shared.detail)

    def _smoothing(self, spread: Tensor) -> Tensor:
        """Return the interpolated standard deviation over the standard deviation, `n x outputs x h x w`.

        Gains g_k of independent features of variance 1 imply ``sqrt(sum_k mix_pk^2 g_k^2)`` for sub-pixel p.
        """
        std = spread if self.mix is None else pointwise(spread.square(), self.mix.weight.square()).sqrt()
        return (interpolated(std, self.scale) + _LEAST_STD) / (std + _LEAST_STD)

    # -- masks --

    def rates(self) -> Tensor:
        return self.dropout_logit.sigmoid()

    @property
    def mask_sizes(self) -> list[int]:
        """Number of standard normal values in each mask."""
        perturbation = [self.outputs * self.inputs] if self.gaussian else []
        return perturbation + [self.width] * len(self.blocks)

    def masks(self, normal: Sequence[Tensor]) -> list[Tensor]:
        """Make masks of standard normal values, ``1 + sqrt(alpha) e`` with ``alpha = p / (1 - p)``.

        Mean and variance are those of dropout at rate p, with a smooth gradient. The first of a normal head's masks, a
        perturbation of weights, `outputs x inputs`, is the same for all groups.

        Parameters
        ----------
        normal : sequence of Tensor
            `groups x size` each, of the sizes `mask_sizes`.

        References
        ----------
        D. Kingma et al., "Variational dropout and the local reparameterization trick", 2015, arXiv:1506.02557. C.
        Blundell et al., "Weight uncertainty in neural networks", 2015, arXiv:1505.05424.
        """
        scales = (0.5 * self.dropout_logit).exp()
        masks = [1 + scale * e[:, :, None, None] for scale, e in zip(scales, normal, strict=True)]
        if self.gaussian:
            masks[0] = self._unit(scales[0]) * normal[0][0].view(self.outputs, self.inputs)
        return masks

    def _unit(self, scale: Tensor) -> Tensor:
        """Return the standard deviation of the perturbation of weights."""
        unit: Tensor = _PERTURBATION * scale / (self.inputs**0.5 * self.typical)
        return unit

    def neutral_masks(self) -> list[Tensor]:
        weight = self.enter.weight
        perturbation = [weight.new_zeros((self.outputs, self.inputs))] if self.gaussian else []
        return perturbation + [weight.new_ones((1, self.width, 1, 1)) for _ in self.blocks]

    def mask_stds(self) -> list[float]:
        scales = (0.5 * self.dropout_logit.detach()).exp()
        stds = [float(scale) for scale in scales]
        if self.gaussian:
            stds[0] = float(self._unit(scales[0]))
        return stds

    def sampling_masks(self, noise: MaskNoise) -> list[Tensor]:
        device = self.dropout_logit.device
        if self.gaussian:
            return self.masks([torch.from_numpy(e)[None].to(device) for e in noise.normal(self.mask_sizes)])
        values = noise.dropout(self.rates().detach().cpu().numpy(), self.width)
        return list(torch.from_numpy(values).to(device)[:, None, :, None, None])

    def training_masks(
        self, groups: int, random: torch.Generator, members: int = 1, share: slice = slice(None)
    ) -> list[Tensor]:
        like = dict(device=self.dropout_logit.device, generator=random)
        masks = self.masks([torch.randn((groups, size), **like) for size in self.mask_sizes])  # type: ignore[call-overload]
        first = int(self.gaussian)  # the perturbation of weights is the same for all groups
        masks[first:] = [mask[share].repeat_interleave(members, 0) for mask in masks[first:]]
        return masks

    # -- training --

    def dropout_parameters(self) -> list[nn.Parameter]:
        return [self.dropout_logit]

    def dropout_divergences(self) -> Tensor | None:
        """Return ``alpha - 1 - log(alpha)`` of each mask, twice the divergence of ``N(0, alpha)`` from ``N(0, 1)``."""
        if not self.dropout_logit.requires_grad:
            return None
        return self.dropout_logit.exp() - 1 - self.dropout_logit

    def weights_of_masks(self, outside: int) -> list[float]:
        """Return the number of weights that each mask stands for.

        The perturbation of the detail's weights stands for the `outside` weights, which make the detail. Masks of
        blocks stand for those of the head, or for all weights where there is no perturbation.
        """
        own, blocks = sum(p.numel() for p in self.parameters()), len(self.blocks)
        if self.gaussian:
            return [outside] + [own / blocks] * blocks
        return [(outside + own) / blocks] * blocks

    @torch.no_grad()
    def constrain_(self) -> None:
        """Keep alpha at 1 or below."""
        self.dropout_logit.clamp_(max=0)

    @torch.no_grad()
    def update_statistics(self, f: Tensor, mean: Callable[[Tensor], Tensor] = identity) -> None:
        """Follow the root mean square of the backbone's features, if masks are normal."""
        if self.gaussian:
            self.typical.lerp_(mean(f.float().pow(2).mean()).sqrt()[None], 0.02)

    @torch.no_grad()
    def widen_(self, factor: float) -> None:
        for parameter in (self.exit if self.mix is None else self.mix).parameters():
            parameter.mul_(factor)

    def takes(self, name: str, other: Head, same_architecture: bool) -> bool:
        return type(self) is type(other) and (name != "dropout_logit" or self.mask_kind == other.mask_kind)
