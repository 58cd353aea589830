"""The loop: stages of a recipe, one step after another, stopped and resumed at any of them.

Everything that decides the next step (weights, averages, optimiser moments, random states, step)
lies in one checkpoint (`bayesr.model.checkpoint`), so that a training that was killed goes on as if it
had not been, bit for bit on a CPU.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bayesr.errors import TrainingFailed
from bayesr.model import checkpoint as checkpoints
from bayesr.networks.generator import Generator
from bayesr.networks.stored import read_architecture, stored_architecture
from bayesr.training import losses
from bayesr.training.data import PairSource
from bayesr.training.history import Record as Record
from bayesr.training.processes import Processes
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.step import Stepper
from bayesr.training.warmstart import TransferredWeights, transfer_weights

_FACTS = ("seconds", "seed", "start", "ended", "best_score", "best_step", "history")
"""Attributes of a trainer that its checkpoint holds as they are."""


class Trainer(Stepper):
    """Trains the generator of a recipe.

    Parameters
    ----------
    recipe : Recipe
    pairs : PairSource
        What to train on; nothing held out may be in it.
    seed : int
        Decides initial weights, patches, latents and masks.
    device : str
        ``"cpu"`` or ``"cuda"``; on CUDA the networks run in bfloat16 where they can.
    processes : Processes, optional
        Those that train together, each on its device; this one alone by default.

    Raises
    ------
    TrainingFailed
        When a batch cannot be shared by the processes.
    """

    def __init__(
        self,
        recipe: Recipe,
        pairs: PairSource,
        seed: int = 0,
        device: str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        super().__init__(recipe, pairs, seed, device, processes)
        self.history: list[Record] = []
        self.start: dict[str, Any] = {}
        self.ended: dict[str, int] = {}
        self.best: Generator | None = None
        self.best_score, self.best_step = math.inf, 0

    @torch.no_grad()
    def calibrate_spread(self, batches: int = 12) -> float:
        """One factor on the spread of the averaged network, the best in fair CRPS on training patches.

        Averaging weights along the path of training cancels part of what carries the noise, so that
        the averaged network draws its members too close together. The factor is folded into the
        tail's last convolution: members stay as consistent as they were. Returns the factor.
        """
        if self.recipe.stages[-1].loss != "crps" or not self.average.head.spread_adjustable:
            return 1.0
        factors = 1.05 ** torch.arange(-14, 15, dtype=torch.float64)
        scores = torch.zeros(len(factors), dtype=torch.float64)
        for _ in range(batches):
            low, high = (part.to(self.device) for part in self.pairs.batch(self.recipe.stages[-1].batch, self.on_host))
            _, centre = self.members(low, 0, self.average)
            _, x = self.members(low, 8, self.average)
            for i, factor in enumerate(factors.tolist()):
                scores[i] += float(losses.fair_crps((centre + factor * (x - centre)).clamp(0, 1), high))
        best = float(factors[scores.argmin()])
        self.average.head.widen_(best)
        return best

    # -- many steps --------------------------------------------------------------------------

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
        """Train until the recipe's steps are done (True) or `time_limit` seconds have passed (False).

        Every `every` steps the mean losses, and what `validate` returns, join the history, and the
        checkpoint is replaced.

        With `patience`, a stage ends when its score has not improved for so many steps, and the averaged weights
        that had the best score are what it leaves, to the next stage or as the result. The score is that of
        validation: fair CRPS, or PSNR where there are no members; and the sum of losses for a point estimator that
        plays against discriminators, once they are warm.
        """
        if patience is not None and validate is None:
            raise TrainingFailed("Patience is for validation scores: hold images out, or leave patience out.")
        sums: dict[str, float] = {}
        started, count = time.monotonic(), 0
        while self.step < self.steps:
            begun = time.monotonic()
            stage, done = self.position()
            for name, value in self.advance().items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            self.seconds += time.monotonic() - begun
            late = self.processes.agree(time.monotonic() - started > time_limit)
            last = done + 1 == stage.steps
            if self.step % every == 0 or late or self.step == self.steps or (last and patience is not None):
                record: Record = {"step": self.step, "stage": stage.name, "seconds": round(self.seconds, 1)}
                means = {name: value / count for name, value in sums.items()}
                record |= means
                sums, count = {}, 0
                if validate and self.processes.first:
                    record |= validate(self)
                self.history.append(record)
                if patience is not None:
                    self._note_best(stage, done, record, sum(means.values()))
                    if last or self.step - self.best_step >= patience:
                        self._end_stage(stage, done + 1)
                if self.processes.first:
                    self.save(checkpoint)
                    report(record)
            if late:
                return self.step == self.steps
        return True

    def _note_best(self, stage: Stage, done: int, record: Record, loss: float) -> None:
        score = record.get("fair_crps", -record.get("psnr", -math.inf))
        if stage.discriminator and not stage.members:  # PSNR falls there, as it should
            score = loss
            if done < stage.warmup:
                self.best_step = self.step
                return
        if self.processes.agree(score < self.best_score):
            self.best, self.best_score, self.best_step = copy.deepcopy(self.average), score, self.step

    def _end_stage(self, stage: Stage, steps: int) -> None:
        """Leave a stage after so many of its steps, with the best of its averaged weights."""
        if self.best is not None:
            for network in (self.generator, self.average):
                network.load_state_dict(self.best.state_dict())
        self.best, self.best_score, self.best_step = None, math.inf, self.step
        if steps < stage.steps:  # what is to come then adds up by itself, and the model's card is right
            self.ended[stage.name] = steps
            self.recipe = with_steps(self.recipe, self.ended)

    # -- checkpoints -------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Replace the checkpoint at `path`, whole or not at all."""
        arrays: checkpoints.Arrays = {}
        for prefix, module in self._modules().items():
            arrays |= checkpoints.of_module(prefix, module)
        for prefix, optimiser in self._optimisers().items():
            arrays |= checkpoints.of_optimiser(prefix, optimiser)
        arrays["random/host"] = self.on_host.get_state().numpy()
        arrays["random/device"] = self.on_device.get_state().cpu().numpy()
        facts = {
            "recipe": self.recipe.name,
            "network": stored_architecture(self.generator.architecture),
            "step": self.step,
        }
        facts |= {name: getattr(self, name) for name in _FACTS}
        checkpoints.write(path, arrays, facts)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network."""
        arrays, facts = checkpoints.read(path)
        stored = read_architecture(facts["network"])
        if stored != self.generator.architecture:
            raise TrainingFailed(
                f"{path} holds another network, {stored}; this recipe's is {self.generator.architecture}. "
                "Start from it instead of resuming it, or choose its recipe."
            )
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
        self.on_host.set_state(torch.from_numpy(arrays["random/host"]))
        on_device = torch.from_numpy(arrays["random/device"])
        if on_device.shape == self.on_device.get_state().shape:
            self.on_device.set_state(on_device)
        else:  # another kind of device, whose random numbers are others anyway
            self.on_device.manual_seed(self.seed + self.step)

    def start_from(self, other: Generator, facts: Mapping[str, Any] | None = None) -> TransferredWeights:
        """Take over what fits of another network's weights; `facts` say for the model's card where they come from."""
        taken = transfer_weights(self.generator, other)
        self.average.load_state_dict(self.generator.state_dict())
        self.start = dict(facts or {}) | taken.describe()
        return taken

    def _modules(self) -> dict[str, nn.Module]:
        modules = {"generator": self.generator, "average": self.average} | self.networks
        return modules if self.best is None else modules | {"best": self.best}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        # The names are those of checkpoints of every version.
        return {"optimiser": self.optimiser, "critic_optimiser": self.discriminator_optimiser}


def with_steps(recipe: Recipe, steps: Mapping[str, int]) -> Recipe:
    """The recipe with other numbers of steps for the stages named."""
    unknown = set(steps) - {stage.name for stage in recipe.stages}
    if unknown:
        raise TrainingFailed(f"No stage {', '.join(sorted(unknown))} in {recipe.name}.")
    return replace(recipe, stages=tuple(replace(s, steps=steps.get(s.name, s.steps)) for s in recipe.stages))
