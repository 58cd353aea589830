"""The work of one worker; clusters of several are in ``test_dispatch.py``."""

import asyncio
import pickle
from types import SimpleNamespace

import pytest
import torch

from bayesr.errors import WorkersFailed
from bayesr.workers import tasks
from bayesr.workers.pipeline import Stopped
from tests.workers.work import TILES, Work

WORKER = SimpleNamespace(state=SimpleNamespace(nthreads=1))


def never():
    return False


@pytest.fixture
def holder(path):
    """A holder as a worker has it: unpickled, and set up."""
    sent = pickle.loads(pickle.dumps(tasks.WorkHolder(Work(path))))
    sent.setup(WORKER)
    return sent


def test_tiles_are_drawn_and_written_once(holder, path):
    holder.do(TILES[:20], never)
    holder.do(TILES[10:], never)  # as after the death of a worker: some tiles are written already
    Work(path).check()


def test_a_task_that_is_cancelled_stops_before_the_next_tile(holder, path):
    answers = iter([False] * 8 + [True] * 99)
    with pytest.raises(Stopped):
        holder.do(TILES, lambda: next(answers))
    assert 0 < len(list(path.iterdir())) < len(TILES)


def test_nothing_is_drawn_after_the_end_of_the_run(holder, path):
    holder.do(TILES[:2], never)
    asyncio.run(holder.teardown(WORKER))
    with pytest.raises(Stopped):
        holder.do(TILES[2:], never)
    assert len(list(path.iterdir())) == 2


def test_work_of_another_version_is_refused(path, monkeypatch):
    holder = tasks.WorkHolder(Work(path))
    holder.setup(WORKER)
    monkeypatch.setattr(tasks, "__version__", "0.0.1")
    with pytest.raises(WorkersFailed, match=r"has bayesr 0\.0\.1"):
        holder.do(TILES, never)


def test_a_tile_is_drawn_with_the_threads_of_the_worker(path):
    class Counting(Work):
        def draw(self, tile, advance):
            return torch.get_num_threads()

    before = torch.get_num_threads()
    holder = tasks.WorkHolder(Counting(path))
    holder.setup(SimpleNamespace(state=SimpleNamespace(nthreads=before + 1)))
    holder.do(TILES[:2], never)
    assert [file.read_text() for file in path.iterdir()] == [str(before + 1)] * 2
    assert torch.get_num_threads() == before


def test_runs_without_their_driver_are_orphans():
    scheduler = SimpleNamespace(
        worker_plugins=["bayesr:alive:1", "bayesr:dead:2", "bayesr:dead:3", "shuffle"], clients={"alive": None}
    )
    assert tasks.orphaned_runs(scheduler) == ["bayesr:dead:2", "bayesr:dead:3"]
