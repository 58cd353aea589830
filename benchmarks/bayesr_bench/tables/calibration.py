"""Measure the coverage of intervals on photographs, and on aerial images, for which they are not calibrated.

    bayesr bench calibration --data FOLDER

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), ``set14``, ``set5``, and aerial images in ``naip/hr``. Low-resolution
images are made with the antialiased bicubic operator and rounded to 8 bits. Intervals are those of a product at that
level: clipped to 0..255, and half a grey level wider on either side. Coverage is the share of pixels and bands inside
the interval, averaged over images; its standard error comes from the spread between images. Calibration gives a bound
for images exchangeable with those of the calibration, so the aerial set shows the effect of a distribution shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import click
import numpy as np

import bayesr
from bayesr.calibration.coverage import border_class
from bayesr.calibration.intervals import bounds
from bayesr_bench import measures
from bayesr_bench.harness import Result, decimals, table
from bayesr_bench.options import Data, Limit, ModelName, sets_of
from bayesr_bench.record import error_of_mean
from bayesr_bench.sets import Picture, is_unfamiliar, observe, read_set, sample

LEVELS = (0.5, 0.8, 0.9, 0.95)
N = 32
SETS = ("bsd100", "set14", "set5", "aerial")


def evaluate(model: bayesr.Model, name: str, images: Mapping[str, Picture]) -> list[dict[str, Any]]:
    """Return one row per level; widths are in grey levels."""
    figures: dict[float, measures.Scores] = {level: {"covered": [], "width": [], "border": []} for level in LEVELS}
    warned = []
    for high, _ in images.values():
        ds = sample(model, observe(high, model.forward_operator), N, keep_samples=False)
        warned.append(is_unfamiliar(ds))
        truth, mean, std = high.transpose(2, 0, 1), ds["mean"].values, ds["std"].values
        height, width = truth.shape[1:]
        near = np.broadcast_to(border_class(height, width, model.scale) <= 1, truth.shape)
        for level, of_level in figures.items():
            half_width = model.calibration.half_width(level, N)
            lower, upper = bounds(mean, std, half_width, 1.0, (0, 255))
            inside = measures.inside(truth, lower, upper)
            of_level["covered"].append(float(inside.mean()))
            of_level["width"].append(measures.width(lower, upper))
            of_level["border"].append(float(inside[near].mean()))
    return [
        {
            "set": f"{name} ({len(images)})",
            "level": level,
            "covered": float(np.mean(found["covered"])),
            "standard error": error_of_mean(found["covered"]),
            "median image": float(np.median(found["covered"])),
            "worst image": min(found["covered"]),
            "at the border": float(np.mean(found["border"])),
            "mean width": float(np.mean(found["width"])),
            "warned about": float(np.mean(warned)),
        }
        for level, found in figures.items()
    ]


@table(
    n=N,
    rounding=decimals(4),
    estimators="share of pixels and bands with lower <= truth <= upper, over all pixels",
    notes={
        "members": f"n = {N}; coverage of each image, averaged over images; standard error from the spread between "
        "images; border: within 2 low-resolution pixels of it; width in grey levels",
        "warned about": "share of images that the model's input check calls out of distribution",
    },
)
def command(
    data: Data,
    model: ModelName = "natural-x4",
    sets: Annotated[tuple[str, ...], sets_of(SETS)] = SETS,
    limit: Limit = None,
) -> Result:
    """Return one row per set and level."""
    network = bayesr.load(model)
    rows: list[dict[str, Any]] = []
    for name in sets:
        rows += evaluate(network, name, read_set(data, name, network.scale, limit))
        click.echo(f"{name} done", err=True)
    calibration = network.calibration
    return Result(
        rows,
        {
            "model": f"{network.name}, {network.sha256[:12]}",
            "calibrated on": f"{calibration.source}; {calibration.images} images for the intervals",
        },
    )
