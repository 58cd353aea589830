"""One step of training: a batch, its members, and the steps of both optimisers. `objective` defines the losses."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.generator import Generator
from bayesr.networks.registry import build
from bayesr.observe.blind import Blind
from bayesr.training.batch import TrainingBatch
from bayesr.training.graphs import StepGraphs
from bayesr.training.history import Record
from bayesr.training.objective import Objective
from bayesr.training.pairs import PairSource
from bayesr.training.processes import Processes
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.schedules import SCHEDULES, warm_up

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
        precision: str = "auto",
        graphs: bool = True,
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
        self.host_random = torch.Generator().manual_seed(seed)
        self.device_random = torch.Generator(self.device).manual_seed(seed)
        self.use_bfloat16 = precision == "bfloat16" or (precision == "auto" and self.device.type == "cuda")
        alone_on_cuda = self.device.type == "cuda" and self.pairs.device.type == "cuda" and self.processes.count == 1
        self.graphs = StepGraphs(self.device, [self.device_random]) if graphs and alone_on_cuda else None
        self._learnable = self._parameters()
        # CUDA graphs read these tensors at every step.
        self._adversarial_ramp, self._average_rate = torch.zeros(2, device=self.device).unbind()
        self._step_tensor, self._failed_step = torch.tensor([0, -1], device=self.device).unbind()
        self.step, self.seconds, self.began = 0, 0.0, 0.0
        self._start_stage()

    def _architecture(self) -> dict[str, Any]:
        architecture = dict(self.recipe.network)
        if "interpolation" in architecture:  # its detail is relative to the operator's A+ y
            architecture["observation"] = self.operator.describe()
        return architecture

    def _parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the generator's optimiser may change."""
        helpers = (self.networks[name] for name in self.recipe.helpers)
        return [p for module in (self.generator, *helpers) for p in module.parameters() if p.requires_grad]

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
        """Make new optimisers, and choose what they train."""
        stage, done = self.position()
        self.began = self.began if done else self.seconds
        rates = {id(rate) for rate in self.generator.head.dropout_parameters()}
        head = {id(p) for p in self.generator.head.parameters()} - rates
        chosen = {"all": {id(p) for p in self._learnable} - rates, "head": head}[stage.trained]
        if not stage.fixed_dropout:
            chosen |= rates
        for p in self._learnable:
            p.requires_grad_(id(p) in chosen)
        weights = [p for p in self._trained() if id(p) not in rates]
        dropout = [p for p in self._trained() if id(p) in rates]
        self.optimiser = self._adam([(weights, 1.0), (dropout, _DROPOUT_RATE)], stage.rate, 0.9)
        discriminators = [p for d in self._discriminators() for p in d.parameters()]
        self.discriminator_optimiser = self._adam([(discriminators, 1.0)], stage.rate, 0.5)
        if self.graphs is not None:
            self.graphs.forget()
            self._failed_draws = torch.zeros(0, device=self.device)

    def _adam(self, groups: list[tuple[list[nn.Parameter], float]], rate: float, momentum: float) -> torch.optim.Adam:
        """Return an optimiser of groups of parameters, each with its learning rate over that of the stage."""
        graphs = self.graphs is not None and self.device.type == "cuda"
        parameter_groups = [
            {"params": parameters, "share": share, "lr": torch.tensor(rate, device=self.device) if graphs else rate}
            for parameters, share in groups
            if parameters or share == 1
        ]
        return torch.optim.Adam(
            parameter_groups, betas=(momentum, 0.99), capturable=graphs, foreach=True if graphs else None
        )

    def _trained(self) -> list[nn.Parameter]:
        """Return the parameters that the generator's optimiser changes in this stage."""
        return [p for p in self._learnable if p.requires_grad]

    # -- one step --

    def advance(self) -> Record:
        """Take one step of the optimisers and return its losses."""
        names, values = self.take_step()
        self.check_finite()
        return dict(zip(names, values.tolist(), strict=True))

    def take_step(self) -> tuple[list[str], Tensor]:
        """Take one step, and return names and values of its losses; values may be overwritten by the next step.

        With CUDA graphs the host does not wait for the step, and `check_finite` must be called now and then.
        """
        stage, done = self.position()
        if done == 0:
            self.check_finite()
            self._start_stage()
        self._set_rates(stage, done)
        if self.graphs is None or not stage.capturable:
            result = self._step(stage, done)
        else:
            result = self.graphs.run(self._step_kind(stage, done), lambda: self._step(stage, done))
        self.step += 1
        return result

    def _step_kind(self, stage: Stage, done: int) -> tuple[bool, ...]:
        """Return the kind of a step; the steps of a stage that are of one kind do the same work."""
        if not stage.discriminator:
            return ()
        every = [adversary.adversarial_loss.every for _, adversary in self._adversaries()]
        return done >= stage.warmup, *(done % steps == 0 for steps in every)

    def _step(self, stage: Stage, done: int) -> tuple[list[str], Tensor]:
        batch = self._batch(stage)
        record = self._backward(stage, done, batch)
        self.processes.average_gradients(self._trained())
        norm = nn.utils.clip_grad_norm_(self._trained(), 1.0)
        values = self.processes.mean(torch.stack([value.detach().float() for value in record.values()]))
        self._require_finite([*values, norm], "The loss")
        self.optimiser.step()
        self.generator.head.constrain_()
        self._update_average()
        return list(record), values

    def _set_rates(self, stage: Stage, done: int) -> None:
        """Set the values of this step: learning rates, adversarial weight, and rate of the running average."""
        factor = SCHEDULES[stage.schedule](self._progress(stage, done)) * warm_up(done, self._progress(stage, done + 1))
        discriminator_rate = stage.rate if stage.discriminator_rate is None else stage.discriminator_rate
        for optimiser, rate in ((self.optimiser, stage.rate), (self.discriminator_optimiser, discriminator_rate)):
            for group in optimiser.param_groups:
                value = rate * factor * group["share"]
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(value)
                else:
                    group["lr"] = value
        self._step_tensor.fill_(self.step)
        self._adversarial_ramp.fill_(min(1.0, max(0, done - stage.warmup) / max(1, stage.warmup)))
        self._average_rate.fill_(1 - min(_DECAY, (2 + self.step) / (11 + self.step)))

    def _progress(self, stage: Stage, done: int) -> float:
        """Return the fraction of a stage that is done, by steps or by the clock."""
        return done / stage.steps if stage.seconds is None else (self.seconds - self.began) / stage.seconds

    def _batch(self, stage: Stage) -> TrainingBatch:
        """Draw this process's share of the next batch."""
        mine = self.processes.share(stage.batch)
        random = self.host_random if self.pairs.device.type == "cpu" else self.device_random
        pairs = self.pairs.batch(stage.batch, random)
        low, high, labels = (part[mine].to(self.device) for part in (*pairs, self.pairs.labels()))
        return TrainingBatch(low, high, labels, self.operator, self.networks, stage.members, self._draw, self._normal)

    def _require_finite(self, values: list[Tensor], name: str) -> None:
        """Raise an error before weights change, so that checkpoints stay finite; CUDA graphs only record the step."""
        finite = torch.stack([value.detach().float() for value in values]).isfinite().all()
        if self.graphs is None:
            if not finite:
                raise self._not_finite(name, self.step, self.pairs.draws())
            return
        draws = self.pairs.draws()
        if self._failed_draws.shape != draws.shape:
            self._failed_draws = torch.zeros_like(draws)
        first = ~finite & (self._failed_step < 0)
        self._failed_step.copy_(torch.where(first, self._step_tensor, self._failed_step))
        self._failed_draws.copy_(torch.where(first, draws, self._failed_draws))

    def check_finite(self) -> None:
        """Wait for the device, and stop if a loss was not finite since the last call.

        Raises
        ------
        TrainingFailed
            With the step and its batch.
        """
        if self.graphs is not None and (failed := int(self._failed_step)) >= 0:
            raise self._not_finite("The loss", failed, self._failed_draws)

    def _not_finite(self, name: str, step: int, draws: Tensor) -> TrainingFailed:
        origin = self.pairs.origin(draws)
        return TrainingFailed(
            f"{name} or its gradient is not finite at step {step} (stage {self.position()[0].name}). The last "
            "checkpoint is kept; look at the batch, or resume with a lower learning rate."
            + (f" The batch: {origin}." if origin else "")
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        averages: list[Tensor] = list(self.average.parameters())
        changes = torch._foreach_sub(list(self.generator.parameters()), averages)
        torch._foreach_mul_(changes, self._average_rate)
        torch._foreach_add_(averages, changes)
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
            networks = [network.parts[i % len(network.parts)] for i in range(max(1, count))]
            drawn = [self.members(low, min(count, 1), part) for part in networks]
            return drawn[0][0], torch.cat([x for _, x in drawn], 1)
        # Processes share batches of trained networks only; the average is used by one alone.
        processes = self.processes if network in self.generator.parts else Processes()
        base = self.operator.invert(low)
        with self.autocast():
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
                z = torch.randn(size, device=self.device, generator=self.device_random)
                z = z[mine.start * count : mine.stop * count]
            z = z.contiguous(memory_format=torch.channels_last)
            masks = network.head.training_masks(groups, self.device_random, count, mine)
        with self.autocast():
            detail = network.draw(shared, z, masks)
        with torch.autocast(self.device.type, enabled=False):
            x = self.operator.project(detail.float())
        return base, base[:, None] + x.unflatten(0, (len(low), count))

    def _draw(self, low: Tensor, count: int, z: Tensor | None = None) -> Tensor:
        return self.members(low, count, z=z)[1]

    def _normal(self, size: Sequence[int]) -> Tensor:
        """Draw standard normal values; the first axis of `size` is this process's share of a batch."""
        whole = (size[0] * self.processes.count, *size[1:])
        return torch.randn(whole, device=self.device, generator=self.device_random)[self.processes.share(whole[0])]
