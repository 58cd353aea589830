"""The table of simulated workers."""

import pytest

from bayesr_bench.queueing import Costs, Faults
from bayesr_bench.tables import simulation


def test_longer_tasks_help_if_the_scheduler_is_too_slow():
    costs = Costs(1.6, 0.1, task=0.003, driver=0.001, scheduler=0.004)
    assert [simulation.grouping(1.6, w)(10**6) for w in (1, 100, 1000, 4000)] == [1, 1, 6, 25]
    assert simulation.grouping(1.6, 1000)(8000) == 2 and simulation.grouping(1.6, 1000)(10) == 1, (
        "short tasks at the end"
    )
    rows = simulation.rows_of(costs, Faults(), 20_000, (800,), 1.0, 10.0, 0)
    minutes = [row["minutes"] for row in rows]
    assert minutes == sorted(minutes, reverse=True) and minutes[1] < 0.75 * minutes[0]
    assert rows[0]["scheduler busy"] > 0.8 > rows[1]["scheduler busy"] > 2 * rows[1]["driver busy"]
    assert rows[0]["tiles a task"] == 1 < rows[1]["tiles a task"]


def test_the_times_of_a_tile_are_measured(grey_model, tmp_path):
    grey_model.save(tmp_path / "grey.safetensors")
    found = simulation.measure(str(tmp_path / "grey.safetensors"), 2, 16, 70, 5)
    assert len(found.draw) == len(found.write) == 3
    assert min(*found.draw, *found.write, found.pixel, found.done) > 0


@pytest.mark.slow
def test_the_costs_of_a_task_are_measured():
    driver, scheduler, worker = simulation.task_costs(100, 2)
    assert all(1e-5 < each < 1 for each in (driver, scheduler, worker))
