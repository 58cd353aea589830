"""Compare plausible vessel masks of retinas with those of two annotators.

    bayesr bench annotators --data FOLDER --keep MODELS

FOLDER holds CHASE_DB1 as ``chase_db1/hr``, ``chase_db1/vessel_1st`` and ``chase_db1/vessel_2nd``: 28 images, both
eyes of 14 children. Every system is trained once for each fold of children, and measured on the held-out children.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from bayesr.files import make_folder
from bayesr.segmentation.agreement import correlation
from bayesr.segmentation.cases import Case
from bayesr.segmentation.fit import folds
from bayesr_bench import measures
from bayesr_bench.harness import Result, option, significant, table
from bayesr_bench.options import NEW_FOLDER, Count, Data, Members, Seed
from bayesr_bench.paired import Comparison, compare
from bayesr_bench.retina import FACTOR, retina
from bayesr_bench.vessel_networks import FURTHER_RATE, RATE, REFERENCE, SIZES, Terms, measure_fold, systems

_RESAMPLES = 500

COLUMNS = {
    "QUBIQ Dice": "qubiq_dice",
    "Dice": "dice",
    "energy distance": "energy_distance",
    "fair energy distance": "energy_distance_fair",
    "correlation over pixels": "correlation",
    "correlation over marked pixels": "correlation_marked",
}
"""Columns of the table, and the figures of `bayesr.segmentation.agreement.agreement` that they average."""

Row = dict[str, Any]
Array = NDArray[Any]


def rows_of(figures: Sequence[Row]) -> list[Row]:
    """Return one row per system, from figures by image: means, standard errors, and comparisons with the U-Net."""
    by_system: dict[str, list[Row]] = {}
    for one in figures:
        by_system.setdefault(one["system"], []).append(one)
    for rows in by_system.values():
        rows.sort(key=lambda one: str(one["case"]))
    over_images = _compared({name: _values(rows, "energy_distance") for name, rows in by_system.items()})
    over_children = _compared({name: _by_group(rows, "energy_distance") for name, rows in by_system.items()})
    table = []
    for name, rows in by_system.items():
        row: Row = {"system": name, "images": len(rows)}
        row |= measures.averages({column: _values(rows, figure).tolist() for column, figure in COLUMNS.items()})
        predicted, true = (_values(rows, figure) for figure in ("predicted_share", "true_share"))
        row["correlation over images"] = correlation(predicted, true)
        row["correlation over images ±"] = resampled_error(predicted, true, [str(one["group"]) for one in rows])
        row["predicted share"], row["true share"] = float(predicted.mean()), float(true.mean())
        against = over_images.get(name)
        row["energy distance minus U-Net's"] = against.difference if against else float("nan")
        row["effect"] = against.effect if against else float("nan")
        row["p, images"] = against.p_holm if against else float("nan")
        row["p, children"] = over_children[name].p_holm if against else float("nan")
        table.append(row)
    return table


def _compared(values: dict[str, Array]) -> dict[str, Comparison]:
    """Compare each system with the U-Net."""
    found = compare(values, [(name, REFERENCE) for name in values if name != REFERENCE])
    return {one.first: one for one in found}


def resampled_error(first: Array, second: Array, groups: Sequence[str]) -> float:
    """Return the standard error of a correlation, by the bootstrap over groups."""
    random, names = np.random.default_rng(0), sorted(set(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    found = []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
        found.append(correlation(first[chosen], second[chosen]))
    return float(np.nanstd(found, ddof=1)) if np.isfinite(found).sum() > 1 else float("nan")


def _values(rows: Sequence[Row], figure: str) -> Array:
    return np.array([row[figure] for row in rows], float)


def _by_group(rows: Sequence[Row], figure: str) -> Array:
    """Return the mean of a figure over each group."""
    groups = np.array([row["group"] for row in rows])
    return np.array([_values(rows, figure)[groups == name].mean() for name in sorted(set(groups))])


@table(
    rounding=significant(4),
    estimators="means over images; energy distance fair in masks and annotators",
    notes={
        "QUBIQ Dice": "mean over thresholds 0.1, ..., 0.9 of the Dice of the annotators' mean map with the "
        "probability map (of the Probabilistic U-Net the mean of 16 draws)",
        "Dice": "of the probability map from 0.5 on, mean over annotators",
        "correlation": "Pearson's, of predicted p(1-p) with the annotators': over the pixels of an image, all or only "
        "those that an annotator marked; over images, of the predicted and the true share of pixels in which "
        "annotators differ",
        "±": "standard error over images; of the correlation over images by the bootstrap over children",
        "p": "Wilcoxon's signed-rank test of the energy distance against the U-Net's, over images or over children "
        "(means of both eyes), Holm-corrected over rows; effect: matched-pairs rank-biserial, negative where lower",
    },
)
def command(
    data: Data,
    count: Annotated[int, option("--folds", type=click.IntRange(min=2), help="Folds of children.")] = 3,
    steps: Annotated[Count, "Training steps of the first U-Net."] = 300,
    further: Annotated[Count, "Training steps of each system."] = 200,
    batch: Annotated[Count, "Patches per step."] = 2,
    patch: Annotated[int, option(type=click.IntRange(min=16), help="Side of a patch, in downsampled pixels.")] = 240,
    beta: Annotated[float, "Weight of the Probabilistic U-Net's divergence."] = 1.0,
    n: Annotated[Members, "Plausible masks per image."] = 16,
    seed: Annotated[Seed, "Seed of folds, weights, patches and masks."] = 0,
    keep: Annotated[
        Path,
        option(
            type=NEW_FOLDER, help="Folder for networks and checkpoints: networks that it holds are not trained again."
        ),
    ] = Path("annotators"),
) -> Result:
    """Return one row per system."""
    cases, terms = retina(data), Terms(steps, further, batch, patch, seed, keep)
    make_folder(keep)
    figures: list[Row] = []
    for k, fold in enumerate(folds(cases, count, seed)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + k)
            figures += measure_fold(systems(beta), fold, k, n, terms)
        if k + 1 < count:
            for row in rows_of(figures):  # so that systems can be compared early
                click.echo(json.dumps(row), err=True)
    return Result(rows_of(figures), _notes(cases, count, n, beta, terms))


def _notes(cases: Sequence[Case], count: int, n: int, beta: float, terms: Terms) -> dict[str, str]:
    height, width = cases[0].image.shape[1:]
    return {
        "images": f"CHASE_DB1, {len(cases)} images of {len({case.group for case in cases})} children, 2 annotators; "
        f"green band at 1/{FACTOR} of the size ({height} x {width}), means of pixels, masks where at least half of "
        f"the pixels are marked; {count} folds of children",
        "training": f"in each fold a U-Net from random weights, {terms.steps} steps, rate {RATE:g}, cross-entropy with "
        f"both annotators; all systems start from it and are trained {terms.further} steps more, rate "
        f"{FURTHER_RATE:g} (the QUBIQ study trained pretrained encoders long, at 1e-5): cross-entropy and Adam, but "
        f"Tversky and Nadam for the annotator ensemble; {terms.batch} patches of {terms.patch} x {terms.patch} per "
        f"step; seed {terms.seed}; beta = {beta:g}; U-Nets of width {SIZES['width']:g}, depth {SIZES['depth']}",
        "energy distance": f"generalised, d = 1 - IoU, all pairs as published, n = {n} masks (maps from 0.5 on; of "
        "the annotator ensemble its two in turn); fair: pairs of different masks only, unbiased in n and in the "
        "number of annotators",
    }
