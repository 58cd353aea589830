import pytest

from bayesr.errors import InvalidArgument, TrainingFailed
from bayesr.training.adjusting import ENDLESS, adjusted, length_of, with_duration, with_schedule, with_steps
from bayesr.training.recipe import Recipe, Stage

TWO = Recipe("two", {}, (Stage("fidelity", 30, 1e-3, members=0), Stage("score", 10, 1e-3, members=3)))


def test_a_duration_is_divided_by_what_stages_cost():
    first, second = with_duration(TWO, 60.0).stages
    assert (first.seconds, second.seconds) == (30.0, 30.0) and first.steps == second.steps == ENDLESS
    first, second = with_duration(TWO, {"score": 5, "fidelity": 0}).stages
    assert (first.steps, first.seconds, second.seconds) == (0, None, 5)
    assert with_duration(TWO, {"score": 5}).stages[0] == TWO.stages[0]


def test_steps_replace_a_duration():
    timed = with_duration(TWO, 60.0)
    assert with_steps(timed, {"fidelity": 30, "score": 10}) == TWO


def test_a_schedule_is_of_all_stages():
    assert [stage.schedule for stage in with_schedule(TWO, "wsd").stages] == ["wsd", "wsd"]


def test_what_a_caller_asks_for_is_applied_together():
    first, second = adjusted(TWO, {"fidelity": 7}, {"score": 2.5}, "wsd").stages
    assert (first.steps, first.seconds, second.seconds) == (7, None, 2.5)
    assert first.schedule == second.schedule == "wsd"
    assert adjusted(TWO, None, None, None) == TWO
    assert length_of(adjusted(TWO, {"fidelity": 7}, None, None)) == "17 steps"
    assert length_of(adjusted(TWO, None, 30, None)) == "ends by the clock"


@pytest.mark.parametrize(
    ("steps", "duration", "schedule", "error", "message"),
    [
        ({"scores": 3}, None, None, TrainingFailed, "has no stage scores"),
        (None, {"scores": 3.0}, None, TrainingFailed, "has no stage scores"),
        (None, -1, None, InvalidArgument, "duration must be a number of seconds"),
        (None, {"score": float("nan")}, None, InvalidArgument, "duration must be a number of seconds"),
        (None, "long", None, InvalidArgument, "duration must be a number of seconds"),
        (None, float("inf"), None, InvalidArgument, "duration must be a number of seconds"),
        ({"score": 3}, {"score": 5}, None, TrainingFailed, "has steps and a duration"),
        ({"score": 3}, 60, None, TrainingFailed, "leaves no room for steps"),
        (None, None, "linear", TrainingFailed, "no schedule 'linear'"),
    ],
)
def test_contradictions_are_refused(steps, duration, schedule, error, message):
    with pytest.raises(error, match=message):
        adjusted(TWO, steps, duration, schedule)
