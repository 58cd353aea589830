"""The simulation of workers, driver and scheduler."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesr_bench.queueing import Costs, Faults, simulate


@settings(max_examples=30, deadline=None)
@given(tiles=st.integers(1, 300), workers=st.integers(1, 40), size=st.integers(1, 5))
def test_without_overhead_workers_draw_in_rounds(tiles, workers, size):
    """There are ``ceil(tasks / workers)`` rounds, and the last may have fewer tiles."""
    done = simulate(tiles, workers, Costs(2.0), lambda left: size)
    tasks = -(-tiles // size)
    assert done.tasks == tasks and done.tiles == tiles and done.failures == 0
    rounds = -(-tasks // workers)
    assert 2 * size * (rounds - 1) < done.makespan <= 2 * size * rounds + 1e-9
    if tiles % size == 0:
        assert done.makespan == pytest.approx(2 * size * rounds)
    assert done.efficiency == pytest.approx(2 * tiles / (workers * done.makespan))


@pytest.mark.parametrize("slow", ["driver", "scheduler"])
def test_a_saturated_server_limits_the_rate(slow):
    """The rate is at most one task per service time, whatever the number of workers."""
    done = simulate(2000, 500, Costs(1.0, 0.3, **{slow: 0.01}), seed=1)
    assert done.makespan == pytest.approx(2000 * 0.01, rel=0.06)
    assert getattr(done, slow) > 0.94
    grouped = simulate(2000, 500, Costs(1.0, 0.3, **{slow: 0.01}), lambda left: 4, seed=1)
    assert grouped.makespan < 0.6 * done.makespan, "a fourth of the tasks are a fourth of the work"


@settings(max_examples=25, deadline=None)
@given(
    workers=st.integers(1, 60), driver=st.floats(0.001, 0.1), spread=st.sampled_from([0, 0.1, 0.4, 1]),
    seed=st.integers(0, 9), ahead=st.integers(1, 3),
)  # fmt: skip
def test_throughput_is_within_the_bounds_of_closed_queues(workers, driver, spread, seed, ahead):
    """``X <= min(1 / D, N / Z)``, and at least the throughput if every task queues behind all others.

    P. J. Denning, J. P. Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10, 1978.
    """
    tasks = 40 * workers
    done = simulate(tasks, workers, Costs(1.0, spread, driver=driver), in_flight=ahead, seed=seed)
    rate, mean = tasks / done.makespan, done.efficiency * workers * done.makespan / tasks
    assert rate <= min(1 / driver, workers / mean) * (1 + 1e-9)
    assert done.driver == pytest.approx(rate * driver)
    end = 1.0 * (1 + 8 * spread) + ahead * workers * driver  # the last tasks, when others have run out of theirs
    assert done.makespan <= tasks * (mean / workers + driver) + end


def test_all_tiles_are_drawn_when_workers_fail():
    costs = Costs(10.0, 0.2, driver=0.01)
    sound = simulate(3000, 20, costs, lambda left: 3)
    failing = simulate(3000, 20, costs, lambda left: 3, faults=Faults(rate=10, repair=60))
    assert failing.tiles == 3000 and failing.tasks == sound.tasks
    # A worker lives 360 s on average, and of every 420 s it is away for 60.
    expected = 3000 * 10 / 360
    assert 0.7 * expected < failing.failures < 1.5 * expected
    assert 420 / 360 < failing.makespan / sound.makespan < 1.4


def test_tiles_are_drawn_when_they_are_known():
    """A pass before drawing adds its time. A pass beside it adds time only if it is slower."""
    costs = Costs(1.0)
    alone = simulate(1000, 10, costs).makespan
    assert simulate(1000, 10, costs, begin=50).makespan == pytest.approx(alone + 50)
    assert simulate(1000, 10, costs, release=0.01).makespan < alone + 1
    assert simulate(1000, 10, costs, release=0.5).makespan == pytest.approx(500 + 1, abs=0.5)
