"""Tiles handed to the workers of a cluster as they become free: few tasks in flight, no graph, no results."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, count, islice
from queue import Empty, SimpleQueue

from distributed import Client, Future

from bayesr.errors import BayesrError, WorkersFailed
from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers import tasks
from bayesr.workers.work import Work

_TRIES = 3
"""How often a tile is tried. A task whose worker died counts once scheduler and workers have given it up."""

PATIENCE = 600.0
"""Seconds without any worker: long enough for a queueing system to restart one."""

LOOK_INTERVAL = 2.0
"""Seconds between looks at what workers there are."""

_WAIT = 0.2
"""Seconds to wait for a task, before dead worker processes of our own are replaced."""

TASK_SECONDS = 2.0
"""The least that a task should take, so that handing it out costs nothing against it."""

TASKS_PER_SECOND = 100.0
"""Tasks per second that are a quarter of what driver and scheduler can do; with more workers tasks grow longer."""

RESUME = "What was finished stays: mend the cause and call again with resume=True."


def tiles_a_task(seconds: float, workers: int) -> int:
    """How many tiles, each of which takes so long, make a task that driver and scheduler can keep up with."""
    return max(1, round(max(TASK_SECONDS, workers / TASKS_PER_SECOND) / seconds))


def run(
    client: Client, work: Work, tiles: Iterable[Tile], total: float, advance: Advance, tend: Callable[[int], None]
) -> None:
    """Draw and write every tile on the workers of `client`; `tend` is called with the tiles done every now and then."""
    name = tasks.SEPARATOR.join((tasks.PREFIX, client.id, uuid.uuid4().hex))
    with suppress(Exception):  # a cluster may not allow it
        for other in client.run_on_scheduler(tasks.orphaned_runs):
            client.unregister_worker_plugin(other)
    try:
        client.register_plugin(tasks.Holder(work), name)
    except ImportError as error:
        raise WorkersFailed(
            f"A worker cannot import what it needs ({error}): install the same version of bayesr, with the same "
            "dependencies, on scheduler and workers."
        ) from error
    flow = _Flow(client, name, tiles, round(total / work.cost), tend)
    try:
        for finished in flow:
            advance(work.cost * finished)
    except Exception as error:
        if client.status != "running" and not isinstance(error, BayesrError):
            raise _lost() from error
        raise
    finally:
        flow.end()


def _lost() -> WorkersFailed:
    return WorkersFailed(f"The connection to the scheduler is lost, or the tasks were cancelled. {RESUME}")


class _Flow:
    """The tiles of a run, and the tasks that are under way; iterating yields how many tiles were just finished."""

    def __init__(
        self, client: Client, name: str, tiles: Iterable[Tile], left: int, tend: Callable[[int], None]
    ) -> None:
        self._client, self._name, self._tend = client, name, tend
        self._left, self._fresh = left, iter(tiles)
        self._again: deque[Tile] = deque()
        self._tried: Counter[Tile] = Counter()
        self._flying: dict[Future[None], list[Tile]] = {}
        self._ended: SimpleQueue[Future[None]] = SimpleQueue()
        self._numbers = count()
        self._done = 0
        self._group = 1
        self._slots, self._workers = 0, 0
        self._looked, self._done_then, self._seen = 0.0, 0, time.monotonic()

    def __iter__(self) -> Iterator[int]:
        while True:
            self._tend(self._done)
            self._look()
            self._fill()
            if not self._flying:
                return
            for future in self._landed():
                group = self._flying.pop(future)
                finished = self._finish_tile(future, group)
                if finished:
                    self._done += finished
                    yield finished

    def end(self) -> None:
        """Cancel what is queued, wait until what runs has stopped, and leave nothing behind."""
        futures = list(self._flying)
        self._flying.clear()
        if self._client.status != "running":  # calls would wait for it in vain
            return
        with suppress(Exception):  # the cluster may go just now, and what ended the run is what matters
            self._client.cancel(futures, force=True)
        with suppress(Exception):
            self._client.unregister_worker_plugin(self._name)

    def _look(self) -> None:
        """See what workers there are, and how many tiles make a task of sensible length."""
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL:
            return
        if self._client.status != "running":
            raise _lost()
        threads = list(self._client.nthreads().values())
        done = self._done - self._done_then
        if done and self._done_then:  # the first tiles wait for a model to be loaded
            seconds = max(1, self._workers) * (now - self._looked) / done
            self._group = tiles_a_task(seconds, len(threads))
        self._looked, self._done_then, self._workers = now, self._done, len(threads)
        # One to draw, one to write, one to follow; a worker with one thread does one thing after the other.
        self._slots = sum(min(each, 2) + 1 for each in threads) or 2  # a cluster may grow because tasks wait
        if threads:
            self._seen = now
        elif now - self._seen > PATIENCE:
            raise WorkersFailed(f"The cluster has had no worker for {PATIENCE:.0f} seconds: start some. {RESUME}")

    def _fill(self) -> None:
        """Submit tasks until every worker has enough."""
        room = self._slots - len(self._flying)
        groups: list[list[Tile]] = []
        while len(groups) < room:
            if self._again:
                group = [self._again.popleft()]  # by itself, so that one bad tile is known by name
            else:
                # Towards the end tasks grow short again, or all would wait for the last long one.
                most = max(1, self._left // (4 * max(1, self._workers)))
                group = list(islice(self._fresh, min(self._group, most)))
                self._left -= len(group)
            if not group:
                break
            groups.append(group)
        if groups:
            keys = [f"{self._name}-{next(self._numbers)}" for _ in groups]
            futures = self._client.map(tasks.do, [self._name] * len(groups), groups, key=keys, pure=False)
            for future, group in zip(futures, groups, strict=True):
                self._flying[future] = group
                future.add_done_callback(self._ended.put)

    def _landed(self) -> list[Future[None]]:
        """The tasks that ended; nothing where none did for a while."""
        try:
            first = self._ended.get(timeout=_WAIT)
        except Empty:
            return []
        more = (self._ended.get() for _ in range(self._ended.qsize()))
        return list(chain([first], more))

    def _finish_tile(self, future: Future[None], group: list[Tile]) -> int:
        """How many tiles a task finished; those of one that failed are tried again."""
        status = future.status
        error = future.exception() if status == "error" else None
        future.release()
        if status == "finished":
            return len(group)
        if isinstance(error, BayesrError):
            raise error
        if status in ("lost", "pending"):  # its worker died just after it had ended
            self._again.extend(group)
            return 0
        if error is None:
            raise _lost()
        for tile in group:
            self._tried[tile] += 1
            if self._tried[tile] == _TRIES:
                top, bottom, left, right = tile.core
                raise WorkersFailed(
                    f"Workers failed {_TRIES} times on the tile of rows {top} to {bottom} and columns {left} to "
                    f"{right}, at last with {type(error).__name__}: {error} {RESUME}"
                ) from error
        self._again.extend(group)
        return 0
