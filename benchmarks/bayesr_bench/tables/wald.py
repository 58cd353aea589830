"""Measure how far intervals hold that were calibrated without a truth, beside those calibrated on pairs.

    bayesr bench wald --data FOLDER

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), nuclei in ``dsb2018/images``, and aerial images in ``naip/hr``. One random
half of the low-resolution images of a set calibrates a model: with their high-resolution images, and without them, by
`bayesr.calibrate(images=...)`, which reduces the images once more (Wald's protocol). Coverage and width of the 90%
interval are then measured at the true scale, on the other half.
"""

from __future__ import annotations

from typing import Annotated, Any

import click
import numpy as np

import bayesr
from bayesr.training.held_out import make_pair
from bayesr_bench import measures
from bayesr_bench.harness import Result, decimals, table
from bayesr_bench.models import checksums, measured
from bayesr_bench.options import Data, Limit, Members, Seed, sets_of
from bayesr_bench.sets import read_set, sample

LEVEL = 0.9
SETS = {"bsd100": "natural-x4", "nuclei": "fluorescence-x4", "aerial": "natural-x4"}
"""The model that is calibrated on each set; no model was trained for the last one's pair."""


def evaluate(model: bayesr.Model, pairs: list[Any], n: int, seed: int) -> dict[str, float]:
    """Return coverage and width over images, with standard errors."""
    rows = []
    for low, high in pairs:
        ds = sample(model, low, n, seed=seed, level=LEVEL, keep_samples=False)
        lower, upper = ds["lower"].to_numpy(), ds["upper"].to_numpy()
        covered = measures.coverage(high.transpose(2, 0, 1), lower, upper)
        rows.append({"covered": covered, "width": measures.width(lower, upper)})
    return measures.averages(measures.gathered(rows))


@table(rounding=decimals(4), estimators="coverage and width averaged over images, +- their standard errors")
def command(
    data: Data,
    sets: Annotated[tuple[str, ...], sets_of(SETS)] = tuple(SETS),
    n: Members = 32,
    seed: Seed = 0,
    limit: Limit = None,
) -> Result:
    """Return two rows per set: calibrated on pairs, and without a truth."""
    rows, used = [], {}
    for name in sets:
        (one,) = measured((SETS[name],), scale=4)
        used[one.label] = one
        pictures = read_set(data, name, limit=limit).values()
        pairs = [make_pair(picture.pixels, one.model.forward_operator) for picture in pictures]
        order = np.random.default_rng(seed).permutation(len(pairs))
        first, second = ([pairs[i] for i in part] for part in np.array_split(order, 2))
        lows = [low for low, _ in first]
        common: dict[str, Any] = {"levels": (LEVEL,), "seed": seed, "dims": ("y", "x", "band"), "progress": False}
        ways: dict[str, dict[str, Any]] = {"pairs": {"pairs": first}, "without a truth": {"images": lows}}
        for way, given in ways.items():
            calibrated = bayesr.calibrate(one.model, **given, **common)
            found = evaluate(calibrated, second, n, seed)
            rows.append({"set": f"{name} ({len(second)})", "model": one.label, "calibrated on": way} | found)
        click.echo(f"{name} done", err=True)
    return Result(rows, {"models": checksums(list(used.values())), "level": f"{LEVEL}"})
