"""Compare members of networks in bfloat16 with those in float32: differences, coverage, consistency, time.

    bayesr bench precision --data FOLDER

FOLDER holds ``bsd100`` (or ``bsd100_jpg``) and ``set5``. Every image is sampled with both precisions, on the same
device and in turn. Differences of members, means and standard deviations are in grey levels. Coverage is that of the
90% interval; LR-PSNR is that of the worst member, rounded to 8 bits.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Annotated, Any

import click
import numpy as np
import xarray as xr

import bayesr
from bayesr.sampling.device import check_precision, resolve
from bayesr_bench import measures
from bayesr_bench.harness import Result, table
from bayesr_bench.options import Data, Limit, Members, ModelName, Seed, sets_of
from bayesr_bench.sets import Picture, observe, read_set, sample

SETS = ("set5", "bsd100")
PRECISIONS = ("float32", "bfloat16")


def timed(model: bayesr.Model, low: np.ndarray, n: int, **options: Any) -> tuple[xr.Dataset, float]:
    """Return a product and the seconds that it took."""
    begun = time.perf_counter()
    ds = sample(model, low, n, **options)
    return ds, time.perf_counter() - begun


def compare(
    model: bayesr.Model, images: Mapping[str, Picture], n: int, seed: int, device: str
) -> list[dict[str, float]]:
    """Return the figures of each image."""
    found = []
    for picture in images.values():
        low, truth = observe(picture.pixels, model.forward_operator), picture.pixels.transpose(2, 0, 1)
        given = [timed(model, low, n, seed=seed, device=device, precision=precision) for precision in PRECISIONS]
        (exact, time_exact), (reduced, time_reduced) = given
        row = {"seconds": time_exact, "ratio": time_reduced / time_exact}
        for name in ("samples", "mean", "std"):
            apart = (reduced[name] - exact[name]).to_numpy()
            row[f"{name}, squared"] = float(np.mean(apart**2))
            row[f"{name}, largest"] = float(np.abs(apart).max())
        for name, ds in zip(PRECISIONS, (exact, reduced), strict=True):
            row[f"covered, {name}"] = measures.coverage(truth, ds["lower"].values, ds["upper"].values)
            row[f"LR-PSNR, {name}"] = measures.lr_psnr(ds["samples"].values, model.forward_operator, low)
        found.append(row)
    return found


def summarised(name: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """Return the row of a set."""
    figures = measures.gathered(found)
    row: dict[str, Any] = {"set": f"{name} ({len(found)})"}
    for what, label in (("samples", "members"), ("mean", "mean"), ("std", "std")):
        row[f"{label}, root mean square difference"] = float(np.sqrt(np.mean(figures[f"{what}, squared"])))
        row[f"{label}, largest difference"] = max(figures[f"{what}, largest"])
    for precision in PRECISIONS:
        row[f"covered, {precision}"] = float(np.mean(figures[f"covered, {precision}"]))
    for precision in PRECISIONS:
        row[f"LR-PSNR, worst member, {precision}"] = min(figures[f"LR-PSNR, {precision}"])
    row["time, bfloat16 / float32"] = statistics.median(figures["ratio"])
    return row


@table(estimators="over all pixels, bands, members and images; coverage averaged over images; median ratio of times")
def command(
    data: Data,
    model: ModelName = "natural-x4",
    sets: Annotated[tuple[str, ...], sets_of(SETS)] = SETS,
    device: Annotated[str, "The device of both precisions."] = "auto",
    n: Members = 32,
    seed: Seed = 0,
    limit: Limit = None,
) -> Result:
    """Return one row per set."""
    network, where = bayesr.load(model), resolve(device)
    check_precision(where, "bfloat16")
    rows = []
    for name in sets:
        images = read_set(data, name, network.scale, limit)
        rows.append(summarised(name, compare(network, images, n, seed, where)))
        click.echo(f"{name} done", err=True)
    return Result(rows, {"model": f"{network.name}, {network.sha256[:12]}", "device": where})
