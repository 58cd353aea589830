"""Tasks on the workers of a cluster: each process holds the work once, and tasks name tiles.

The scheduler unpickles tasks too, so this module imports nothing heavy.
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
from bayesr.workers.pipeline import TILES_IN_MEMORY, MemoryReleaser, Stopped, Work

_DRAWING = Lock()
"""Allows one drawing at a time in a process, over all its runs and workers."""

_POLL_INTERVAL = 0.05
"""Seconds between checks whether tasks have ended."""

PREFIX, SEPARATOR = "bayesr", ":"
"""A run is named ``bayesr:client:number``."""


class WorkHolder(WorkerPlugin):
    """The work of a run on one worker: the first task unpickles it, and the end of the run stops it."""

    def __init__(self, work: Work) -> None:
        # Bytes, so that a task's thread loads the model, not the worker's event loop.
        self._pickled: bytes = pickle.dumps(work)
        self._version = __version__

    def setup(self, worker: Any) -> None:
        """Prepare the worker for tasks; dask calls it."""
        self._threads = int(worker.state.nthreads)
        self._work: Work | None = None
        self._lock = Lock()
        self._room = Semaphore(TILES_IN_MEMORY)
        self._running, self._stopping = 0, False
        self._memory = MemoryReleaser()

    async def teardown(self, worker: Any) -> None:
        """Stop, and return when no task draws or writes, so that the driver may release its store."""
        self._stopping = True
        while self._running:
            await asyncio.sleep(_POLL_INTERVAL)

    def do(self, tiles: Sequence[Tile], cancelled: Callable[[], bool]) -> None:
        """Draw and write tiles until the run ends or the task is cancelled."""

        def check(amount: float = 0) -> None:
            if self._stopping or cancelled():
                raise Stopped

        with self._counted():
            work = self._load()
            for tile in tiles:
                with self._room:
                    check()
                    if work.is_done(tile):  # this task ran before, on a worker that died
                        continue
                    with _DRAWING, _torch_threads(self._threads):
                        check()
                        drawn = work.draw(tile, check)
                    check()
                    work.write(tile, drawn)
                    del drawn
                    self._memory.tile_done()

    def _load(self) -> Work:
        with self._lock:
            if self._work is None:
                if self._version != __version__:
                    raise WorkersFailed(
                        f"A worker has bayesr {__version__} and this process has {self._version}, whose members may "
                        "differ: install the same version on the workers."
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
    """Draw and write tiles of the run `name`. No result has to be fetched."""
    worker = get_worker()
    holder, states, key = worker.plugins[name], worker.state.tasks, worker.get_current_task()
    assert isinstance(holder, WorkHolder)

    def cancelled() -> bool:
        """Whether the task was cancelled, as all are when the driver dies and releases its store."""
        task = states.get(key)
        return task is None or task.state == "cancelled"

    try:
        holder.do(tiles, cancelled)
    except Stopped:
        # The run has ended, or this worker closes and others must do the tiles.
        raise Reschedule from None


def orphaned_runs(dask_scheduler: Any) -> list[str]:
    """Return the runs whose drivers died without ending them; runs on the scheduler."""
    named = (name.split(SEPARATOR) for name in dask_scheduler.worker_plugins)
    return [SEPARATOR.join(parts) for parts in named if parts[0] == PREFIX and parts[1] not in dask_scheduler.clients]


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Use as many torch threads as the worker has; PyTorch counts them per calling thread."""
    import torch  # start-up time: the scheduler reads this module too

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
