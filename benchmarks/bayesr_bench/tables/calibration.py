"""Measure the coverage of intervals on photographs, and on aerial images they are not calibrated for.

    bayesr bench calibration --data FOLDER

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), ``set14``, ``set5``, and aerial images in ``naip/hr``.
Low-resolution images are made with the antialiased bicubic operator and rounded to 8 bits. An
interval is what the product would hold at that level: clipped to 0..255, half a grey level wider
on either side. Coverage is the share of pixels and bands inside it, by image, averaged over images;
its standard error is from the spread between images. The bound that calibration gives is for images
exchangeable with those it was calibrated on, so the aerial set shows what shift does.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any

import click
import numpy as np

import bayesr
from bayesr.calibration.coverage import border_class
from bayesr_bench import measures
from bayesr_bench.harness import Result, decimals, option, table
from bayesr_bench.options import Data, Limit, ModelName
from bayesr_bench.record import error_of_mean
from bayesr_bench.sets import Picture, observe, read_set

LEVELS = (0.5, 0.8, 0.9, 0.95)
N = 32
SETS = ("bsd100", "set14", "set5", "aerial")


def evaluate(model: bayesr.Model, name: str, images: Mapping[str, Picture]) -> list[dict[str, Any]]:
    """A row for every level; widths in grey levels."""
    figures: dict[float, measures.Scores] = {level: {"covered": [], "width": [], "border": []} for level in LEVELS}
    warned = []
    for high, _ in images.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the verdict is read from the product
            ds = model.sample(observe(high, model.observation), N, dims="yxb", keep_samples=False, progress=False)
        warned.append(str(ds.attrs.get("input_check", "")).startswith("unlike"))
        truth, mean, std = high.transpose(2, 0, 1), ds["mean"].values, ds["std"].values
        height, width = truth.shape[1:]
        near = np.broadcast_to(border_class(height, width, model.scale) <= 1, truth.shape)
        for level, of_level in figures.items():
            reach = model.calibration.half_width(level, N) * std + 0.5
            lower, upper = np.maximum(mean - reach, 0), np.minimum(mean + reach, 255)
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
    estimators="share of pixels and bands with lower <= truth <= upper, no pixel left out",
    notes={
        "members": f"n = {N}; coverage by image, averaged over images, standard error from between images; "
        "border: within 2 low-resolution pixels of it; width in grey levels",
        "warned about": "share of images whose input the model's own check calls unlike those it was calibrated on",
    },
)
def command(
    data: Data,
    model: ModelName = "natural-x4",
    sets: Annotated[tuple[str, ...], option(type=click.Choice(SETS))] = SETS,
    limit: Limit = None,
) -> Result:
    """One row a set and level."""
    network = bayesr.load(model)
    rows: list[dict[str, Any]] = []
    for name in sets:
        rows += evaluate(network, name, dict(list(read_set(data, name, network.scale).items())[:limit]))
        click.echo(f"{name} done", err=True)
    calibration = network.calibration
    return Result(
        rows,
        {
            "model": f"{network.name}, {network.sha256[:12]}",
            "calibrated on": f"{calibration.source}; {calibration.images} of them for the intervals",
        },
    )
