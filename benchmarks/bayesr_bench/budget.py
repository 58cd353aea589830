"""How many steps of a recipe a number of seconds pays for, and how many seconds its steps have taken.

Seconds are of processor time, which a busy machine does not lengthen. Every stage of a recipe is timed for a few
steps, critics' warm-up apart; one factor on the steps of all stages, and on their warm-ups, then meets the budget.
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
"""Steps that allocate memory and choose kernels."""
_TIMED = 8
"""Steps that are timed, where they are not long: a critic's penalty, taken every eighth step, weighs as it should."""
_LONG = 2**20
_IMAGES = 64


def affordable(recipe: Recipe, images: ImageSet, operator: ForwardOperator, budget: float, seed: int = 0) -> Recipe:
    """The recipe with its stages scaled by one factor, so that training takes `budget` processor seconds.

    Parameters
    ----------
    recipe : Recipe
        One without steps, as of an interpolation, stays as it is.
    images : ImageSet
        What is to be trained on; steps are timed on some of them.
    operator : Observation
    budget : float
        Seconds.
    seed : int
    """
    if not any(stage.steps for stage in recipe.stages):
        return recipe
    fit = [i for i, x in enumerate(images.images) if min(x.shape[:2]) >= recipe.patch * operator.scale][:_IMAGES]
    few = ImageSet(tuple(images.names[i] for i in fit), tuple(images.images[i] for i in fit)) if fit else images
    pairs = pair_source(recipe, few, operator, "cpu", Degradation())
    seconds = 0.0
    for stage in recipe.stages:
        warmup = min(stage.warmup, stage.steps) if stage.discriminator else 0
        parts = (stage.steps - warmup, replace(stage, warmup=0)), (warmup, replace(stage, warmup=_LONG))
        seconds += sum(steps * cost(recipe, part, pairs, seed, budget / 20) for steps, part in parts if steps)
    return scaled(recipe, budget / seconds)


def cost(recipe: Recipe, stage: Stage, pairs: PairSource, seed: int = 0, at_most: float = 60.0) -> float:
    """Processor seconds of one step in the middle of a stage, of a fresh network.

    Parameters
    ----------
    recipe : Recipe
        Its network, critics and helpers are trained.
    stage : Stage
    pairs : PairSource
    seed : int
    at_most : float
        Seconds after which no further step is timed; one always is.
    """
    trainer = Trainer(replace(recipe, stages=(replace(stage, steps=_LONG),)), pairs, seed)
    trainer.step = _LONG // 2
    begun = time.process_time()
    for done in range(_UNTIMED):
        if not done or time.process_time() - begun < at_most:
            trainer.advance()
    begun, done = time.process_time(), 0
    while done < _TIMED and (not done or time.process_time() - begun < at_most):
        trainer.advance()
        done += 1
    return (time.process_time() - begun) / done


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with `factor` times the steps of every stage, warm-ups of critics among them; one is the least."""

    def times(stage: Stage) -> Stage:
        steps = max(1, round(factor * stage.steps)) if stage.steps else 0
        return replace(stage, steps=steps, warmup=min(round(factor * stage.warmup), max(0, steps - 1)))

    return replace(recipe, stages=tuple(map(times, recipe.stages)))


class StepClock:
    """Adds up the processor seconds of training steps from the records of a history, as a training's `report`.

    Records tell the seconds that steps have taken on the clock. What this process got of the processor since the
    record before is its share of those; validations and checkpoints in between do not count.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last = time.process_time(), time.monotonic(), 0.0

    def __call__(self, record: Record) -> None:
        now = time.process_time(), time.monotonic(), float(record["seconds"])
        processor, clock, steps = (new - old for new, old in zip(now, self._last, strict=True))
        self.seconds += steps * processor / clock if clock else 0.0
        self._last = now
