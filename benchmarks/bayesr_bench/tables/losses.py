"""Five losses of segmentation over the folds of a cross-validation, on fluorescence nuclei.

    bayesr bench losses --train FOLDER

FOLDER holds ``images`` and ``labels``, files of equal names, of which the fluorescence images count: grey files of a
dark background. Every loss trains the same network from the same weights on the same patches. Dice, Jaccard and
precision are of the foreground at probability 0.5: averaged over the images that a fold holds out, then given as
mean and standard deviation over folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from bayesr.networks.mobile_unet import MobileUNet
from bayesr.segmentation.cases import Case, folders
from bayesr.segmentation.fit import cross_validate
from bayesr.segmentation.losses import LOSSES
from bayesr_bench.options import out_option
from bayesr_bench.record import NONE, record

FIGURES = ("dice", "jaccard", "precision")
_MIDDLE = 127.5


def fluorescence(folder: Path) -> list[Case]:
    """The grey images of a dark background in ``folder/images``, with their objects in ``folder/labels``."""
    cases = folders(folder / "images", folder / "labels")
    return [case for case in cases if len(case.image) == 1 and np.median(case.image) < _MIDDLE]


def rows_of(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a loss, of what `cross_validate` returns."""
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


@click.command()
@click.option(
    "--train",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with images and labels.",
)
@click.option("--losses", multiple=True, type=click.Choice(list(LOSSES)), default=list(LOSSES), help="May be repeated.")
@click.option("--folds", default=5, show_default=True)
@click.option("--steps", default=250, show_default=True, help="Of each training.")
@click.option("--batch", default=8, show_default=True)
@click.option("--patch", default=96, show_default=True, help="Pixels along a side.")
@click.option("--width", default=0.35, show_default=True, help="Factor on MobileNetV2's channels.")
@click.option("--depth", default=4, show_default=True, help="How often the encoder halves the size.")
@click.option("--rate", default=2e-3, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--limit", type=int, help="Images, for a quick look.")
@click.option("--workers", default=1, show_default=True, help="Trainings at a time.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for results and checkpoints, to go on from.")
@out_option
def command(
    train: Path,
    losses: tuple[str, ...],
    folds: int,
    steps: int,
    batch: int,
    patch: int,
    width: float,
    depth: int,
    rate: float,
    seed: int,
    limit: int | None,
    workers: int,
    keep: Path | None,
    out: Path,
) -> None:
    """Five losses of segmentation over the folds of a cross-validation."""
    cases = fluorescence(train)[:limit]
    results = cross_validate(
        cases,
        partial(MobileUNet, 1, 1, width, depth),
        losses,
        folds,
        seed=seed,
        workers=workers,
        keep=keep,
        report=_say,
        steps=steps,
        batch=batch,
        patch=patch,
        rate=rate,
        scaling="percentiles",
    )
    notes = {
        "data": f"{len(cases)} fluorescence images of {train.name}, {folds} folds over images",
        "network": f"U-Net with a MobileNetV2 encoder of width {width:g}, depth {depth}, from random weights",
        "training": f"{steps} steps of {batch} patches of {patch}x{patch}, Adam, rate {rate:g} falling along a cosine; "
        "patches turned, mirrored, changed in contrast, level and gamma; the same weights and patches for every loss",
    }
    estimators = (
        "of the foreground at probability 0.5: mean over a fold's held-out images, then mean ± standard deviation "
        "(ddof=1) over folds"
    )
    record("losses", rows_of(results), notes, out, seed=seed, n=NONE, estimators=estimators)


def _say(row: dict[str, Any]) -> None:
    figures = ", ".join(f"{figure} {row[figure]:.4f}" for figure in FIGURES)
    click.echo(f"{row['loss']}, fold {row['fold']}: {figures} ({row['seconds']:.0f} s)", err=True)
