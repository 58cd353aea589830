"""The training loop: the stages of a recipe, stopped and resumed at any step.

A checkpoint (`bayesr.model.checkpoint`) holds all that the next step depends on. A resumed training therefore equals an
uninterrupted one, on a CPU bit for bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bayesr.errors import TrainingFailed
from bayesr.model import checkpoint as checkpoints
from bayesr.networks.generator import Generator
from bayesr.networks.stored import stored_architecture
from bayesr.observe.base import is_projected
from bayesr.training import losses
from bayesr.training.adjusting import with_steps
from bayesr.training.history import Means
from bayesr.training.history import Record as Record
from bayesr.training.pairs import PairSource
from bayesr.training.processes import Processes
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.step import Stepper
from bayesr.training.warmstart import StartingPoint, TransferredWeights, transfer_discriminator, transfer_weights

_FACTS = ("seconds", "began", "seed", "start", "ended", "best_score", "best_step", "history")
"""Attributes that checkpoints hold."""
PRECISIONS = ("auto", "float32", "bfloat16")
"""Precisions of a trainer."""
_STEPS_BETWEEN_CHECKS = 20
"""Steps after which the host waits for CUDA graphs, and checks that their losses are finite."""


class Trainer(Stepper):
    """Trainer of a recipe's generator.

    Parameters
    ----------
    recipe : Recipe
    pairs : PairSource
        Source of training pairs, without held-out images.
    seed : int
        Seed of initial weights, patches, latents and masks.
    device : str
        ``"cpu"`` or ``"cuda"``.
    processes : Processes, optional
        Processes that train together; this one alone by default.
    precision : {"auto", "float32", "bfloat16"}
        Of the networks' convolutions. ``"auto"`` is bfloat16 on CUDA and float32 on a CPU, where trainings are then
        resumed bit for bit. CPUs with matrix tiles (AMX) are several times faster with bfloat16.
    graphs : bool
        Replay CUDA graphs where possible: on one CUDA device that also makes the pairs, in stages with common losses.

    Raises
    ------
    TrainingFailed
        If a batch cannot be divided among the processes.
    """

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
        super().__init__(recipe, pairs, seed, device, processes, precision, graphs)
        self.history: list[Record] = []
        self.start: dict[str, Any] = {}
        self.ended: dict[str, int] = {}
        self.best: Generator | None = None
        self.best_score, self.best_step = math.inf, 0

    @torch.no_grad()
    def calibrate_spread(self, batches: int = 12) -> float:
        """Multiply the spread of the averaged network by the factor with the best fair CRPS on training patches.

        Averaging cancels part of the weights that carry the latents, so members of the averaged network are too close
        together. The factor is applied to the head's last layer, which keeps data consistency.

        Returns
        -------
        float
            The factor; 1 if the last stage or the head does not admit one.
        """
        last = self.recipe.stages[-1]
        if last.loss != "crps" or not self.average.head.spread_adjustable:
            return 1.0
        factors = 1.05 ** torch.arange(-14, 15, dtype=torch.float64)
        scores = torch.zeros(len(factors), dtype=torch.float64)
        for _ in range(batches):
            batch = self._batch(last)
            _, centre = self.members(batch.low, 0, self.average)
            _, x = self.members(batch.low, 8, self.average)
            for i, factor in enumerate(factors.tolist()):
                scores[i] += float(losses.fair_crps((centre + factor * (x - centre)).clamp(0, 1), batch.truth))
        best = float(factors[scores.argmin()])
        self.average.head.widen_(best)
        return best

    # -- many steps --

    def run(
        self,
        checkpoint: Path,
        *,
        time_limit: float = math.inf,
        every: int = 200,
        patience: int | None = None,
        validate: Callable[[Trainer], Record] | None = None,
        report: Callable[[Record], None] = lambda record: None,
    ) -> bool:
        """Train until the recipe's steps are done, or until a time limit.

        Parameters
        ----------
        checkpoint : Path
            File, replaced with every record of the history.
        time_limit : float
            Seconds.
        every : int
            Steps between records of the history, each with the mean losses and the result of `validate`.
        patience : int, optional
            A stage ends after this many steps without a better score, with the averaged weights of its best. The score
            is the validation's fair CRPS, times LPIPS of members with a discriminator where it is known, or PSNR for a
            point estimator. With an adversarial loss, a point estimator is scored by its sum of losses after the
            warm-up.
        validate : callable, optional
            Returns the scores of a trainer.
        report : callable
            Called with every record.

        Returns
        -------
        bool
            Whether all steps are done.

        Raises
        ------
        TrainingFailed
            For patience without validation, or a loss that is not finite.
        """
        if patience is not None and validate is None:
            raise TrainingFailed("Patience is for validation scores: hold images out, or leave patience out.")
        losses_since = Means()
        started = time.monotonic()
        while self.step < self.steps:
            step_started = time.monotonic()
            stage, done = self.position()
            losses_since.add(*self.take_step())
            if self.graphs is None or self.step % _STEPS_BETWEEN_CHECKS == 0:
                self.check_finite()  # the host measures the time, so it must not run far ahead of the device
            self.seconds += time.monotonic() - step_started
            out_of_time = self.processes.agree(time.monotonic() - started > time_limit)
            timed_out = stage.seconds is not None and self.processes.agree(self._progress(stage, done) >= 1)
            last = done + 1 == stage.steps or timed_out
            ends_stage = last and (patience is not None or timed_out)
            if self.step % every == 0 or out_of_time or self.step == self.steps or ends_stage:
                self.check_finite()
                record: Record = {"step": self.step, "stage": stage.name, "seconds": round(self.seconds, 1)}
                means = losses_since.take()
                record |= means
                if validate and self.processes.first:
                    record |= validate(self)
                self.history.append(record)
                if patience is not None:
                    self._update_best(stage, done, record, sum(means.values()))
                if ends_stage or (patience is not None and self.step - self.best_step >= patience):
                    self._end_stage(stage, done + 1)
                if self.processes.first:
                    self.save(checkpoint)
                    report(record)
            if out_of_time:
                return self.step == self.steps
        return True

    def _update_best(self, stage: Stage, done: int, record: Record, loss: float) -> None:
        """Keep the averaged network if its score is the best of the stage."""
        score = record.get("fair_crps", -record.get("psnr", -math.inf))
        if stage.discriminator and "lpips" in record:  # CRPS alone cannot tell grain from texture
            score *= record["lpips"]
        if stage.discriminator and not stage.members:  # where PSNR falls, as expected
            score = loss
            if done < stage.warmup:
                self.best_step = self.step
                return
        if self.processes.agree(score < self.best_score):
            self.best, self.best_score, self.best_step = copy.deepcopy(self.average), score, self.step

    def _end_stage(self, stage: Stage, steps: int) -> None:
        """End a stage after `steps` steps, with its best averaged weights."""
        if self.best is not None:
            for network in (self.generator, self.average):
                network.load_state_dict(self.best.state_dict())
        self.best, self.best_score, self.best_step = None, math.inf, self.step
        if steps < stage.steps:  # the steps of later stages and the model card follow from the recipe
            self.ended[stage.name] = steps
            self.recipe = with_steps(self.recipe, self.ended)

    # -- checkpoints --

    def save(self, path: Path) -> None:
        """Write the checkpoint, replacing an older one atomically."""
        arrays: checkpoints.Arrays = {}
        for prefix, module in self._modules().items():
            arrays |= checkpoints.of_module(prefix, module)
        for prefix, optimiser in self._optimisers().items():
            arrays |= checkpoints.of_optimiser(prefix, optimiser)
        arrays["random/host"] = self.host_random.get_state().numpy()
        arrays["random/device"] = self.device_random.get_state().cpu().numpy()
        facts = {
            "recipe": self.recipe.name,
            "network": stored_architecture(self.generator.architecture),
            "step": self.step,
            "projected": is_projected(self.operator),
        }
        facts |= {name: getattr(self, name) for name in _FACTS}
        checkpoints.write(path, arrays, facts)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint of the same network."""
        arrays, facts = checkpoints.read(path)
        expected = stored_architecture(self.generator.architecture)
        if facts.get("network") != expected:
            raise TrainingFailed(
                f"{path} holds another network, {facts.get('network')}; this recipe's is {expected}. "
                "Start from it instead of resuming it, or choose its recipe."
            )
        with checkpoints.restoring(path):
            self._restore(path, arrays, facts)

    def _restore(self, path: Path, arrays: checkpoints.Arrays, facts: Mapping[str, Any]) -> None:
        self.step = facts["step"]
        for name in _FACTS:
            setattr(self, name, facts.get(name, getattr(self, name)))
        self.recipe = with_steps(self.recipe, self.ended)
        if self.best_score < math.inf:
            self.best = copy.deepcopy(self.average)
        for prefix, module in self._modules().items():
            checkpoints.restore(path, module, checkpoints.part(prefix, arrays))
        self._start_stage()
        for prefix, optimiser in self._optimisers().items():
            checkpoints.restore_optimiser(optimiser, checkpoints.part(prefix, arrays))
        self.host_random.set_state(torch.from_numpy(arrays["random/host"]))
        on_device = torch.from_numpy(arrays["random/device"])
        if on_device.shape == self.device_random.get_state().shape:
            self.device_random.set_state(on_device)
        else:  # another kind of device, with other random numbers
            self.device_random.manual_seed(self.seed + self.step)

    def start_from(self, other: StartingPoint) -> TransferredWeights:
        """Copy the weights of another network that fit, and of the discriminators in its checkpoint.

        Discriminators are copied if they have the recipe's names and sizes. Where the other network's members were
        projected onto the null space and this trainer's are not, the head keeps its initial weights: the part of its
        deviations that the projection removes was never trained.
        """
        head = not other.projected or is_projected(self.operator)
        transferred = transfer_weights(self.generator, other.network, head)
        self.average.load_state_dict(self.generator.state_dict())
        self.start = dict(other.origin) | transferred.describe()
        if other.checkpoint is not None:
            self._start_discriminators(other.checkpoint)
        return transferred

    def _start_discriminators(self, checkpoint: Path) -> None:
        arrays, _ = checkpoints.read(checkpoint)
        for name in self.recipe.discriminators:
            weights = transfer_discriminator(self.networks[name], checkpoints.part(name, arrays))
            if weights is not None:
                checkpoints.restore(checkpoint, self.networks[name], weights)
                self.start["discriminators"] = [*self.start.get("discriminators", ()), name]

    def _modules(self) -> dict[str, nn.Module]:
        modules = {"generator": self.generator, "average": self.average} | self.networks
        return modules if self.best is None else modules | {"best": self.best}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        # These names are the same in checkpoints of all versions.
        return {"optimiser": self.optimiser, "critic_optimiser": self.discriminator_optimiser}
