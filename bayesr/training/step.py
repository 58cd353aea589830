"""One step of training: a batch, members, their losses, a step of the optimiser, and of the critic's."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.critic import Critic
from bayesr.networks.generator import Generator, sub_pixels
from bayesr.networks.marginal import GaussianTail, QuantileTail
from bayesr.networks.tail import Shared, StochasticTail
from bayesr.training import losses
from bayesr.training.data import PairSource
from bayesr.training.history import Record
from bayesr.training.processes import Processes
from bayesr.training.recipes import Recipe, Stage

_CRITIC_WARMUP = 150
_PENALTY_EVERY = 8
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
        self.recipe, self.pairs, self.operator, self.seed = recipe, pairs, pairs.operator, seed
        self.processes = processes or Processes(device=torch.device(device))
        self.device = self.processes.device
        for stage in recipe.stages:
            self.processes.part(stage.batch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = Generator(pairs.bands, self.operator.scale, **recipe.network)
            critic = Critic(pairs.bands)
        to = dict(device=self.device, memory_format=torch.channels_last)
        self.generator, self.critic = generator.to(**to), critic.to(**to)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.on_host = torch.Generator().manual_seed(seed)
        self.on_device = torch.Generator(self.device).manual_seed(seed)
        self.step, self.seconds = 0, 0.0
        self._start_stage()

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
        tail = self.generator.tail
        weights = [p for name, p in self.generator.named_parameters() if not name.endswith("dropout_logit")]
        groups: list[dict[str, Any]] = [{"params": weights, "share": 1.0}]
        if isinstance(tail, StochasticTail):  # logarithms of variances have a longer way to go than weights
            groups.append({"params": [tail.dropout_logit], "share": _DROPOUT_RATE})
        self.optimiser = torch.optim.Adam(groups, stage.rate, betas=(0.9, 0.99))
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), stage.rate, betas=(0.5, 0.99))

    # -- one step ----------------------------------------------------------------------------

    def advance(self) -> Record:
        """One optimiser step; returns its losses."""
        stage, done = self.position()
        if done == 0:
            self._start_stage()
        rate = stage.rate * max(0.01, 0.5 * (1 + math.cos(math.pi * done / stage.steps))) * min(1, (done + 1) / 100)
        for group in (*self.optimiser.param_groups, *self.critic_optimiser.param_groups):
            group["lr"] = rate * group.get("share", 1.0)
        mine = self.processes.share(stage.batch)
        low, high = (part[mine].to(self.device) for part in self.pairs.batch(stage.batch, self.on_host))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            record: Record = dict(self._losses(stage, done, low, high))
        loss = sum(record.values(), torch.zeros((), device=self.device))
        tail = self.generator.tail
        if isinstance(tail, StochasticTail) and tail.dropout_logit.requires_grad and stage.members:
            record["dropout"] = loss.detach() * self._ignorance(tail)
            loss = loss + record["dropout"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self.generator.parameters())
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        values = self.processes.mean(torch.stack([value.detach().float() for value in record.values()])).tolist()
        self._must_be_finite([*values, float(norm)], "The loss")
        self.optimiser.step()
        with torch.no_grad():
            if isinstance(tail, StochasticTail):
                tail.dropout_logit.clamp_(max=0)
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
        origin = getattr(self.pairs, "origin", None)
        raise TrainingFailed(
            f"{what} or its gradient is not finite at step {self.step} (stage {self.position()[0].name}). The last "
            "checkpoint is kept; look at the batch, or resume with a lower learning rate."
            + (f" The batch: {origin()}." if origin else "")
        )

    def members(self, low: Tensor, count: int, network: Generator | None = None) -> tuple[Tensor, Tensor]:
        """``A+ y`` and members `b x count x band x H x W`; one member from the deterministic path for 0.

        The mask is shared inside a group: dropout must not earn the reward for diversity.
        """
        network = network or self.generator
        together = self.processes if network is self.generator else Processes()  # what is averaged is nobody's share
        base = self.operator.invert(low)
        shared = network.prepare(low.contiguous(memory_format=torch.channels_last))
        if network is self.generator and isinstance(shared, Shared) and isinstance(network.tail, StochasticTail):
            network.tail.note(self._typical(shared.trunk))
        z: Tensor | None = None
        masks: list[Tensor] = []
        if count and isinstance(shared, Shared):
            assert network.tail is not None
            shared = shared.repeat(count)
            groups = len(low) * together.count
            mine = together.share(groups)
            size = (groups * count, network.latent_channels, *low.shape[-2:])
            z = torch.randn(size, device=self.device, generator=self.on_device)[mine.start * count : mine.stop * count]
            z = z.contiguous(memory_format=torch.channels_last)
            if isinstance(network.tail, StochasticTail):
                masks = network.tail.training_masks(groups, self.on_device)
                of_weights = int(network.tail.gaussian)  # the same for all groups
                masks[of_weights:] = [mask[mine].repeat_interleave(count, 0) for mask in masks[of_weights:]]
        drawn = network.draw(shared, z, masks)
        with torch.autocast(self.device.type, enabled=False):
            x = self.operator.project(drawn.float())
        return base, base[:, None] + x.unflatten(0, (len(low), max(1, count)))

    def _losses(self, stage: Stage, done: int, low: Tensor, truth: Tensor) -> Iterator[tuple[str, Tensor]]:
        if stage.loss in ("gaussian_likelihood", "pinball"):
            yield stage.loss, self._marginal_loss(low, truth)
            return
        base, x = self.members(low, stage.members)
        if not stage.members:
            yield "fidelity", losses.fidelity(x[:, 0], truth)
            return
        yield stage.loss, losses.MEMBER_LOSSES[stage.loss](x, truth)
        for size, weight in stage.patches.items():
            yield f"patch{size}", weight * losses.patch_energy(x, truth, size)
        for size, weight in stage.bands.items():
            yield f"band{size}", weight * losses.band_crps(x, truth, size)
        if stage.critic:
            penalty = 4.0 if done % _PENALTY_EVERY == 0 else 0.0
            verdict = losses.critic_loss(self.critic, truth, x[:, 0], base, penalty)
            self.critic_optimiser.zero_grad(set_to_none=True)
            verdict.backward()
            self.processes.average_gradients(self.critic.parameters())
            norm = nn.utils.get_total_norm([p.grad for p in self.critic.parameters() if p.grad is not None])
            self._must_be_finite([float(norm)], "The critic's loss")
            self.critic_optimiser.step()
            if done >= _CRITIC_WARMUP:
                self.critic.requires_grad_(False)
                energy = losses.feature_energy(self.critic, x, truth, base, self.processes.mean)
                yield "features", stage.features * energy
                if stage.adversarial:
                    yield "adversarial", stage.adversarial * F.softplus(-self.critic(x[:, 0], base)[0]).mean()
                self.critic.requires_grad_(True)

    def _typical(self, f: Tensor) -> Tensor:
        """What features have the mean square of those of all processes."""
        return f if self.processes.count == 1 else self.processes.mean(f.detach().float().pow(2).mean()).sqrt()

    def _ignorance(self, tail: StochasticTail) -> Tensor:
        """What masks cost, relative to the score: ``P / (2 N) mean(alpha - 1 - log(alpha))``.

        alpha is the masks' variance, P the number of weights and N that of the values that the training
        images hold beyond their observations: the divergence of `N(0, alpha)` from `N(0, 1)`, a weight. Near
        the optimum a relative excess of the score equals the excess of the log-likelihood, so that masks
        come to cost P / (2 N): what P weights cost that are estimated from N values.
        """
        weights = sum(p.numel() for p in self.generator.parameters())
        values = self.pairs.low_pixels * self.pairs.bands * (self.operator.scale**2 - 1)
        cost: Tensor = weights / (2 * values) * (tail.dropout_logit.exp() - 1 - tail.dropout_logit).mean()
        return cost

    def _marginal_loss(self, low: Tensor, truth: Tensor) -> Tensor:
        """Of the marginals that members have once projected, where the spread is the same all around."""
        tail, size = self.generator.tail, low.shape[-2:]
        shared = self.generator.prepare(low.contiguous(memory_format=torch.channels_last))
        assert isinstance(shared, Shared)
        detail = self.operator.project(sub_pixels(shared.detail, self.operator.scale).float())
        error = truth - self.operator.invert(low) - detail
        kept = self.operator.hidden_share(*size).sqrt().to(self.device)
        if isinstance(tail, GaussianTail):
            return losses.gaussian_likelihood(error, kept * sub_pixels(shared.spread, self.operator.scale).float())
        assert isinstance(tail, QuantileTail)
        offsets = tail.quantiles(shared)
        quantiles = kept * sub_pixels(offsets.flatten(0, 1), self.operator.scale).float().unflatten(
            0, offsets.shape[:2]
        )
        return losses.pinball(error, quantiles, torch.tensor(tail.LEVELS, device=self.device))
