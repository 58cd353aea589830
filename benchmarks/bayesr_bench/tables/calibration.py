"""Whether intervals hold: coverage on sets that the calibration has not seen, one of another kind of images.

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
from pathlib import Path
from typing import Any

import click
import numpy as np

import bayesr
from bayesr.coverage import border_class
from bayesr_bench.options import data_option, out_option
from bayesr_bench.record import record
from bayesr_bench.sets import observe, read_set

LEVELS = (0.5, 0.8, 0.9, 0.95)
N = 32
SETS = ("bsd100", "set14", "set5", "aerial")


def evaluate(model: bayesr.Model, name: str, images: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for every level; widths in grey levels."""
    figures: dict[str, dict[float, list[float]]] = {
        figure: {level: [] for level in LEVELS} for figure in ("covered", "width", "border")
    }
    warned = []
    for high, _ in images.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the verdict is read from the product, not heard
            ds = model.sample(observe(high, model.observation), N, dims="yxb", keep_samples=False, progress=False)
        warned.append(str(ds.attrs.get("input_check", "")).startswith("unlike"))
        truth, mean, std = high.transpose(2, 0, 1), ds["mean"].values, ds["std"].values
        height, width = truth.shape[1:]
        near = np.broadcast_to(border_class(height, width, model.scale) <= 1, truth.shape)
        for level in LEVELS:
            reach = model.calibration.half_width(level, N) * std + 0.5
            lower, upper = np.maximum(mean - reach, 0), np.minimum(mean + reach, 255)
            inside = (truth >= lower) & (truth <= upper)
            figures["covered"][level].append(float(inside.mean()))
            figures["width"][level].append(float((upper - lower).mean()))
            figures["border"][level].append(float(inside[near].mean()))
    return [
        {
            "set": f"{name} ({len(images)})",
            "level": level,
            "covered": float(np.mean(covered)),
            "standard error": float(np.std(covered, ddof=1) / np.sqrt(len(covered))) if len(covered) > 1 else np.nan,
            "median image": float(np.median(covered)),
            "worst image": min(covered),
            "at the border": float(np.mean(figures["border"][level])),
            "mean width": float(np.mean(figures["width"][level])),
            "warned about": float(np.mean(warned)),
        }
        for level, covered in figures["covered"].items()
    ]


@click.command()
@data_option
@click.option("--model", default="natural-x4", show_default=True)
@click.option("--sets", multiple=True, type=click.Choice(SETS), default=SETS, show_default=True)
@click.option("--limit", type=int, help="Images per set, for a quick look.")
@out_option
def command(data: Path, model: str, sets: tuple[str, ...], limit: int | None, out: Path) -> None:
    """Coverage of intervals on photographs, and on aerial images that they were not calibrated for."""
    network = bayesr.load(model)
    rows: list[dict[str, Any]] = []
    for name in sets:
        found = evaluate(network, name, dict(list(read_set(data, name, network.scale).items())[:limit]))
        rows += [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in found]
        print(f"{name} done", flush=True)
    calibration = network.calibration
    notes = {
        "model": f"{network.name}, {network.sha256[:12]}",
        "calibrated on": f"{calibration.source}; {calibration.images} of them for the intervals",
        "members": f"n = {N}; coverage by image, averaged over images, standard error from between images; "
        "border: within 2 low-resolution pixels of it; width in grey levels",
        "warned about": "share of images whose input the model's own check calls unlike those it was calibrated on",
    }
    estimators = "share of pixels and bands with lower <= truth <= upper, no pixel left out"
    record("calibration", rows, notes, out, seed=0, n=N, estimators=estimators)
