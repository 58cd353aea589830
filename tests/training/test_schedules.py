from itertools import pairwise

import pytest

from bayesr.training.schedules import SCHEDULES, warm_up


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_never_rise_and_end_low(name):
    rates = [SCHEDULES[name](i / 200) for i in range(201)]
    assert rates[0] == 1 and all(b <= a for a, b in pairwise(rates))
    assert 0 < rates[-1] <= 0.1 and SCHEDULES[name](1.5) > 0


def test_wsd_does_not_depend_on_the_number_of_steps_before_its_fall():
    """So a checkpoint from before the fall can be continued with more steps."""
    assert all(SCHEDULES["wsd"](done / 1000) == SCHEDULES["wsd"](done / 5000) == 1 for done in range(0, 850, 50))
    assert SCHEDULES["wsd"](0.925) == pytest.approx(0.5)


def test_rates_warm_up_over_a_tenth_of_a_short_stage_and_100_steps_of_a_long_one():
    assert [warm_up(done, (done + 1) / 40) for done in (0, 1, 3, 20)] == [0.25, 0.5, 1, 1]
    assert [warm_up(done, (done + 1) / 2000) for done in (0, 49, 99, 500)] == [0.01, 0.5, 1, 1]
