"""Recipes are scaled to a budget of processor time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.recipe import Stage
from bayesr_bench import budget
from tests.conftest import TINY


@given(st.floats(0.01, 20), st.lists(st.integers(0, 5000), min_size=1, max_size=4))
def test_stages_keep_their_proportions(factor, steps):
    recipe = replace(TINY, stages=tuple(Stage(str(i), count, 1e-3, features=0.1) for i, count in enumerate(steps)))
    found = budget.scaled(recipe, factor)
    for old, new in zip(recipe.stages, found.stages, strict=True):
        assert abs(new.steps - factor * old.steps) <= 0.5 or new.steps == 1
        assert (new.steps == 0) == (old.steps == 0)
        assert new.warmup < max(1, new.steps), "or the discriminator would have no weight"
        assert replace(new, steps=old.steps, warmup=old.warmup) == old


@pytest.mark.parametrize("seconds", [50.0, 1000.0])
def test_the_budget_is_what_the_steps_cost(folder, monkeypatch, seconds):
    """Warm-ups, which cost less, are timed separately."""
    stages = Stage("one", 2000, 1e-3, members=0), Stage("two", 1000, 1e-3, features=0.1, warmup=200)
    recipe = replace(TINY, stages=stages)

    def cost(recipe, stage, *rest):
        return {"one": 0.1, "two": 0.3 if stage.warmup else 0.7}[stage.name]

    monkeypatch.setattr(budget, "cost", cost)
    one, two = budget.affordable(recipe, load_images([folder]), bicubic(4), seconds).stages
    assert 0.1 * one.steps + 0.3 * two.warmup + 0.7 * (two.steps - two.warmup) == pytest.approx(seconds, abs=1)


def test_steps_are_timed_in_all_stages(folder):
    images = load_images([folder])
    small, large = (budget.affordable(TINY, images, bicubic(4), s) for s in (0.1, 20.0))
    assert [stage.name for stage in small.stages] == [stage.name for stage in TINY.stages]
    assert sum(s.steps for s in large.stages) > 3 * sum(s.steps for s in small.stages)
    still = replace(TINY, stages=(replace(TINY.stages[0], steps=0),))
    assert budget.affordable(still, images, bicubic(4), 1.0) is still


def test_the_clock_counts_what_a_process_gets(monkeypatch):
    now = {"process_time": 0.0, "monotonic": 0.0}
    for name in now:
        monkeypatch.setattr(budget.time, name, lambda name=name: now[name])
    clock = budget.StepClock()
    now |= {"process_time": 10.0, "monotonic": 10.0}  # alone: 8 seconds of steps, 2 of something else
    clock({"seconds": 8.0})
    assert clock.seconds == 8
    now |= {"process_time": 15.0, "monotonic": 20.0}  # with half of a processor
    clock({"seconds": 16.0})
    assert clock.seconds == 12
