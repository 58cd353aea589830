"""Simulate thousands of workers: where driver and scheduler saturate.

    bayesr bench simulation

The model is that of `bayesr_bench.queueing`. Some times are measured: those of drawing and writing a tile, of the first
pass over the image, of finding out which tiles are done, and those that a task takes driver and scheduler of
dask.distributed. The rest is assumed: the number of workers, that all are as fast as this machine, and how often they
fail.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
from distributed import Client

import bayesr
from bayesr import images, workers
from bayesr.grid import tiles
from bayesr.model.model import Model
from bayesr.product import MAPS, MASK_MEANS
from bayesr.sampling.drawing import Drawing
from bayesr.sampling.job import Job
from bayesr.sampling.plan import Plan, default_masks
from bayesr.sampling.sinks import StoreSink
from bayesr.store.layout import Store
from bayesr.workers import dispatch
from bayesr_bench.harness import Result, option, significant, table
from bayesr_bench.options import Members, ModelName, Seed
from bayesr_bench.queueing import Costs, Faults, Group, Nothing, simulate
from bayesr_bench.tables.scale import synthetic

SMALL = 8
"""Side of the tiles of a store with many tiles, whose number alone matters."""


@dataclass(frozen=True)
class TileTimes:
    """Measured times, in seconds.

    Attributes
    ----------
    draw, write : list of float
        For each tile, the times of drawing and of writing it.
    pixel : float
        Time of the first pass, per pixel.
    done : float
        Time of finding out which tiles are done, per tile.
    """

    draw: list[float]
    write: list[float]
    pixel: float
    done: float


def begin(network: Model, image: Path, place: Path, n: int, tile: int) -> tuple[Drawing, float]:
    """Create a store without tiles; return the object that draws them, and the seconds of the first pass."""
    masks = default_masks(n)
    names = (*MAPS, *((MASK_MEANS,) if masks > 1 else ()))
    reading = {"nodata": None, "value_range": None}
    array = images.source(image)
    new: dict[str, Any] = {"overwrite": False, "resume": False, "keepbits": None, "shards": None}
    with StoreSink(str(place), tile=tile, progress=False, **new) as sink:
        start = time.perf_counter()
        read = sink.read(array, reading)
        taken = time.perf_counter() - start
        job = sink.begin(Job(network, read, Plan(n, masks, 0, tile), "cpu", 0.9, names))
    return Drawing(job, Store(str(place))), taken


def measure(model: str, n: int, tile: int, side: int, count: int) -> TileTimes:
    """Draw and write `count` tiles of a one-band image of ``side x side`` pixels; the first two are left out."""
    network = bayesr.load(model)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # synthetic images are out of distribution
        folder = Path(place)
        synthetic(folder / "image.zarr", side)
        begin(network, folder / "image.zarr", folder / "warm.zarr", n, tile)
        work, taken = begin(network, folder / "image.zarr", folder / "store.zarr", n, tile)
        draw, write = [], []
        for region in [t for t in work.job.tiles() if t.core[1] - t.core[0] == t.core[3] - t.core[2] == tile][-count:]:
            start = time.perf_counter()
            drawn = work.draw(region, lambda amount: None)
            middle = time.perf_counter()
            work.write(region, drawn)
            draw.append(middle - start)
            write.append(time.perf_counter() - middle)
        synthetic(folder / "many.zarr", 64 * SMALL)
        begin(network, folder / "many.zarr", folder / "tiles.zarr", n, SMALL)
        start = time.perf_counter()
        size = Store(str(folder / "tiles.zarr")).finished().size
        done = (time.perf_counter() - start) / size
    return TileTimes(draw[2:], write[2:], taken / side**2, done)


@contextlib.contextmanager
def cluster(folder: Path, number: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Start a scheduler and workers; yield the scheduler's address, and the processes, the scheduler's first."""
    file = folder / "scheduler.json"
    shared = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    kinds = [["distributed.cli.dask_scheduler", "--port", "0"]]
    kinds += number * [["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny"]]
    started: list[psutil.Process] = []
    try:
        for kind in kinds:
            command = [sys.executable, "-W", "ignore", "-m", *kind, *shared]
            started.append(psutil.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(number, timeout=120)
            address = str(client.scheduler_info()["address"])
        yield address, started
    finally:
        for process in reversed(started):
            process.terminate()
        psutil.wait_procs(started, timeout=10)


def task_costs(tasks: int, number: int) -> tuple[float, float, float]:
    """Measure processor seconds of driver, scheduler and worker, per task of one tile that takes no time.

    Processor time is measured, since a server is busy only then, and since all of them share this machine.
    """

    def busy(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    with tempfile.TemporaryDirectory() as place, cluster(Path(place), number) as (address, started), _single_tiles():
        for count in (tasks // 10, tasks):  # the first warms up
            regions = tiles(1, count, 1, 0)
            before = [busy(p) for p in (psutil.Process(), *started)]
            workers.run(Nothing(), regions, count, lambda amount: None, address)
            driver, scheduler, *rest = (busy(p) - b for p, b in zip((psutil.Process(), *started), before, strict=True))
    return driver / tasks, scheduler / tasks, sum(rest) / tasks


@contextlib.contextmanager
def _single_tiles() -> Iterator[None]:
    """Make tasks of one tile, however short they are."""
    previous = dispatch.TASK_SECONDS, dispatch.TASKS_PER_SECOND
    dispatch.TASK_SECONDS, dispatch.TASKS_PER_SECOND = 0.0, math.inf
    try:
        yield
    finally:
        dispatch.TASK_SECONDS, dispatch.TASKS_PER_SECOND = previous


def grouping(seconds: float, number: int) -> Group:
    """Return the rule of `bayesr.workers` for tiles per task, given the seconds of a tile and the number of workers."""
    most = dispatch.tiles_per_task(seconds, number)
    return lambda left: max(1, min(most, left // (4 * number)))


def rows_of(
    costs: Costs, faults: Faults, count: int, numbers: tuple[int, ...], serial: float, first: float, seed: int
) -> list[dict[str, Any]]:
    """Return one row per number of workers and way of assigning tiles to them.

    Parameters
    ----------
    costs, faults
        See `bayesr_bench.queueing`.
    count : int
        Number of tiles.
    numbers : tuple of int
        Numbers of workers.
    serial : float
        Seconds before the first task, without the first pass.
    first : float
        Seconds of the first pass over the image.
    seed : int
    """
    rows = []
    for number in numbers:
        grouped = grouping(costs.tile, number)
        for name, group, start, release in (
            ("one tile a task", lambda left: 1, serial + first, 0.0),
            ("grouped", grouped, serial + first, 0.0),
            ("grouped, pass beside", grouped, serial, first / count),
        ):
            done = simulate(count, number, costs, group, faults=faults, begin=start, release=release, seed=seed)
            rows.append(
                {
                    "workers": number,
                    "tiles are handed out": name,
                    "minutes": done.makespan / 60,
                    "efficiency": done.efficiency,
                    "driver busy": done.driver,
                    "scheduler busy": done.scheduler,
                    "before the first tile": start / done.makespan,
                    "tiles a task": done.tiles / done.tasks,
                    "failures": done.failures,
                }
            )
    return rows


@table(
    rounding=significant(4),
    estimators="times of one simulated drawing; costs of tiles and tasks as measured means",
    notes={
        "grouped": f"as in bayesr.workers: tasks of {dispatch.TASK_SECONDS:g} s, or longer ones if there would be more "
        f"than {dispatch.TASKS_PER_SECOND:g} per second; shorter ones towards the end",
        "efficiency": "time of the tiles divided by workers times total time, which includes the first pass",
        "pass beside": "as in bayesr.sample where the value range is known: a tile is drawn as soon as the first pass "
        "has read the pixels around it. The other rows are for value ranges that the pass has to find",
    },
)
def command(
    model: ModelName = "fluorescence-x4",
    n: Members = 8,
    tile: Annotated[int, "Side of tiles, low-resolution pixels."] = 256,
    side: Annotated[int, "Side of the simulated image, one band."] = 100_000,
    numbers: Annotated[tuple[int, ...], option("--workers", help="Numbers of workers.")] = (
        1,
        10,
        100,
        300,
        1000,
        2000,
        4000,
    ),
    failures: Annotated[float, "Failures per worker and hour."] = 0.05,
    repair: Annotated[float, "Seconds until another worker has replaced one that failed."] = 60.0,
    measured_side: Annotated[int, "Side of the image that is measured."] = 4096,
    drawn: Annotated[int, option("--tiles", help="Tiles that are drawn and written to measure their times.")] = 30,
    tasks: Annotated[int, "Empty tasks, to measure driver and scheduler."] = 5000,
    seed: Seed = 0,
) -> Result:
    """Return one row per number of workers and way of assigning tiles to them."""
    found = measure(model, n, tile, measured_side, drawn)
    driver, scheduler, worker = task_costs(tasks, number=4)
    took = np.add(found.draw, found.write)
    costs = Costs(float(took.mean()), float(took.std(ddof=1) / took.mean()), worker, driver, scheduler)
    count = sum(1 for _ in tiles(side, side, tile, 0))
    first, serial = found.pixel * side**2, found.done * count
    notes = {
        "image": f"{side:,} x {side:,} pixels, one band, uint8; {count:,} tiles of {tile}, n = {n}, {model}",
        "a tile, measured": f"drawing {np.mean(found.draw):.3g} s, writing {np.mean(found.write):.3g} s, standard "
        f"deviation {costs.spread:.1%}, {len(took)} tiles",
        "a task, measured": f"driver {1e3 * driver:.2f} ms, scheduler {1e3 * scheduler:.2f} ms, worker "
        f"{1e3 * worker:.2f} ms of processor time; {tasks} empty tasks, 4 workers",
        "first pass, measured": f"{1e-6 / found.pixel:.0f} MB/s, {first:.0f} s for the image",
        "looking up what is done, measured": f"{1e3 * found.done:.2f} ms per tile, {serial:.0f} s for the image",
        "with one tile a task, saturated at": f"{costs.tile / driver:.0f} workers (driver), "
        f"{costs.tile / scheduler:.0f} (scheduler)",
        "assumed": f"workers as fast as this machine on one thread, {failures:g} failures per worker and hour, "
        f"{repair:g} s until a replacement is there; storage that is never the bottleneck; two tasks in flight per "
        "worker; a first pass that handing out tasks does not slow down",
    }
    return Result(rows_of(costs, Faults(failures, repair), count, numbers, serial, first, seed), notes)
