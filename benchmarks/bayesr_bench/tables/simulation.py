"""Simulate thousands of workers: where driver and scheduler saturate.

    bayesr bench simulation

The model is that of `bayesr_bench.queueing`. Drawing and writing a tile, the first pass over the image, looking up what
is done, and what a task costs the driver and the scheduler of dask.distributed are measured; how many workers there
are, that all are as fast as this machine, and how often they fail is assumed.
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
from typing import Any

import click
import numpy as np
import psutil

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
from bayesr_bench.options import out_option
from bayesr_bench.queueing import Costs, Faults, Group, Nothing, simulate
from bayesr_bench.record import record
from bayesr_bench.tables.scale import synthetic

SMALL = 8
"""Side of the tiles of which there are many, where only their number matters."""


@dataclass(frozen=True)
class Measured:
    """Times in seconds: of every tile that was drawn and written; of the first pass a pixel; of `done` a tile."""

    draw: list[float]
    write: list[float]
    pixel: float
    done: float


def begun(network: Model, image: Path, place: Path, n: int, tile: int) -> tuple[Drawing, float]:
    """A store with everything but the tiles, as something that draws these, and the seconds of the pass."""
    masks = default_masks(n)
    names = (*MAPS, *((MASK_MEANS,) if masks > 1 else ()))
    reading = {"nodata": None, "value_range": None}
    array = images.source(image)
    with StoreSink(str(place), overwrite=False, resume=False, keepbits=None, progress=False) as sink:
        start = time.perf_counter()
        read = sink.read(array, reading)
        taken = time.perf_counter() - start
        job = sink.begin(Job(network, read, Plan(n, masks, 0, tile), "cpu", 0.9, names))
    return Drawing(job, Store(str(place))), taken


def measure(model: str, n: int, tile: int, side: int, count: int) -> Measured:
    """Draw and write `count` tiles of a one-band image of ``side x side`` pixels, after two that warm up."""
    network = bayesr.load(model)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that synthetic images are unfamiliar
        folder = Path(place)
        synthetic(folder / "image.zarr", side)
        begun(network, folder / "image.zarr", folder / "warm.zarr", n, tile)
        work, taken = begun(network, folder / "image.zarr", folder / "store.zarr", n, tile)
        draw, write = [], []
        for region in [t for t in work.job.tiles() if t.core[1] - t.core[0] == t.core[3] - t.core[2] == tile][-count:]:
            start = time.perf_counter()
            drawn = work.draw(region, lambda amount: None)
            middle = time.perf_counter()
            work.write(region, drawn)
            draw.append(middle - start)
            write.append(time.perf_counter() - middle)
        synthetic(folder / "many.zarr", 64 * SMALL)
        begun(network, folder / "many.zarr", folder / "tiles.zarr", n, SMALL)
        start = time.perf_counter()
        looked = Store(str(folder / "tiles.zarr")).finished().size
        done = (time.perf_counter() - start) / looked
    return Measured(draw[2:], write[2:], taken / side**2, done)


@contextlib.contextmanager
def cluster(folder: Path, number: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a scheduler, and the processes: its own, and those of its workers."""
    file = folder / "scheduler.json"
    shared = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    kinds = [["distributed.cli.dask_scheduler", "--port", "0"]]
    kinds += number * [["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny"]]
    started: list[psutil.Process] = []
    try:
        for kind in kinds:
            command = [sys.executable, "-W", "ignore", "-m", *kind, *shared]
            started.append(psutil.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(number, timeout=120)
            address = str(client.scheduler_info()["address"])
        yield address, started
    finally:
        for process in reversed(started):
            process.terminate()
        psutil.wait_procs(started, timeout=10)


def task_costs(tasks: int, number: int) -> tuple[float, float, float]:
    """Processor seconds of a task of one tile that takes no time: of driver, scheduler, and worker.

    Processor time, since a server is busy only then, and since all of them share this machine.
    """

    def busy(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    with tempfile.TemporaryDirectory() as place, cluster(Path(place), number) as (address, started), _single():
        for count in (tasks // 10, tasks):  # the first warms up
            regions = tiles(1, count, 1, 0)
            before = [busy(p) for p in (psutil.Process(), *started)]
            workers.run(Nothing(), regions, count, lambda amount: None, address)
            driver, scheduler, *rest = (busy(p) - b for p, b in zip((psutil.Process(), *started), before, strict=True))
    return driver / tasks, scheduler / tasks, sum(rest) / tasks


@contextlib.contextmanager
def _single() -> Iterator[None]:
    """Tasks of one tile, however short."""
    kept = dispatch.TASK_SECONDS, dispatch.TASKS_PER_SECOND
    dispatch.TASK_SECONDS, dispatch.TASKS_PER_SECOND = 0.0, math.inf
    try:
        yield
    finally:
        dispatch.TASK_SECONDS, dispatch.TASKS_PER_SECOND = kept


def grouping(seconds: float, number: int) -> Group:
    """Tiles a task as `bayesr.workers` has it, for tiles that take so long and so many workers."""
    most = dispatch.tiles_a_task(seconds, number)
    return lambda left: max(1, min(most, left // (4 * number)))


def one(left: int) -> int:
    """A task a tile."""
    return 1


def table(
    costs: Costs,
    faults: Faults,
    count: int,
    numbers: tuple[int, ...],
    serial: float,
    first: float,
    seed: int,
) -> list[dict[str, Any]]:
    """A row a number of workers and a way of giving them tiles.

    Parameters
    ----------
    costs, faults
        As of `bayesr_bench.queueing`.
    count : int
        Tiles.
    numbers : tuple of int
        Of workers.
    serial : float
        Seconds before the first task, the pass not counted.
    first : float
        Seconds of the first pass over the image.
    seed : int
    """
    rows = []
    for number in numbers:
        grouped = grouping(costs.tile, number)
        for name, group, begin, release in (
            ("one tile a task", one, serial + first, 0.0),
            ("grouped", grouped, serial + first, 0.0),
            ("grouped, pass beside", grouped, serial, first / count),
        ):
            done = simulate(count, number, costs, group, faults=faults, begin=begin, release=release, seed=seed)
            rows.append(
                {
                    "workers": number,
                    "tiles are handed out": name,
                    "minutes": done.makespan / 60,
                    "efficiency": done.efficiency,
                    "driver busy": done.driver,
                    "scheduler busy": done.scheduler,
                    "before the first tile": begin / done.makespan,
                    "tiles a task": done.tiles / done.tasks,
                    "failures": done.failures,
                }
            )
    return [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]


@click.command()
@click.option("--model", default="fluorescence-x4", show_default=True)
@click.option("-n", default=8, show_default=True, help="Members.")
@click.option("--tile", default=256, show_default=True, help="Side of tiles, low-resolution pixels.")
@click.option("--side", default=100_000, show_default=True, help="Of the image that is simulated, one band.")
@click.option(
    "--workers", "numbers", multiple=True, type=int, default=(1, 10, 100, 300, 1000, 2000, 4000), show_default=True
)
@click.option("--failures", default=0.05, show_default=True, help="Of a worker, an hour.")
@click.option("--repair", default=60.0, show_default=True, help="Seconds until another worker is there.")
@click.option("--measured-side", default=4096, show_default=True, help="Of the image that is measured.")
@click.option("--tiles", "drawn", default=30, show_default=True, help="That are drawn and written to measure.")
@click.option("--tasks", default=5000, show_default=True, help="Empty ones, to measure driver and scheduler.")
@click.option("--seed", default=0, show_default=True)
@out_option
def command(
    model: str,
    n: int,
    tile: int,
    side: int,
    numbers: tuple[int, ...],
    failures: float,
    repair: float,
    measured_side: int,
    drawn: int,
    tasks: int,
    seed: int,
    out: Path,
) -> None:
    """Where driver and scheduler saturate, and what is done about it: thousands of workers, simulated."""
    found = measure(model, n, tile, measured_side, drawn)
    driver, scheduler, worker = task_costs(tasks, number=4)
    took = np.add(found.draw, found.write)
    costs = Costs(float(took.mean()), float(took.std(ddof=1) / took.mean()), worker, driver, scheduler)
    count = sum(1 for _ in tiles(side, side, tile, 0))
    first, serial = found.pixel * side**2, found.done * count
    rows = table(costs, Faults(failures, repair), count, numbers, serial, first, seed)
    notes = {
        "image": f"{side:,} x {side:,} pixels, one band, uint8; {count:,} tiles of {tile}, n = {n}, {model}",
        "a tile, measured": f"drawing {np.mean(found.draw):.3g} s, writing {np.mean(found.write):.3g} s, standard "
        f"deviation {costs.spread:.1%}, {len(took)} tiles",
        "a task, measured": f"driver {1e3 * driver:.2f} ms, scheduler {1e3 * scheduler:.2f} ms, worker "
        f"{1e3 * worker:.2f} ms of processor time; {tasks} empty tasks, 4 workers",
        "first pass, measured": f"{1e-6 / found.pixel:.0f} MB/s, {first:.0f} s for the image",
        "looking up what is done, measured": f"{1e3 * found.done:.2f} ms a tile, {serial:.0f} s for the image",
        "with one tile a task, saturated at": f"{costs.tile / driver:.0f} workers (driver), "
        f"{costs.tile / scheduler:.0f} (scheduler)",
        "grouped": f"as bayesr.workers has it: tasks of {dispatch.TASK_SECONDS:g} s, or longer where there would be more "
        f"than {dispatch.TASKS_PER_SECOND:g} a second; shorter ones towards the end",
        "assumed": f"workers as fast as this machine on one thread, {failures:g} failures of a worker an hour, "
        f"{repair:g} s until another is there; storage that keeps up; two tasks in flight a worker",
        "efficiency": "time of the tiles over workers times all of the time, the first pass included",
        "pass beside": "not built: tiles drawn as soon as the pass is past them, which takes a known value range",
    }
    record(
        "simulation", rows, notes, out, seed=seed, n=n,
        estimators="times of one simulated drawing, of costs measured as medians",
    )  # fmt: skip
