"""Scale a recipe to a budget of processor time, and measure the processor time of its training.

Processor time does not depend on how busy the machine is. A few steps of every stage are timed, and the warm-up of
discriminators separately. Then the steps of all stages, and of their warm-ups, are scaled by one factor.
"""

from __future__ import annotations

import time
from dataclasses import replace

from bayesr.observe import ForwardOperator
from bayesr.training.data import ImageSet
from bayesr.training.degradation import Degradation
from bayesr.training.history import Record
from bayesr.training.loop import Trainer
from bayesr.training.pairs import PairSource, pair_source
from bayesr.training.recipe import Recipe, Stage

_UNTIMED = 2
"""Steps before the timed ones, in which memory is allocated and kernels are chosen."""
_TIMED = 8
"""Timed steps. A discriminator's penalty is computed every eighth step, and so is counted once."""
_LONG = 2**20
_IMAGES = 64


def affordable(recipe: Recipe, images: ImageSet, operator: ForwardOperator, budget: float, seed: int = 0) -> Recipe:
    """Scale the stages of a recipe by one factor, so that training takes `budget` processor seconds.

    Parameters
    ----------
    recipe : Recipe
        A recipe without steps, such as an interpolation's, is returned unchanged.
    images : ImageSet
        Training images. Steps are timed on some of them.
    operator : ForwardOperator
    budget : float
        Processor seconds.
    seed : int
    """
    if not any(stage.steps for stage in recipe.stages):
        return recipe
    fit = [i for i, x in enumerate(images.images) if min(x.shape[:2]) >= recipe.patch * operator.scale][:_IMAGES]
    few = images.take(fit) if fit else images
    pairs = pair_source(recipe, few, operator, "cpu", Degradation())
    seconds = 0.0
    for stage in recipe.stages:
        warmup = min(stage.warmup, stage.steps) if stage.discriminator else 0
        parts = (stage.steps - warmup, replace(stage, warmup=0)), (warmup, replace(stage, warmup=_LONG))
        seconds += sum(steps * cost(recipe, part, pairs, seed, budget / 20) for steps, part in parts if steps)
    return scaled(recipe, budget / seconds)


def cost(recipe: Recipe, stage: Stage, pairs: PairSource, seed: int = 0, at_most: float = 60.0) -> float:
    """Return the processor seconds of one step in the middle of a stage, for a new network.

    Parameters
    ----------
    recipe : Recipe
        The recipe whose network, discriminators and helpers are trained.
    stage : Stage
    pairs : PairSource
    seed : int
    at_most : float
        Seconds after which no further step is timed. At least one step is timed.
    """
    trainer = Trainer(replace(recipe, stages=(replace(stage, steps=_LONG),)), pairs, seed)
    trainer.step = _LONG // 2

    def seconds_a_step(most: int) -> float:
        begun, done = time.process_time(), 0
        while done < most and (not done or time.process_time() - begun < at_most):
            trainer.advance()
            done += 1
        return (time.process_time() - begun) / done

    seconds_a_step(_UNTIMED)
    return seconds_a_step(_TIMED)


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """Multiply the steps of every stage, and of discriminators' warm-ups, by a factor; at least one step remains."""

    def times(stage: Stage) -> Stage:
        steps = max(1, round(factor * stage.steps)) if stage.steps else 0
        return replace(stage, steps=steps, warmup=min(round(factor * stage.warmup), max(0, steps - 1)))

    return replace(recipe, stages=tuple(map(times, recipe.stages)))


class StepClock:
    """Sum the processor seconds of training steps, as the `report` of a training.

    The records of a history state the wall time of the steps. It is multiplied by the fraction of processor time that
    this process had since the last record. Validations and checkpoints between the steps are not counted.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last = time.process_time(), time.monotonic(), 0.0

    def __call__(self, record: Record) -> None:
        now = time.process_time(), time.monotonic(), float(record["seconds"])
        processor, clock, steps = (new - old for new, old in zip(now, self._last, strict=True))
        self.seconds += steps * processor / clock if clock else 0.0
        self._last = now
