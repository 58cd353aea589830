"""One step of training: a batch, its members, and the steps of both optimisers. Losses are those of `objective`."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.generator import Generator
from bayesr.networks.registry import build
from bayesr.observe.blind import Blind
from bayesr.training.batch import TrainingBatch
from bayesr.training.history import Record
from bayesr.training.objective import Objective
from bayesr.training.pairs import PairSource
from bayesr.training.processes import Processes
from bayesr.training.recipe import SCHEDULES, Recipe, Stage

_DECAY = 0.999
"""Decay per step of the running average of weights."""
_DROPOUT_RATE = 20.0
"""Learning rate of dropout rates, over that of weights."""


class Stepper(Objective):
    """The networks of a recipe and their optimisers, step by step; base class of `Trainer`, with its parameters."""

    def __init__(
        self,
        recipe: Recipe,
        pairs: PairSource,
        seed: int = 0,
        device: str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        self.recipe, self.pairs, self.seed = recipe, pairs, seed
        operator = pairs.operator if recipe.consistent else pairs.operator.unconstrained()
        self.operator = Blind(of=pairs.operator) if recipe.unpaired else operator
        self.processes = processes or Processes(device=torch.device(device))
        self.device = self.processes.device
        self.features = self._feature_network()
        for stage in recipe.stages:
            self.processes.part(stage.batch)
        bands, scale = pairs.bands, self.operator.scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = build(bands=bands, scale=scale, **self._architecture())
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

    def _architecture(self) -> dict[str, Any]:
        architecture = dict(self.recipe.network)
        if "interpolation" in architecture:  # its detail is relative to the operator's A+ y
            architecture["observation"] = self.operator.describe()
        return architecture

    # -- position in the recipe --

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.recipe.stages)

    def position(self) -> tuple[Stage, int]:
        """Return the stage of the current step, and the number of its steps that are done."""
        done = self.step
        for stage in self.recipe.stages:
            if done < stage.steps:
                return stage, done
            done -= stage.steps
        return self.recipe.stages[-1], self.recipe.stages[-1].steps

    def _start_stage(self) -> None:
        """Make new optimisers."""
        stage, _ = self.position()
        dropout = self.generator.head.dropout_parameters()
        weights = [p for p in self._trained() if all(p is not rate for rate in dropout)]
        if stage.fixed_dropout:
            dropout = []
        groups: list[dict[str, Any]] = [{"params": weights, "share": 1.0}]
        if dropout:  # logarithms of variances have a longer way to go than weights
            groups.append({"params": dropout, "share": _DROPOUT_RATE})
        self.optimiser = torch.optim.Adam(groups, stage.rate, betas=(0.9, 0.99))
        discriminators: list[dict[str, Any]] = [{"params": [p for d in self._discriminators() for p in d.parameters()]}]
        rate = stage.rate if stage.discriminator_rate is None else stage.discriminator_rate
        self.discriminator_optimiser = torch.optim.Adam(discriminators, rate, betas=(0.5, 0.99))

    def _trained(self) -> list[nn.Parameter]:
        """Parameters that the generator's optimiser changes."""
        helpers = (self.networks[name] for name in self.recipe.helpers)
        return [p for module in (self.generator, *helpers) for p in module.parameters()]

    # -- one step --

    def advance(self) -> Record:
        """Take one step of the optimisers and return its losses."""
        stage, done = self.position()
        if done == 0:
            self._start_stage()
        self._set_rates(stage, done)
        batch = self._batch(stage)
        record = self._backward(stage, done, batch)
        self.processes.average_gradients(self._trained())
        norm = nn.utils.clip_grad_norm_(self._trained(), 1.0)
        values = self.processes.mean(torch.stack([value.detach().float() for value in record.values()])).tolist()
        self._must_be_finite([*values, float(norm)], "The loss")
        self.optimiser.step()
        self.generator.head.constrain_()
        self.step += 1
        self._update_average()
        return dict(zip(record, values, strict=True))

    def _set_rates(self, stage: Stage, done: int) -> None:
        """Set the learning rates of a step: the stage's schedule after a short linear rise."""
        rising = min(1, (done + 1) / min(100, max(1, stage.steps / 10)))
        part = SCHEDULES[stage.schedule](done / stage.steps) * rising
        for group in self.optimiser.param_groups:
            group["lr"] = stage.rate * part * group.get("share", 1.0)
        rate = stage.rate if stage.discriminator_rate is None else stage.discriminator_rate
        for group in self.discriminator_optimiser.param_groups:
            group["lr"] = rate * part

    def _batch(self, stage: Stage) -> TrainingBatch:
        """Draw this process's share of the next batch."""
        mine = self.processes.share(stage.batch)
        pairs = self.pairs.batch(stage.batch, self.on_host)
        low, high, labels = (part[mine].to(self.device) for part in (*pairs, self.pairs.labels()))
        return TrainingBatch(low, high, labels, self.operator, self.networks, stage.members, self._draw, self._normal)

    def _must_be_finite(self, values: list[float], name: str) -> None:
        """Stop before weights change, so that checkpoints stay finite."""
        if all(map(math.isfinite, values)):
            return
        origin = self.pairs.origin()
        raise TrainingFailed(
            f"{name} or its gradient is not finite at step {self.step} (stage {self.position()[0].name}). The last "
            "checkpoint is kept; look at the batch, or resume with a lower learning rate."
            + (f" The batch: {origin}." if origin else "")
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(_DECAY, (1 + self.step) / (10 + self.step))
        for average, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(new, 1 - decay)
        for kept, buffer in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(buffer)

    # -- members --

    def members(
        self, low: Tensor, count: int, network: Generator | None = None, z: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``A+ y`` and members, `b x max(1, count) x band x H x W`; a count of 0 takes the deterministic path.

        The members of an image share a mask, because dropout must not be rewarded for diversity. In an ensemble each
        member comes from another network. Latents `z`, `b count x latent channels x h x w`, are drawn by default;
        `network` defaults to the trained one.
        """
        network = network or self.generator
        if len(network.parts) > 1:
            drawn = [self.members(low, min(count, 1), network.parts[i % len(network.parts)]) for i in range(count or 1)]
            return drawn[0][0], torch.cat([x for _, x in drawn], 1)
        # Processes share batches of trained networks only; the average is used by one alone.
        processes = self.processes if network in self.generator.parts else Processes()
        base = self.operator.invert(low)
        shared = network.prepare(low.contiguous(memory_format=torch.channels_last))
        if network is self.generator:
            network.head.update_statistics(shared.backbone, self.processes.mean)
        masks: list[Tensor] = []
        if not count or not network.stochastic:
            count, z = 1, None
        else:
            shared = shared.repeat(count)
            groups = len(low) * processes.count
            mine = processes.share(groups)
            if z is None:
                size = (groups * count, network.latent_channels, *low.shape[-2:])
                z = torch.randn(size, device=self.device, generator=self.on_device)
                z = z[mine.start * count : mine.stop * count]
            z = z.contiguous(memory_format=torch.channels_last)
            masks = network.head.training_masks(groups, self.on_device, count, mine)
        detail = network.draw(shared, z, masks)
        with torch.autocast(self.device.type, enabled=False):
            x = self.operator.project(detail.float())
        return base, base[:, None] + x.unflatten(0, (len(low), count))

    def _draw(self, low: Tensor, count: int, z: Tensor | None = None) -> Tensor:
        return self.members(low, count, z=z)[1]

    def _normal(self, size: Sequence[int]) -> Tensor:
        """Draw standard normal values; the first axis of `size` is this process's share of a batch."""
        whole = (size[0] * self.processes.count, *size[1:])
        return torch.randn(whole, device=self.device, generator=self.on_device)[self.processes.share(whole[0])]
