"""Score retina vessels in each answer to low-resolution images against two annotators.

    bayesr bench annotators --data FOLDER --keep MODELS
    bayesr bench vessels --data FOLDER --keep MODELS

The second command takes the U-Nets that the first one trained, each for the children that it has not seen. Images are
observed at a quarter of their size, answered, and reduced to the size that the U-Nets were trained at.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

import bayesr
from bayesr.errors import InvalidArgument, UnfamiliarInput
from bayesr.model.model import Model
from bayesr.resampling import resize
from bayesr.scoring.paired import compare
from bayesr.segmentation.agreement import agreement
from bayesr.segmentation.cases import Case, folders
from bayesr.segmentation.fit import folds
from bayesr.segmentation.segmenter import Segmenter, load
from bayesr_bench.options import data_option, out_option
from bayesr_bench.record import error_of_mean, record
from bayesr_bench.retina import FACTOR, GREEN, reduced, retina
from bayesr_bench.tables.annotators import COLUMNS
from bayesr_bench.nuclei import ALL

FIGURES = {name: COLUMNS[name] for name in ("QUBIQ Dice", "Dice", "energy distance", "correlation over marked pixels")}
BRIER = "Brier"
TESTED = ("Dice", "energy distance", BRIER)

Array = NDArray[Any]
Row = dict[str, Any]


def answers(case: Case, model: Model, srgan: Model | None, n: int, seed: int) -> dict[str, Array]:
    """Every answer to a colour image's low-resolution version: stacks of green bands, `member x y x x`."""
    s = model.scale
    height, width = (size // s * s for size in case.image.shape[1:])
    high = torch.from_numpy(np.ascontiguousarray(case.image[:, :height, :width]))
    low = model.observation.observe(high.double()).clamp(0, 255).round().to(torch.uint8)
    given = low.permute(1, 2, 0).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)  # that retinas are no photographs is known
        ds = model.sample(given, n, seed=seed, dims="yxb", progress=False)
        found: dict[str, Array] = {
            "high resolution": high[GREEN][None].numpy(),
            "bicubic": resize(low.float(), "bicubic", s)[GREEN][None].numpy(),
        }
        if srgan is not None:
            found["srgan"] = srgan.sample(given, 1, seed=seed, dims="yxb", progress=False)["mean"].to_numpy()[[GREEN]]
    members = ds["samples"].to_numpy()[:, GREEN]
    return found | {"mean": ds["mean"].to_numpy()[[GREEN]], "one member": members[:1], ALL: members}


def measured(case: Case, segmenter: Segmenter, images: dict[str, Array]) -> list[Row]:
    """A row a system: how the segmentation of its answer agrees with what annotators drew on the original."""
    rows = []
    for system, stack in images.items():
        maps = []
        for image in np.asarray(stack, np.float32):
            small = reduced(
                replace(case, image=image[None], masks=case.masks[:, : image.shape[0], : image.shape[1]]), FACTOR
            )
            maps.append(segmenter(small.image, case.value_range).probability)
        p = np.mean(maps, 0)
        drawn = np.stack(maps) >= segmenter.threshold
        figures = agreement(np.stack(maps), small.masks, p, drawn)
        figures[BRIER] = float(np.mean((p - (small.masks > 0)) ** 2))
        rows.append({"system": system, "case": case.name, "group": case.group} | figures)
    return rows


def rows_of(figures: Sequence[Row]) -> list[Row]:
    """Means over images ± standard errors, and all members against each other system."""
    columns = FIGURES | {BRIER: BRIER}
    values = {
        column: {
            system: np.array([one[key] for one in figures if one["system"] == system])
            for system in dict.fromkeys(one["system"] for one in figures)
        }
        for column, key in columns.items()
    }
    systems = list(values[BRIER])
    others = [system for system in systems if system != ALL]
    against = {name: compare(values[name], [(ALL, other) for other in others]) for name in TESTED}
    table = []
    for system in systems:
        row: Row = {"segmentation of": system, "images": len(values[BRIER][system])}
        for column, known in values.items():
            row[column], row[f"{column} ±"] = float(np.nanmean(known[system])), error_of_mean(known[system])
        for name, found in against.items():
            one = next((one for one in found if one.second == system), None)
            row[f"p, {name}"] = float("nan") if one is None else one.p_holm
        table.append(row)
    return [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in table]


@click.command()
@data_option
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True,
    help="Folder of the networks of `bayesr bench annotators`.",
)  # fmt: skip
@click.option("--model", default="natural-x4", show_default=True, help="Draws the members.")
@click.option("--srgan", type=click.Path(path_type=Path, exists=True), help="A trained srgan to compare with.")
@click.option("--folds", "count", default=3, show_default=True, help="As they were trained.")
@click.option("-n", default=16, show_default=True, type=click.IntRange(min=2), help="Members.")
@click.option("--seed", default=0, show_default=True, help="As they were trained; of the members too.")
@click.option("--limit", type=click.IntRange(min=1), help="Images of each fold, for a quick look.")
@out_option
def command(
    data: Path, keep: Path, model: str, srgan: Path | None, count: int, n: int, seed: int, limit: int | None, out: Path
) -> None:
    """What two annotators drew on retinas, against the segmentation of each answer to their reduced images."""
    drawer, rival = bayesr.load(model), bayesr.load(srgan) if srgan else None
    if drawer.bands != 3:
        raise InvalidArgument(f"Retinas are colour images, and {drawer.name} takes {drawer.bands} band(s).")
    colour = {
        case.name: case for case in folders(*(data / "chase_db1" / f for f in ("hr", "vessel_1st", "vessel_2nd")))
    }
    ways = folds(retina(data), count, seed)
    segmenters = [load(keep / f"u-net-{k}.safetensors") for k in range(count)]
    figures: list[Row] = []
    for (training, held_out), segmenter in zip(ways, segmenters, strict=True):
        seen = {case.name for case in training}
        if seen != set(segmenter.card["terms"]["images"]):
            raise InvalidArgument(f"{segmenter.name} was trained on other children: give its --folds and --seed.")
        for small in held_out[:limit]:
            case = replace(colour[small.name], group=small.group)
            figures += measured(case, segmenter, answers(case, drawer, rival, n, seed))
            click.echo(f"{case.name}: Dice of all members {figures[-1]['dice']:.3f}", err=True)
    facts: Row = {
        "images": f"CHASE_DB1, {len(figures) // len({f['system'] for f in figures})} images, 2 annotators; observed "
        f"x{drawer.scale}, answered, reduced to 1/{FACTOR} of the size; {count} folds of children",
        "segmenter": "the U-Nets of `bayesr bench annotators`, trained on high-resolution images of other children",
        "members": f"of {drawer.name} {drawer.sha256[:12]}, which is made for photographs",
        "p": f"Wilcoxon signed-rank, {ALL} against the row's system, over images, Holm over the column",
    }
    estimators = (
        "against both annotators: Dice from probability 0.5 on; energy distance of the masks of all members (of "
        f"others, one mask); Brier against each annotator's pixels; ± standard error over images; of {ALL} the mean "
        "probability"
    )
    record("vessels", rows_of(figures), facts, out, seed=seed, n=n, estimators=estimators)
