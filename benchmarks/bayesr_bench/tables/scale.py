"""Measure time, memory and throughput for growing images: streamed, in memory, and by workers.

    bayesr bench scale

Every way of sampling an image runs in its own process. Streaming and sampling in memory are compared in turn, within
one process. So are one worker and two, each with its own cluster.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import zarr
from numpy.typing import NDArray

import bayesr
from bayesr.images.lazy import BLOCK
from bayesr_bench.harness import Result, option, significant, table
from bayesr_bench.models import Measured, by_model, checksums, measured
from bayesr_bench.options import Models
from bayesr_bench.processes import run_code

_CHUNK = 256


def synthetic(path: Path, side: int, bands: int = 1, seed: int = 0) -> None:
    """Write a smooth field with texture and noise, uint8, as Zarr, block by block, so that only one is in memory.

    Parameters
    ----------
    path : Path
    side : int
        Height and width in pixels.
    bands : int
    seed : int
    """
    array = zarr.create_array(
        path, shape=(bands, side, side), chunks=(bands, _CHUNK, _CHUNK), shards=(bands, BLOCK, BLOCK), dtype="uint8",
        dimension_names=("band", "y", "x"),
    )  # fmt: skip
    for rows, columns in _blocks(side):
        array[:, rows, columns] = _block(rows, columns, bands, seed)


def _blocks(side: int) -> Iterator[tuple[slice, slice]]:
    starts = range(0, side, BLOCK)
    yield from ((slice(y, min(y + BLOCK, side)), slice(x, min(x + BLOCK, side))) for y in starts for x in starts)


def _block(rows: slice, columns: slice, bands: int, seed: int) -> NDArray[np.uint8]:
    y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
    smooth = 90 + 40 * np.sin(y / 67) * np.cos(x / 91) + 20 * np.sin((x + 2 * y) / 311)
    texture = 35 * np.sin(x * y / 5000 % math.tau) * np.sin(x / 3.1) * np.sin(y / 4.3)
    noise = np.random.default_rng((seed, rows.start, columns.start)).normal(0, 4, (bands, *smooth.shape))
    pixels: NDArray[np.uint8] = np.clip(np.rint(smooth + texture + noise), 0, 255).astype(np.uint8)
    return pixels


_BEGIN = """
import shutil, warnings
import bayesr
warnings.simplefilter("ignore")
network = bayesr.load(given["model"])
if "threads" in given:
    import torch
    torch.set_num_threads(given["threads"])

def draw(image, **how):
    shutil.rmtree("s.zarr", ignore_errors=True)
    begun = time.perf_counter()
    bayesr.sample(image, given["n"], model=network, progress=False, keep_samples=False, **how)
    return time.perf_counter() - begun
"""
_STREAMED = """
draw("warm.zarr", store="s.zarr", tile=given["tile"])
taken = draw("image.zarr", store="s.zarr", tile=given["tile"])
print(json.dumps({"seconds": taken, "peak": peak()}))
"""
_IN_TURN = """
turns = []
for turn in range(given["rounds"] + 1):
    image = "image.zarr" if turn else "warm.zarr"
    mine = draw(image, store="s.zarr", tile=given["tile"])
    turns.append((mine, draw(image, tile=given["tile"])))
print(json.dumps({"turns": turns[1:], "peak": peak()}))
"""
_WORKERS = """
from bayesr.workers import clusters
begun = time.perf_counter()
with clusters.connected(given["workers"]) as (client, _):
    draw("small.zarr", store="s.zarr", tile=16, cluster=client)  # every worker loads what it needs
    taken = draw("image.zarr", store="s.zarr", tile=given["tile"], cluster=client)
found = {"whole": time.perf_counter() - begun, "seconds": taken, "peak": peak()}
print(json.dumps(found | {"worker": peak(resource.RUSAGE_CHILDREN)}))
"""


def run(code: str, folder: Path, **given: Any) -> dict[str, Any]:
    """Sample ``image.zarr`` in a folder by a process of its own; return the measurements that it prints."""
    found: dict[str, Any] = run_code(_BEGIN + code, folder, **given)
    return found


def at_once(number: int, folder: Path, **asked: Any) -> float:
    """Return the mean seconds of several processes of one thread that each stream ``image.zarr``, at the same time."""

    def alone(which: int) -> float:
        own = folder / f"own{which}"
        own.mkdir(exist_ok=True)
        for name in ("image.zarr", "warm.zarr"):
            if not (own / name).exists():
                (own / name).symlink_to(folder / name)
        return float(run(_STREAMED, own, **asked, threads=1)["seconds"])

    with ThreadPoolExecutor(number) as threads:
        return statistics.fmean(threads.map(alone, range(number)))


COLUMNS = (
    "image", "way", "seconds", "with start", "Mpixel/s", "/ in memory", "efficiency", "peak MiB", "a worker's MiB",
)  # fmt: skip


def measure(
    side: int, bands: int, asked: dict[str, Any], workers: tuple[int, ...] = (), in_memory: bool = False
) -> list[dict[str, Any]]:
    """Return one row per way of sampling an image of ``side x side`` pixels.

    Parameters
    ----------
    side, bands : int
    asked : dict
        ``model``, ``n``, ``tile``, ``rounds``.
    workers : tuple of int
        Numbers of workers that sample it, too.
    in_memory : bool
        Whether it is sampled in memory, too.
    """
    pixels = asked["n"] * bands * (bayesr.load(asked["model"]).scale * side) ** 2 / 1e6
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        synthetic(folder / "image.zarr", side, bands)
        synthetic(folder / "warm.zarr", min(side, asked["tile"] * 5 // 4), bands)
        synthetic(folder / "small.zarr", 64, bands)
        found = run(_STREAMED, folder, **asked)
        rows = [{"way": "streamed", "seconds": found["seconds"], "peak MiB": found["peak"]}]
        if in_memory:
            found = run(_IN_TURN, folder, **asked)
            taken = statistics.median(memory for _, memory in found["turns"])
            rows[0]["/ in memory"] = statistics.median(memory / mine for mine, memory in found["turns"])
            rows.append({"way": "in memory", "seconds": taken, "peak MiB": found["peak"], "/ in memory": 1.0})
        rows += by_workers(folder, asked, workers)
    for row in rows:
        images = int(row["way"].split()[0]) if "alone" in row["way"] else 1
        row |= {"image": f"{side}x{side}x{bands}", "Mpixel/s": images * pixels / row["seconds"]}
    return [{column: row.get(column, math.nan) for column in COLUMNS} for row in rows]


def by_workers(folder: Path, asked: dict[str, Any], workers: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return two rows per number of workers: for so many independent processes, and for workers on one image."""
    runs: dict[int, list[dict[str, Any]]] = {number: [] for number in workers}
    apart: dict[int, list[float]] = {number: [] for number in workers}
    for _ in range(asked["rounds"]):
        for number in workers:
            apart[number].append(at_once(number, folder, **asked))
        for number in workers:
            runs[number].append(run(_WORKERS, folder, **asked, workers=number))
    rows: list[dict[str, Any]] = []
    for number, of_number in runs.items():
        middle = {key: statistics.median(each[key] for each in of_number) for key in of_number[0]}
        first = [each["seconds"] for each in runs[workers[0]]]
        ratios = [a / b["seconds"] for a, b in zip(first, of_number, strict=True)]
        rows.append(
            {
                "way": f"{number} alone, one thread",
                "seconds": statistics.median(apart[number]),
                "efficiency": statistics.median(a / b for a, b in zip(apart[workers[0]], apart[number], strict=True)),
            }
        )
        rows.append(
            {
                "way": f"{number} worker{'s' * (number > 1)}",
                "seconds": middle["seconds"],
                "with start": middle["whole"],
                "efficiency": statistics.median(ratios) * workers[0] / number,
                "peak MiB": middle["peak"],
                "a worker's MiB": middle["worker"],
            }
        )
    return rows


@table(
    renamed=True,
    rounding=significant(4),
    small={"sides": (192, 384), "compared": (384,), "tile": 128, "rounds": 1},
    estimators="times of single calls; medians over rounds for calls that are timed in turn",
    notes={
        "seconds": "of the call only, after one with a small image; of workers on a running and warm cluster",
        "with start": "including start and stop of the cluster",
        "Mpixel/s": "of high-resolution members",
        "efficiency": "time of the fewest workers times their number, divided by time times number; in turn, medians",
        "alone": "independent processes at the same time, each streaming its own image: the limit of the machine",
        "peak MiB": "resident, of the whole process; for workers that of the driver, and the largest of a worker",
    },
)
def command(
    models: Models = ("fluorescence-x4",),
    sides: Annotated[tuple[int, ...], option("--side", help="Side of an image; may be repeated.")] = (1000, 2000, 4000),
    bands: Annotated[int, "Number of bands."] = 1,
    n: Annotated[int, option("-n", help="Number of members.")] = 8,
    tile: Annotated[int, "Side of tiles, low-resolution pixels."] = 256,
    rounds: Annotated[int, "Number of rounds of calls that are timed in turn."] = 2,
    workers: Annotated[tuple[int, ...], "Number of workers; may be repeated."] = (1, 2),
    compared: Annotated[
        tuple[int, ...], "Side of an image that is sampled in memory and by workers, too; may be repeated."
    ] = (2000,),
) -> Result:
    """Return one row per image and way of sampling it."""
    found = measured(models)
    begun = time.perf_counter()

    def rows(one: Measured) -> list[dict[str, Any]]:
        asked = {"model": one.file, "n": n, "tile": tile, "rounds": rounds}
        own: list[dict[str, Any]] = []
        for side in sides:
            own += measure(side, bands, asked, *((workers, True) if side in compared else ()))
            click.echo(f"{one.label}, {side}x{side}: {time.perf_counter() - begun:.0f} s", err=True)
        return own

    shown = by_model(found, rows)
    streamed = [row["peak MiB"] for row in shown if row["way"] == "streamed"]
    notes = {
        "model": checksums(found),
        "rounds": rounds,
        "tiles": f"of {tile} x {tile} low-resolution pixels",
        "streamed, largest peak over smallest": max(streamed) / min(streamed),
        "/ in memory": f"throughput divided by that in memory, in one process, in turn; medians of {rounds} rounds",
    }
    return Result(shown, notes)
