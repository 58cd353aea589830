"""Recipes with other numbers of steps, durations or schedules than their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayesr.errors import InvalidArgument, TrainingFailed
from bayesr.training.recipe import Recipe

ENDLESS = 10**9
"""Steps of a stage that ends by the clock."""


def adjusted(recipe: Recipe, steps: Mapping[str, int] | None, duration: Any, schedule: str | None) -> Recipe:
    """Return the recipe with the steps, durations and the schedule that a caller of `bayesr.train` asks for.

    Raises
    ------
    InvalidArgument
        If a duration is no number of seconds.
    TrainingFailed
        If there is no such stage or schedule, or steps and durations contradict each other.
    """
    by_stage = duration if isinstance(duration, Mapping) else {}
    durations = list(by_stage.values()) if by_stage else [duration]
    for seconds in durations:
        if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < math.inf):
            raise InvalidArgument(f"duration must be a number of seconds, 0 or more, not {seconds!r}.")
    if both := sorted(set(steps or {}) & set(by_stage)):
        raise TrainingFailed(f"The stage {both[0]} has steps and a duration: give one of them.")
    if steps and duration is not None and not by_stage:
        raise TrainingFailed("A duration of all stages leaves no room for steps: give seconds by stage, or no steps.")
    recipe = with_steps(recipe, steps or {})
    if duration is not None:
        recipe = with_duration(recipe, duration)
    return recipe if schedule is None else with_schedule(recipe, schedule)


def with_steps(recipe: Recipe, steps: Mapping[str, int]) -> Recipe:
    """Return the recipe with other numbers of steps for the named stages, which then end by steps."""
    return _replace_stages(recipe, {name: {"steps": count, "seconds": None} for name, count in steps.items()})


def with_duration(recipe: Recipe, duration: float | Mapping[str, float]) -> Recipe:
    """Return the recipe with stages that end by the clock.

    Parameters
    ----------
    recipe : Recipe
    duration : float or mapping of str to float
        Seconds of training by stage, 0 to leave a stage out; stages that are not named keep their steps. A number is
        divided among stages in proportion to ``steps * max(1, members)``, about what they cost.
    """
    if not isinstance(duration, Mapping):
        cost = {stage.name: stage.steps * max(1, stage.members) for stage in recipe.stages}
        duration = {name: duration * part / max(1, sum(cost.values())) for name, part in cost.items()}
    changes = {
        name: {"steps": ENDLESS if seconds else 0, "seconds": seconds or None} for name, seconds in duration.items()
    }
    return _replace_stages(recipe, changes)


def with_schedule(recipe: Recipe, schedule: str) -> Recipe:
    """Return the recipe with another schedule of learning rates for all stages."""
    return _replace_stages(recipe, {stage.name: {"schedule": schedule} for stage in recipe.stages})


def _replace_stages(recipe: Recipe, changes: Mapping[str, Mapping[str, Any]]) -> Recipe:
    unknown = set(changes) - {stage.name for stage in recipe.stages}
    if unknown:
        raise TrainingFailed(f"The recipe {recipe.name} has no stage {', '.join(sorted(unknown))}.")
    return replace(recipe, stages=tuple(replace(stage, **changes.get(stage.name, {})) for stage in recipe.stages))


def length_of(recipe: Recipe) -> str:
    """Return the number of steps of a recipe as text, or that it ends by the clock."""
    steps = sum(stage.steps for stage in recipe.stages)
    return f"{steps} steps" if steps < ENDLESS else "ends by the clock"
