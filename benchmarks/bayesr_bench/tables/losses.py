"""Compare five losses of segmentation over the folds of a cross-validation, on fluorescence nuclei.

    bayesr bench losses --train FOLDER

FOLDER holds ``images`` and ``labels`` with files of equal names. Only the fluorescence images are used, which are grey
files with a dark background. Every loss trains the same network from the same weights on the same patches. Dice,
Jaccard and precision are those of the foreground at probability 0.5, averaged over the held-out images of a fold. The
table has their mean and standard deviation over folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np

from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.cases import Case, folders
from bayesr.segmentation.fit import cross_validate
from bayesr.segmentation.losses import LOSSES
from bayesr_bench.harness import Result, option, table
from bayesr_bench.options import FOLDER, Count, Keep, Limit, Seed
from bayesr_bench.sets import is_dark

FIGURES = ("dice", "jaccard", "precision")


def fluorescence(folder: Path) -> list[Case]:
    """Read the grey images with a dark background in ``folder/images``, and their objects in ``folder/labels``."""
    cases = folders(folder / "images", folder / "labels")
    return [case for case in cases if len(case.image) == 1 and is_dark(case.image)]


def rows_of(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per loss, from the rows of `bayesr.segmentation.fit.cross_validate`."""
    rows = []
    for loss in dict.fromkeys(result["loss"] for result in results):
        own = [result for result in results if result["loss"] == loss]
        row: dict[str, Any] = {"loss": loss}
        for figure in FIGURES:
            values = np.array([result[figure] for result in own])
            row[figure] = f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"
        row |= {"folds": len(own), "parameters": own[0]["parameters"], "steps": own[0]["steps"]}
        rows.append(row | {"seconds a fold": round(float(np.mean([result["seconds"] for result in own])), 1)})
    return rows


@table(
    estimators="of the foreground at probability 0.5: mean over a fold's held-out images, then mean ± standard "
    "deviation (ddof=1) over folds",
)
def command(
    train: Annotated[Path, option(type=FOLDER, help="Folder with the folders images and labels.")],
    losses: Annotated[tuple[str, ...], option(type=click.Choice(list(LOSSES)), help="Loss; may be repeated.")] = tuple(
        LOSSES
    ),
    folds: Annotated[int, option(type=click.IntRange(min=2), help="Folds over the images.")] = 5,
    steps: Annotated[int, "Steps of each training."] = 250,
    batch: Annotated[Count, "Patches per step."] = 8,
    patch: Annotated[int, "Pixels along a side of a patch."] = 96,
    width: Annotated[float, "Factor on MobileNetV2's channels."] = 0.35,
    depth: Annotated[int, "Number of times that the encoder halves the image size."] = 4,
    rate: Annotated[float, "Highest learning rate."] = 2e-3,
    seed: Seed = 0,
    limit: Annotated[Limit, "Number of images, for a quick look."] = None,
    workers: Annotated[int, "Number of trainings at the same time."] = 1,
    keep: Annotated[Keep, "Folder for results and checkpoints, to resume from."] = None,
) -> Result:
    """Return one row per loss."""
    cases = fluorescence(train)[:limit]
    results = cross_validate(
        cases, partial(MobileUNet, 1, 1, width, depth), losses, folds,
        seed=seed, workers=workers, keep=keep, report=_report,
        steps=steps, batch=batch, patch=patch, rate=rate, scaling="percentiles",
    )  # fmt: skip
    notes = {
        "data": f"{len(cases)} fluorescence images of {train.name}, {folds} folds over images",
        "network": f"U-Net with a MobileNetV2 encoder of width {width:g}, depth {depth}, from random weights",
        "training": f"{steps} steps of {batch} patches of {patch}x{patch}, Adam, rate {rate:g} falling along a cosine; "
        "patches rotated, mirrored, changed in contrast, level and gamma; the same initial weights and patches for "
        "every loss",
    }
    return Result(rows_of(results), notes)


def _report(row: dict[str, Any]) -> None:
    figures = ", ".join(f"{figure} {row[figure]:.4f}" for figure in FIGURES)
    click.echo(f"{row['loss']}, fold {row['fold']}: {figures} ({row['seconds']:.0f} s)", err=True)
