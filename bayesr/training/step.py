"""One step of training: a batch, members, their losses, a step of the optimiser, and of the discriminator's."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.generator import Generator, sub_pixels
from bayesr.networks.heads.marginal import GaussianHead, QuantileHead
from bayesr.networks.heads.stochastic import BackboneFeatures, StochasticHead
from bayesr.networks.registry import build
from bayesr.observe.blind import Blind
from bayesr.training import losses
from bayesr.training.adversarial import discriminator_step_loss, generator_step_loss
from bayesr.training.batch import TrainingBatch
from bayesr.training.history import Record
from bayesr.training.pairs import PairSource
from bayesr.training.processes import Processes
from bayesr.training.recipe import Recipe, Stage

_DECAY = 0.999
_DROPOUT_RATE = 20.0
"""Learning rate of dropout rates, over that of weights."""


class Stepper:
    """The networks of a recipe, and one optimiser step after another; `bayesr.training.loop.Trainer` goes on from it.

    Its parameters are those of the trainer, which says what they are.
    """

    def __init__(
        self,
        recipe: Recipe,
        pairs: PairSource,
        seed: int = 0,
        device: str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        self.recipe, self.pairs, self.seed = recipe, pairs, seed
        bound = pairs.operator if recipe.consistent else pairs.operator.unconstrained()
        self.operator = Blind(of=pairs.operator) if recipe.unpaired else bound
        self.processes = processes or Processes(device=torch.device(device))
        self.device = self.processes.device
        for stage in recipe.stages:
            self.processes.part(stage.batch)
        bands, scale = pairs.bands, self.operator.scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = build(bands=bands, scale=scale, **self._network())
            networks = {name: adversary.network(bands, scale) for name, adversary in recipe.discriminators.items()}
            networks |= {name: make(bands, scale, pairs.classes) for name, make in recipe.helpers.items()}
        to = dict(device=self.device, memory_format=torch.channels_last)
        self.generator = generator.to(**to)  # type: ignore[call-overload]
        self.networks = {name: network.to(**to) for name, network in networks.items()}  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.on_host = torch.Generator().manual_seed(seed)
        self.on_device = torch.Generator(self.device).manual_seed(seed)
        self.step, self.seconds = 0, 0.0
        self._start_stage()

    def _network(self) -> dict[str, Any]:
        network = dict(self.recipe.network)
        if "interpolation" in network:  # counted from the operator's A+ y
            network["observation"] = self.operator.describe()
        return network

    # -- where we are ------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.recipe.stages)

    def position(self) -> tuple[Stage, int]:
        """The stage of the current step, and how many of its steps are done."""
        done = self.step
        for stage in self.recipe.stages:
            if done < stage.steps:
                return stage, done
            done -= stage.steps
        return self.recipe.stages[-1], self.recipe.stages[-1].steps

    def _start_stage(self) -> None:
        stage, _ = self.position()
        head = self.generator.head
        of_rates = [head.dropout_logit] if isinstance(head, StochasticHead) else []
        weights = [p for p in self._trained() if all(p is not rate for rate in of_rates)]
        groups: list[dict[str, Any]] = [{"params": weights, "share": 1.0}]
        if of_rates:  # logarithms of variances have a longer way to go than weights
            groups.append({"params": of_rates, "share": _DROPOUT_RATE})
        self.optimiser = torch.optim.Adam(groups, stage.rate, betas=(0.9, 0.99))
        discriminators: list[dict[str, Any]] = [{"params": [p for c in self._discriminators() for p in c.parameters()]}]
        self.discriminator_optimiser = torch.optim.Adam(discriminators, stage.rate, betas=(0.5, 0.99))

    def _discriminators(self) -> list[nn.Module]:
        return [self.networks[name] for name in self.recipe.discriminators]

    def _trained(self) -> list[nn.Parameter]:
        """What the optimiser of the generator moves: its weights, and those of helpers."""
        helpers = (self.networks[name] for name in self.recipe.helpers)
        return [p for module in (self.generator, *helpers) for p in module.parameters()]

    # -- one step ----------------------------------------------------------------------------

    def advance(self) -> Record:
        """One optimiser step; returns its losses."""
        stage, done = self.position()
        if done == 0:
            self._start_stage()
        rising = min(1, (done + 1) / min(100, max(1, stage.steps / 10)))
        rate = stage.rate * max(0.01, 0.5 * (1 + math.cos(math.pi * done / stage.steps))) * rising
        for group in (*self.optimiser.param_groups, *self.discriminator_optimiser.param_groups):
            group["lr"] = rate * group.get("share", 1.0)
        mine = self.processes.share(stage.batch)
        batch = self.pairs.batch(stage.batch, self.on_host)
        low, high, labels = (part[mine].to(self.device) for part in (*batch, self.pairs.labels()))
        scene = TrainingBatch(low, high, labels, self.operator, self.networks, stage.members, self._draw, self._normal)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            record: Record = dict(self._losses(stage, done, scene))
        loss = sum(record.values(), torch.zeros((), device=self.device))
        head = self.generator.head
        if isinstance(head, StochasticHead) and head.dropout_logit.requires_grad and stage.members:
            record["dropout"] = loss.detach() * self._ignorance(head)
            loss = loss + record["dropout"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self._trained())
        norm = nn.utils.clip_grad_norm_(self._trained(), 1.0)
        values = self.processes.mean(torch.stack([value.detach().float() for value in record.values()])).tolist()
        self._must_be_finite([*values, float(norm)], "The loss")
        self.optimiser.step()
        with torch.no_grad():
            if isinstance(head, StochasticHead):
                head.dropout_logit.clamp_(max=0)
        self.step += 1
        decay = min(_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
            for kept, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
                kept.copy_(new)
        return dict(zip(record, values, strict=True))

    def _must_be_finite(self, values: list[float], what: str) -> None:
        """Stop before weights are touched, so that no checkpoint ever holds what is not finite."""
        if all(map(math.isfinite, values)):
            return
        origin = self.pairs.origin()
        raise TrainingFailed(
            f"{what} or its gradient is not finite at step {self.step} (stage {self.position()[0].name}). The last "
            "checkpoint is kept; look at the batch, or resume with a lower learning rate."
            + (f" The batch: {origin}." if origin else "")
        )

    def members(
        self, low: Tensor, count: int, network: Generator | None = None, z: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``A+ y`` and members `b x count x band x H x W`; one member from the deterministic path for 0.

        The mask is shared inside a group: dropout must not earn the reward for diversity. Latents are drawn where
        none are given, as `b count x latent channels x h x w`. Of an ensemble each member has its own network.
        """
        network = network or self.generator
        if len(network.parts) > 1:
            drawn = [self.members(low, min(count, 1), network.parts[i % len(network.parts)]) for i in range(count or 1)]
            return drawn[0][0], torch.cat([x for _, x in drawn], 1)
        together = self.processes if network in self.generator.parts else Processes()  # an average is nobody's share
        base = self.operator.invert(low)
        shared = network.prepare(low.contiguous(memory_format=torch.channels_last))
        if (
            network is self.generator
            and isinstance(shared, BackboneFeatures)
            and isinstance(network.head, StochasticHead)
        ):
            network.head.note(self._typical(shared.backbone))
        masks: list[Tensor] = []
        if not (count and isinstance(shared, BackboneFeatures)):
            z = None
        else:
            assert network.head is not None
            shared = shared.repeat(count)
            groups = len(low) * together.count
            mine = together.share(groups)
            if z is None:
                size = (groups * count, network.latent_channels, *low.shape[-2:])
                z = torch.randn(size, device=self.device, generator=self.on_device)
                z = z[mine.start * count : mine.stop * count]
            z = z.contiguous(memory_format=torch.channels_last)
            if isinstance(network.head, StochasticHead):
                masks = network.head.training_masks(groups, self.on_device)
                of_weights = int(network.head.gaussian)  # the same for all groups
                masks[of_weights:] = [mask[mine].repeat_interleave(count, 0) for mask in masks[of_weights:]]
        detail = network.draw(shared, z, masks)
        with torch.autocast(self.device.type, enabled=False):
            x = self.operator.project(detail.float())
        return base, base[:, None] + x.unflatten(0, (len(low), max(1, count) if z is not None else 1))

    def _draw(self, low: Tensor, count: int, z: Tensor | None = None) -> Tensor:
        return self.members(low, count, z=z)[1]

    def _normal(self, size: Sequence[int]) -> Tensor:
        """Standard normal values, the first axis this process's share of a batch."""
        whole = (size[0] * self.processes.count, *size[1:])
        return torch.randn(whole, device=self.device, generator=self.on_device)[self.processes.share(whole[0])]

    def _losses(self, stage: Stage, done: int, scene: TrainingBatch) -> Iterator[tuple[str, Tensor]]:
        if stage.loss in ("gaussian_likelihood", "pinball"):
            parts = [self._marginal_loss(part, scene.low, scene.truth) for part in self.generator.parts]
            yield stage.loss, torch.stack(parts).mean()
        elif stage.loss is not None:
            yield stage.loss, losses.PIXEL_LOSSES[stage.loss](scene.x, scene.truth)
        for size, weight in stage.patches.items():
            yield f"patch{size}", weight * losses.patch_energy(scene.x, scene.truth, size)
        for size, weight in stage.bands.items():
            yield f"band{size}", weight * losses.band_crps(scene.x, scene.truth, size)
        for term, weight in stage.terms.items():
            yield term.__name__, weight * term(scene)
        if stage.discriminator:
            yield from self._play(stage, done, scene)

    def _play(self, stage: Stage, done: int, scene: TrainingBatch) -> Iterator[tuple[str, Tensor]]:
        """A move of every discriminator, and then what the generator loses to them."""
        adversaries = [(self.networks[name], adversary) for name, adversary in self.recipe.discriminators.items()]
        verdicts = [
            discriminator_step_loss(adversary.adversarial_loss, discriminator, *adversary.inputs(scene), done)
            for discriminator, adversary in adversaries
        ]
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        torch.stack(verdicts).sum().backward()
        weights = [p for discriminator in self._discriminators() for p in discriminator.parameters()]
        self.processes.average_gradients(weights)
        norm = nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
        self._must_be_finite([float(norm)], "The discriminator's loss")
        self.discriminator_optimiser.step()
        if done < stage.warmup:
            return
        for discriminator in self._discriminators():
            discriminator.requires_grad_(False)
        if stage.features:
            energy = losses.feature_energy(adversaries[0][0], scene.x, scene.truth, scene.base, self.processes.mean)
            yield "features", stage.features * energy
        if stage.adversarial:
            lost = [
                generator_step_loss(adversary.adversarial_loss, discriminator, *adversary.inputs(scene))
                for discriminator, adversary in adversaries
            ]
            yield "adversarial", stage.adversarial * torch.stack(lost).sum()
        for discriminator in self._discriminators():
            discriminator.requires_grad_(True)

    def _typical(self, f: Tensor) -> Tensor:
        """What features have the mean square of those of all processes."""
        return f if self.processes.count == 1 else self.processes.mean(f.detach().float().pow(2).mean()).sqrt()

    def _ignorance(self, head: StochasticHead) -> Tensor:
        """What masks cost, relative to the score: ``P / (2 N) mean(alpha - 1 - log(alpha))``.

        alpha is the masks' variance, P the number of weights and N that of the values that the training
        images hold beyond their observations: the divergence of `N(0, alpha)` from `N(0, 1)`, a weight. Near
        the optimum a relative excess of the score equals the excess of the log-likelihood, so that masks
        come to cost P / (2 N): what P weights cost that are estimated from N values.
        """
        weights = sum(p.numel() for p in self.generator.parameters())
        beyond = max(1, self.operator.scale**2 - 1)
        values = self.pairs.low_pixels * self.pairs.bands * beyond
        cost: Tensor = weights / (2 * values) * (head.dropout_logit.exp() - 1 - head.dropout_logit).mean()
        return cost

    def _marginal_loss(self, network: Generator, low: Tensor, truth: Tensor) -> Tensor:
        """Of the marginals that members have once projected, where the spread is the same all around."""
        head, size = network.head, low.shape[-2:]
        shared = network.prepare(low.contiguous(memory_format=torch.channels_last))
        assert isinstance(shared, BackboneFeatures)
        detail = self.operator.project(sub_pixels(shared.detail, self.operator.scale).float())
        error = truth - self.operator.invert(low) - detail
        kept = self.operator.null_space_variance(*size).sqrt().to(self.device)
        if isinstance(head, GaussianHead):
            return losses.gaussian_likelihood(error, kept * sub_pixels(shared.spread, self.operator.scale).float())
        assert isinstance(head, QuantileHead)
        offsets = head.quantiles(shared)
        quantiles = kept * sub_pixels(offsets.flatten(0, 1), self.operator.scale).float().unflatten(
            0, offsets.shape[:2]
        )
        return losses.pinball(error, quantiles, torch.tensor(head.LEVELS, device=self.device))
