"""What runs on the workers of a cluster: the work, kept once in every process, and tasks that name its tiles.

The scheduler reads tasks too, so this module imports nothing heavy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, Semaphore
from typing import Any

from distributed import Reschedule, WorkerPlugin, get_worker
from distributed.protocol import pickle

from bayesr.errors import WorkersFailed
from bayesr.grid import Tile
from bayesr.version import __version__
from bayesr.workers.memory import Releasing
from bayesr.workers.pipeline import IN_HAND, Stopped
from bayesr.workers.work import Work

_DRAWING = Lock()
"""One draw at a time in a process, of all runs and all workers that it may hold."""

_LOOK = 0.05

PREFIX, SEPARATOR = "bayesr", ":"
"""A run is named ``bayesr:client:number``."""


class Holder(WorkerPlugin):
    """A run's work on one worker: unpickled by the first task, and asked to stop when the run ends.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        # Bytes, so that it is a task's thread that loads the model, not the event loop of the worker.
        self._pickled: bytes = pickle.dumps(work)
        self._version = __version__

    def setup(self, worker: Any) -> None:
        self._threads = int(worker.state.nthreads)
        self._work: Work | None = None
        self._lock = Lock()
        self._room = Semaphore(IN_HAND)
        self._running, self._stopping = 0, False
        self._memory = Releasing()

    async def teardown(self, worker: Any) -> None:
        """Return when nothing is drawn or written here any more: whoever ends the run may then give up its store."""
        self._stopping = True
        while self._running:
            await asyncio.sleep(_LOOK)

    def do(self, tiles: Sequence[Tile], cancelled: Callable[[], bool]) -> None:
        """Draw and write tiles, one after the other, unless the run ends or the task is cancelled meanwhile."""

        def check(amount: float = 0) -> None:
            if self._stopping or cancelled():
                raise Stopped

        with self._counted():
            work = self._load()
            for tile in tiles:
                with self._room:
                    check()
                    if work.is_done(tile):  # this task was run before, on a worker that died
                        continue
                    with _DRAWING, _torch_threads(self._threads):
                        check()
                        drawn = work.draw(tile, check)
                    check()
                    work.write(tile, drawn)
                    del drawn
                    self._memory.tile()

    def _load(self) -> Work:
        with self._lock:
            if self._work is None:
                if self._version != __version__:
                    raise WorkersFailed(
                        f"A worker has bayesr {__version__} and this is {self._version}, whose members may differ: "
                        "install the same version on the workers."
                    )
                self._work = pickle.loads(self._pickled)
            assert self._work is not None
            return self._work

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1


def do(name: str, tiles: Sequence[Tile]) -> None:
    """The task: tiles of the run of this name. It returns nothing, so that nobody has to fetch a result."""
    worker = get_worker()
    holder, states, key = worker.plugins[name], worker.state.tasks, worker.get_current_task()
    assert isinstance(holder, Holder)

    def cancelled() -> bool:
        """As all tasks are when the driver died: its store may have another writer soon."""
        task = states.get(key)
        return task is None or task.state == "cancelled"

    try:
        holder.do(tiles, cancelled)
    except Stopped:
        # The run is over, or this worker closes and others have to take the tiles.
        raise Reschedule from None


def orphaned_runs(dask_scheduler: Any) -> list[str]:
    """Runs whose drivers are gone without having ended them; to be run on the scheduler."""
    named = (name.split(SEPARATOR) for name in dask_scheduler.worker_plugins)
    return [SEPARATOR.join(parts) for parts in named if parts[0] == PREFIX and parts[1] not in dask_scheduler.clients]


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """As many torch threads as the worker has; PyTorch counts them by the thread that asks."""
    import torch  # start-up time: the scheduler reads this module too

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
