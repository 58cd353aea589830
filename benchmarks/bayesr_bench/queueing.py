"""Discrete-event simulation of workers that draw groups of tiles, with one driver and one scheduler.

A task draws one tile or several. The driver submits a task, collects it when it is finished, and submits the next one.
The scheduler assigns a task to a worker, and receives the message that it is finished. Driver and scheduler are servers
that handle one event at a time, in the order of arrival, for a fixed time. A bounded number of tasks is in flight, so
that a worker finds its next task waiting if the servers are fast enough. A tile takes a gamma-distributed time. A
worker fails at a constant rate and is replaced after a while. The rest of its task, including the tile that it was
drawing, goes to another worker. Tiles become known at a constant rate from a given time on, while a first pass over the
image progresses.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bayesr.grid import Tile
from bayesr.progress import Advance

Group = Callable[[int], int]
"""Returns the number of tiles of the next task, given the number of tiles that are not submitted yet."""
Event = Callable[[float, int], None]
"""An event: a function of its time and the index of a task."""


@dataclass(frozen=True)
class Costs:
    """Times in seconds.

    Attributes
    ----------
    tile : float
        Mean time of drawing and writing a tile, on a worker.
    spread : float
        Standard deviation of that time, as a share of the mean.
    task : float
        Overhead of a task on a worker, whatever its size.
    driver, scheduler : float
        Time that each needs for a task, half of it before the task is drawn and half after.
    """

    tile: float
    spread: float = 0.0
    task: float = 0.0
    driver: float = 0.0
    scheduler: float = 0.0


@dataclass(frozen=True)
class Faults:
    """Failures of workers.

    Attributes
    ----------
    rate : float
        Failures per worker and hour.
    repair : float
        Seconds until a worker that failed is replaced.
    """

    rate: float = 0.0
    repair: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """Result of a simulation.

    Attributes
    ----------
    makespan : float
        Seconds until the last task is collected.
    efficiency : float
        Total time of the tiles, divided by workers times makespan.
    driver, scheduler : float
        Share of the makespan during which each is busy.
    tiles, tasks, failures : int
        Numbers of tiles drawn, of tasks collected, and of failures of workers during a task.
    """

    makespan: float
    efficiency: float
    driver: float
    scheduler: float
    tiles: int
    tasks: int
    failures: int


@dataclass(frozen=True)
class Nothing:
    """Work for `bayesr.workers.run` that takes no time, so that only the overhead of tasks remains."""

    cost: float = 1.0

    def is_done(self, tile: Tile) -> bool:
        """Return False."""
        return False

    def draw(self, tile: Tile, advance: Advance) -> None:
        """Report the tile's cost, and draw nothing."""
        advance(self.cost)

    def write(self, tile: Tile, drawn: None) -> None:
        """Write nothing."""


@dataclass
class _Server:
    """A server that handles one event at a time."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, service: float) -> float:
        """Return the time at which an event that arrives now is handled. Calls must be in the order of time."""
        self.free = max(now, self.free) + service
        self.busy += service
        return self.free


class _Simulation:
    """State of a simulation, and its events."""

    def __init__(
        self, tiles: int, workers: int, costs: Costs, group: Group, most: int, faults: Faults,
        known: tuple[float, float], seed: int,
    ) -> None:  # fmt: skip
        self.tiles, self.costs, self.group, self.most = tiles, costs, group, most
        self.faults, self.known = faults, known
        self.chance = random.Random(seed)
        self.events: list[tuple[float, int, Event, int]] = []
        self.scheduled = 0
        self.driver, self.scheduler = _Server(), _Server()
        self.sizes: list[int] = []
        self.rest: list[int] = []
        self.ready: deque[int] = deque()
        self.idle, self.left, self.flying, self.waiting = workers, tiles, 0, -1.0
        self.worked, self.ended, self.drawn, self.collected, self.lost = 0.0, 0.0, 0, 0, 0

    def run(self) -> None:
        self.at(0.0, self.submit)
        while self.events:
            now, _, event, task = heapq.heappop(self.events)
            event(now, task)

    def at(self, time: float, event: Event, task: int = 0) -> None:
        """Schedule an event. Events of equal times happen in the order in which they were scheduled."""
        self.scheduled += 1
        heapq.heappush(self.events, (time, self.scheduled, event, task))

    def submit(self, now: float, _: int) -> None:
        """Submit as many tasks as may be in flight, if their tiles are known."""
        begin, release = self.known
        while self.left and self.flying < self.most:
            size = max(1, min(self.group(self.left), self.left))
            known = begin + release * (self.tiles - self.left + size)
            if known > now:
                if self.waiting != known:
                    self.waiting = known
                    self.at(known, self.submit)
                return
            self.left -= size
            self.flying += 1
            self.sizes.append(size)
            self.rest.append(size)
            self.at(self.driver.serve(now, self.costs.driver / 2), self.receive, len(self.sizes) - 1)

    def receive(self, now: float, task: int) -> None:
        """The scheduler receives a task."""
        self.at(self.scheduler.serve(now, self.costs.scheduler / 2), self.assign, task)

    def assign(self, now: float, task: int) -> None:
        """A task reaches the workers."""
        self.ready.append(task)
        if self.idle:
            self.idle -= 1
            self.work(now, 0)

    def work(self, now: float, _: int) -> None:
        """A free worker takes the task that has waited longest."""
        if not self.ready:
            self.idle += 1
            return
        task = self.ready.popleft()
        size = self.rest[task]
        taken = self.costs.tile * size
        if self.costs.spread:  # a sum of gamma variables is gamma-distributed
            shape = 1 / self.costs.spread**2
            taken = self.chance.gammavariate(shape * size, self.costs.tile / shape)
        alive = self.chance.expovariate(self.faults.rate / 3600) if self.faults.rate else math.inf
        if alive < taken + self.costs.task:
            drawn = min(int(alive / taken * size), size - 1)
            self.rest[task] -= drawn
            self.worked += taken * drawn / size
            self.at(now + alive, self.fail, task)
        else:
            self.worked += taken
            self.at(now + taken + self.costs.task, self.finish, task)

    def fail(self, now: float, task: int) -> None:
        """A worker fails, and its task waits for another one."""
        self.lost += 1
        self.at(now + self.faults.repair, self.work)
        self.receive(now, task)

    def finish(self, now: float, task: int) -> None:
        """The scheduler learns that a task is finished, and the worker takes its next one."""
        self.at(self.scheduler.serve(now, self.costs.scheduler / 2), self.report, task)
        self.work(now, 0)

    def report(self, now: float, task: int) -> None:
        """The driver learns that a task is finished."""
        self.at(self.driver.serve(now, self.costs.driver / 2), self.collect, task)

    def collect(self, now: float, task: int) -> None:
        """The driver has collected a task, and submits the next one."""
        self.flying -= 1
        self.collected += 1
        self.drawn += self.sizes[task]
        self.ended = now
        self.submit(now, 0)


def simulate(
    tiles: int,
    workers: int,
    costs: Costs,
    group: Group = lambda left: 1,
    *,
    in_flight: int = 2,
    faults: Faults = Faults(),
    begin: float = 0.0,
    release: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Simulate one drawing of all tiles.

    Parameters
    ----------
    tiles, workers : int
        At least 1.
    costs : Costs
    group : callable
    in_flight : int
        Tasks per worker that are submitted and not yet collected.
    faults : Faults
    begin, release : float
        Tile i is known at ``begin + (i + 1) release`` seconds. A task is submitted when all its tiles are known.
    seed : int

    Returns
    -------
    Outcome
    """
    run = _Simulation(tiles, workers, costs, group, max(1, in_flight * workers), faults, (begin, release), seed)
    run.run()
    return Outcome(
        run.ended, run.worked / (workers * run.ended), run.driver.busy / run.ended, run.scheduler.busy / run.ended,
        run.drawn, run.collected, run.lost,
    )  # fmt: skip
