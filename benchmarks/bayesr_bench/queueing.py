"""Workers that draw groups of tiles, one driver and one scheduler: a discrete-event simulation.

The model. Tiles are drawn in tasks of several. The driver submits a task and, when it is finished, collects it and
submits the next; the scheduler hands it to a worker, and hears that it is finished. Driver and scheduler are servers
that do one thing after the other, first come, first served, for a fixed time. A bounded number of tasks is in flight,
so that workers find their next task waiting where the servers keep up. A tile takes a gamma-distributed time. A worker
fails at a constant rate and comes back after a while; what is left of its task, the tile it was at included, goes to
another. Tiles become known at a constant rate from a given moment on, as a first pass over the image goes on.
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
"""The number of tiles of the next task, from the number of tiles that are not submitted yet."""
Event = Callable[[float, int], None]
"""What happens at a time to a task."""


@dataclass(frozen=True)
class Costs:
    """Times in seconds.

    Attributes
    ----------
    tile : float
        Mean of drawing and writing a tile, on a worker.
    spread : float
        Its standard deviation, as a share of the mean.
    task : float
        On a worker, for every task, whatever its size.
    driver, scheduler : float
        That each is busy with a task, half of it before the task is drawn and half after.
    """

    tile: float
    spread: float = 0.0
    task: float = 0.0
    driver: float = 0.0
    scheduler: float = 0.0


@dataclass(frozen=True)
class Faults:
    """Failures of a worker an hour, and seconds until it is noticed and another is there."""

    rate: float = 0.0
    repair: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """What a simulation came to.

    Attributes
    ----------
    makespan : float
        Seconds until the last task is collected.
    efficiency : float
        The time that tiles take, over workers times makespan.
    driver, scheduler : float
        The share of the makespan that each is busy.
    tiles, tasks, failures : int
        Tiles drawn, tasks collected, and workers that failed at one.
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
    """Work that takes no time, for `bayesr.workers.run`: what is left is what a task costs."""

    cost: float = 1.0

    def is_done(self, tile: Tile) -> bool:
        """Never."""
        return False

    def draw(self, tile: Tile, advance: Advance) -> None:
        """Nothing."""
        advance(self.cost)

    def write(self, tile: Tile, drawn: None) -> None:
        """Nothing."""


@dataclass
class _Server:
    """Does one thing after the other."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, service: float) -> float:
        """When what arrives now is done; arrivals must come in the order of time."""
        self.free = max(now, self.free) + service
        self.busy += service
        return self.free


class _Simulation:
    """Everything that changes as time goes by."""

    def __init__(
        self, tiles: int, workers: int, costs: Costs, group: Group, most: int, faults: Faults,
        known: tuple[float, float], seed: int,
    ) -> None:  # fmt: skip
        self.tiles, self.costs, self.group, self.most, self.faults, self.known = (
            tiles,
            costs,
            group,
            most,
            faults,
            known,
        )
        self.chance = random.Random(seed)
        self.events: list[tuple[float, int, Event, int]] = []
        self.announced = 0
        self.driver, self.scheduler = _Server(), _Server()
        self.sizes: list[int] = []
        self.rest: list[int] = []
        self.ready: deque[int] = deque()
        self.idle, self.left, self.flying, self.waiting = workers, tiles, 0, -1.0
        self.worked, self.ended, self.drawn, self.collected, self.lost = 0.0, 0.0, 0, 0, 0

    def run(self) -> None:
        self.at(0.0, self.submit)
        while self.events:
            now, _, what, task = heapq.heappop(self.events)
            what(now, task)

    def at(self, time: float, what: Event, task: int = 0) -> None:
        """Announce what will happen; of what happens at once, what was announced first comes first."""
        self.announced += 1
        heapq.heappush(self.events, (time, self.announced, what, task))

    def submit(self, now: float, _: int) -> None:
        """As many tasks as may be in flight, as long as their tiles are known."""
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
            self.at(self.driver.serve(now, self.costs.driver / 2), self.hand_out, len(self.sizes) - 1)

    def hand_out(self, now: float, task: int) -> None:
        """The scheduler hears of a task."""
        self.at(self.scheduler.serve(now, self.costs.scheduler / 2), self.assign, task)

    def assign(self, now: float, task: int) -> None:
        """A task reaches the workers."""
        self.ready.append(task)
        if self.idle:
            self.idle -= 1
            self.work(now, 0)

    def work(self, now: float, _: int) -> None:
        """A worker that is free takes the task that has waited longest."""
        if not self.ready:
            self.idle += 1
            return
        task = self.ready.popleft()
        size = self.rest[task]
        taken = self.costs.tile * size
        if self.costs.spread:  # a sum of gamma variables is one
            shape = 1 / self.costs.spread**2
            taken = self.chance.gammavariate(shape * size, self.costs.tile / shape)
        alive = self.chance.expovariate(self.faults.rate / 3600) if self.faults.rate else math.inf
        if alive < taken + self.costs.task:
            kept = min(int(alive / taken * size), size - 1)
            self.rest[task] -= kept
            self.worked += taken * kept / size
            self.at(now + alive, self.fail, task)
        else:
            self.worked += taken
            self.at(now + taken + self.costs.task, self.finish, task)

    def fail(self, now: float, task: int) -> None:
        """A worker is lost, and its task waits for another."""
        self.lost += 1
        self.at(now + self.faults.repair, self.work)
        self.hand_out(now, task)

    def finish(self, now: float, task: int) -> None:
        """The scheduler hears that a task is finished; the worker goes on."""
        self.at(self.scheduler.serve(now, self.costs.scheduler / 2), self.report, task)
        self.work(now, 0)

    def report(self, now: float, task: int) -> None:
        """The driver hears of it."""
        self.at(self.driver.serve(now, self.costs.driver / 2), self.collect, task)

    def collect(self, now: float, task: int) -> None:
        """The driver is done with a task, and submits the next."""
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
    """Draw all tiles once.

    Parameters
    ----------
    tiles, workers : int
        At least 1.
    costs : Costs
    group : callable
    in_flight : int
        Tasks that are submitted and not collected, for every worker.
    faults : Faults
    begin, release : float
        Tile i is known at ``begin + (i + 1) release`` seconds; no task is submitted before all its tiles are.
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
