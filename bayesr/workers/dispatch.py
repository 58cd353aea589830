"""Give tiles to the workers of a cluster as they become free: few tasks at once, no graph, no results."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, count
from queue import Empty, SimpleQueue

from distributed import Client, Future

from bayesr.errors import BayesrError, WorkersFailed
from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers import tasks
from bayesr.workers.pipeline import Work

_TRIES = 3
"""Attempts on a tile. A task whose worker died counts once, after dask has given it up."""

NO_WORKER_TIMEOUT = 600.0
"""Seconds without any worker before giving up: a queueing system may restart one."""

CHECK_INTERVAL = 2.0
"""Seconds between checks of the number of workers."""

_WAIT = 0.2
"""Seconds to wait for a task before the workers are checked again."""

TASK_SECONDS = 2.0
"""Shortest duration of a task, beside which its distribution takes negligible time."""

TASKS_PER_SECOND = 100.0
"""A quarter of the rate that driver and scheduler can handle; with more workers, tasks become longer."""

RESUME = "Finished tiles are kept: fix the cause and call again with resume=True."


def tiles_per_task(seconds: float, workers: int) -> int:
    """Return how many tiles a task needs so that driver and scheduler keep up with the workers.

    Parameters
    ----------
    seconds : float
        Seconds that a worker takes for a tile.
    workers : int
    """
    return max(1, round(max(TASK_SECONDS, workers / TASKS_PER_SECOND) / seconds))


def run(
    client: Client,
    work: Work,
    tiles: Iterable[Tile | None],
    total: float,
    advance: Advance,
    replace_dead_workers: Callable[[int], None],
) -> None:
    """Draw and write every tile on the workers of `client`.

    `replace_dead_workers` is called repeatedly with the number of tiles done so far.
    """
    name = tasks.SEPARATOR.join((tasks.PREFIX, client.id, uuid.uuid4().hex))
    with suppress(Exception):  # a cluster may not allow it
        for other in client.run_on_scheduler(tasks.orphaned_runs):
            client.unregister_worker_plugin(other)
    try:
        client.register_plugin(tasks.WorkHolder(work), name)
    except ImportError as error:
        raise WorkersFailed(
            f"A worker lacks a package ({error}): install the same version of bayesr, with the same dependencies, on "
            "scheduler and workers."
        ) from error
    distribution = _Distribution(client, name, tiles, round(total / work.cost), replace_dead_workers)
    try:
        for finished in distribution:
            advance(work.cost * finished)
    except Exception as error:
        if client.status != "running" and not isinstance(error, BayesrError):
            raise _connection_lost() from error
        raise
    finally:
        distribution.end()


def _connection_lost() -> WorkersFailed:
    return WorkersFailed(f"The connection to the scheduler was lost, or the tasks were cancelled. {RESUME}")


class _Distribution:
    """The tiles and running tasks of a run; iteration yields the number of tiles just finished."""

    def __init__(
        self,
        client: Client,
        name: str,
        tiles: Iterable[Tile | None],
        tile_count: int,
        replace_dead_workers: Callable[[int], None],
    ) -> None:
        self._client, self._name, self._replace_dead_workers = client, name, replace_dead_workers
        self._tiles, self._unassigned = iter(tiles), tile_count
        self._exhausted = False
        self._retry: deque[Tile] = deque()
        self._attempts: Counter[Tile] = Counter()
        self._running: dict[Future[None], list[Tile]] = {}
        self._ended_futures: SimpleQueue[Future[None]] = SimpleQueue()
        self._task_numbers = count()
        self._done = 0
        self._tiles_per_task = 1
        self._worker_count = 0
        self._most_tasks = 0
        self._checked_at = 0.0
        self._done_at_check = 0
        self._last_worker_at = time.monotonic()

    def __iter__(self) -> Iterator[int]:
        while True:
            self._replace_dead_workers(self._done)
            self._check_workers()
            self._submit_tasks()
            if not self._running:
                if self._exhausted:
                    return
                continue  # no tile is ready; the iterator has already waited for one
            for future in self._ended_tasks():
                group = self._running.pop(future)
                finished = self._finish_task(future, group)
                if finished:
                    self._done += finished
                    yield finished

    def end(self) -> None:
        """Cancel queued tasks, wait until running ones have stopped, and remove the work from the cluster."""
        futures = list(self._running)
        self._running.clear()
        if self._client.status != "running":  # calls would wait forever
            return
        with suppress(Exception):  # if the cluster closes now, the error that ended the run matters more
            self._client.cancel(futures, force=True)
        with suppress(Exception):
            self._client.unregister_worker_plugin(self._name)

    def _check_workers(self) -> None:
        """Count the workers, and choose how many tiles a task has."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_INTERVAL:
            return
        if self._client.status != "running":
            raise _connection_lost()
        threads = list(self._client.nthreads().values())
        done = self._done - self._done_at_check
        if done and self._done_at_check:  # the first tiles take longer, to load the model
            seconds = max(1, self._worker_count) * (now - self._checked_at) / done
            self._tiles_per_task = tiles_per_task(seconds, len(threads))
        self._checked_at, self._done_at_check, self._worker_count = now, self._done, len(threads)
        # A task draws, one writes, one waits; a worker with one thread draws and writes in turn.
        self._most_tasks = sum(min(each, 2) + 1 for each in threads) or 2  # waiting tasks make adaptive clusters grow
        if threads:
            self._last_worker_at = now
        elif now - self._last_worker_at > NO_WORKER_TIMEOUT:
            raise WorkersFailed(
                f"The cluster has had no worker for {NO_WORKER_TIMEOUT:.0f} seconds: start some. {RESUME}"
            )

    def _submit_tasks(self) -> None:
        room = self._most_tasks - len(self._running)
        groups: list[list[Tile]] = []
        while len(groups) < room:
            if self._retry:
                group = [self._retry.popleft()]  # alone, so that an error names one tile
            else:
                # Tasks become shorter towards the end, so that the run does not wait for a last long one.
                most = max(1, self._unassigned // (4 * max(1, self._worker_count)))
                group = self._next_tiles(min(self._tiles_per_task, most))
                self._unassigned -= len(group)
            if not group:
                break
            groups.append(group)
        if groups:
            keys = [f"{self._name}-{next(self._task_numbers)}" for _ in groups]
            futures = self._client.map(tasks.do, [self._name] * len(groups), groups, key=keys, pure=False)
            for future, group in zip(futures, groups, strict=True):
                self._running[future] = group
                future.add_done_callback(self._ended_futures.put)

    def _next_tiles(self, count: int) -> list[Tile]:
        """Return the next tiles: `count` of them, or fewer where no more remain or none is ready yet."""
        taken: list[Tile] = []
        while len(taken) < count:
            try:
                tile = next(self._tiles)
            except StopIteration:
                self._exhausted = True
                break
            if tile is None:
                break
            taken.append(tile)
        return taken

    def _ended_tasks(self) -> list[Future[None]]:
        """Return ended tasks, or none after a short wait."""
        try:
            first = self._ended_futures.get(timeout=_WAIT)
        except Empty:
            return []
        more = (self._ended_futures.get() for _ in range(self._ended_futures.qsize()))
        return list(chain([first], more))

    def _finish_task(self, future: Future[None], group: list[Tile]) -> int:
        """Return how many tiles an ended task finished; retry those of a failed one."""
        status = future.status
        error = future.exception() if status == "error" else None
        future.release()
        if status == "finished":
            return len(group)
        if isinstance(error, BayesrError):
            raise error
        if status in ("lost", "pending"):  # the worker died just after the task ended
            self._retry.extend(group)
            return 0
        if error is None:
            raise _connection_lost()
        for tile in group:
            self._attempts[tile] += 1
            if self._attempts[tile] == _TRIES:
                top, bottom, left, right = tile.core
                of_slice = f" of the slice {', '.join(map(str, tile.lead))}" if tile.lead else ""
                raise WorkersFailed(
                    f"Workers failed {_TRIES} times on the tile of rows {top} to {bottom} and columns {left} to "
                    f"{right}{of_slice}, at last with {type(error).__name__}: {error} {RESUME}"
                ) from error
        self._retry.extend(group)
        return 0
