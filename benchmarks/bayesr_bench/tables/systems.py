"""Train every recipe for an equal time on equal data, and score it.

    bayesr bench systems --data FOLDER --train PHOTOGRAPHS --fluorescence NUCLEI --budget 600 --models MODELS

Each recipe is trained for the same processor seconds on the same images with the same seed. Recipes that draw members
are calibrated on the same held-out images. All are measured on the same sets: photographs on Set14 and every fifth
image of BSD100, fluorescence (grey images with a dark background) on nuclei. The stages of a recipe keep their
proportions.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np

import bayesr
from bayesr.calibration.intervals import images_for
from bayesr.errors import InvalidArgument
from bayesr.files import make_folder
from bayesr.training.recipes import names, recipe
from bayesr_bench.compact import BATCH, PATCH
from bayesr_bench.evaluation import Outcome, distance, evaluate
from bayesr_bench.harness import Result, option, table
from bayesr_bench.options import (
    Data,
    Fluorescence,
    Limit,
    Members,
    ModelsFolder,
    Photographs,
    Seed,
    TrainingBudget,
    Workers,
    training_folders,
)
from bayesr_bench.processes import run_each
from bayesr_bench.protocol import PUBLISHED, check_protocol
from bayesr_bench.scores import (
    COMPARED,
    DIFFERENCE,
    ESTIMATORS,
    LOW_RESOLUTION,
    ROUNDS,
    SHOWN,
    Row,
    Times,
    averaged,
    compared,
    rounded_cells,
    seconds_of,
)
from bayesr_bench.spectra import WHOLE
from bayesr_bench.training import DOMAINS, LEVEL, SIDE, Task, check_terms, pack, prepared, terms_of

REFERENCE = "bayes-srgan"
SMALL = ("bayes-srgan", "bayes-sr", "rcgan", "srresnet", "bicubic")
"""The recipes of a small budget."""
FIGURES = ("PSNR", "SSIM", "member PSNR", "covered", "width", "spread/skill", "LR-PSNR")
"""Scores that are not compared with the reference."""


# -- rows ----------------------------------------------------------------------------------------


def row_of(name: str, outcome: Outcome, reference: Outcome | None) -> Row:
    """Return the scores of a recipe on a set, and its differences from the reference."""
    scores = outcome.scores[name]
    row: Row = dict(outputs=str(outcome.outputs) if outcome.outputs > 1 else "1: its CRPS is the MAE")
    row |= averaged(scores, [figure for figure in FIGURES if figure in scores])
    row["power, decades off"] = distance(outcome.decades[name])
    return row | compared(scores, None if reference is None else reference.scores[name], REFERENCE)


def rows_of(outcomes: Mapping[str, Outcome], cards: Mapping[str, Mapping[str, Any]], times: Times) -> list[Row]:
    """Return the rows of a domain set by set, sorted by CRPS."""
    rows: list[Row] = []
    for name in next(iter(outcomes.values())).scores if outcomes else ():
        of_set = []
        for label, outcome in outcomes.items():
            card, (seconds, over) = cards[label], times[label]
            count = len(outcome.scores[name]["PSNR"])
            row: Row = {"set": f"{name} ({count})", "recipe": label}
            row |= row_of(name, outcome, outcomes.get(REFERENCE))
            row |= {"parameters": card["parameters"], "seconds": seconds, f"seconds / {REFERENCE}'s": over}
            row |= {"steps": sum(card["steps"].values()), "processor seconds": card["processor_seconds"]}
            of_set.append(row | {"images": card["images"]})
        rows += sorted(of_set, key=lambda row: float(row["CRPS"]))
    return rounded_cells(rows)


def winners(rows: Sequence[Row]) -> list[str]:
    """Return a statement for every row that has a lower CRPS or energy score than the reference."""
    statements = []
    for figure in COMPARED:
        for row in rows:
            lower, error = -row[f"{figure} minus {REFERENCE}'s"], row[f"{figure} minus {REFERENCE}'s ±"]
            if not lower > 0:
                continue
            other = next(one for one in rows if one["set"] == row["set"] and one["recipe"] == REFERENCE)
            spread = "no spread" if np.isnan(row["spread/skill"]) else f"spread/skill {row['spread/skill']:.2f}"
            statements.append(
                f"{row['recipe']} beats {REFERENCE} in {figure} on {row['set']} by {lower:.3g} ± {error:.2g}, with "
                f"{row['PSNR'] - other['PSNR']:+.2f} dB of PSNR and {spread} instead of {other['spread/skill']:.2f}"
            )
    return statements


# -- the table -----------------------------------------------------------------------------------


@table(
    estimators=ESTIMATORS,
    seconds={"small": 12, "full": 600},
    small={"domains": ("natural",), "recipes": SMALL, "n": 8, "held_out": 2 * images_for(LEVEL), "limit": 4},
    notes={
        "outputs": "n members of recipes that draw them, PSNR and SSIM of their mean (Y, or grey values, 4 pixels "
        "shaved, peak 255); 1 of point estimators, which have neither coverage nor spread",
        f"minus {REFERENCE}'s": DIFFERENCE,
        "covered, width": f"of the {LEVEL:.0%} interval, calibrated on the central {SIDE}x{SIDE} pixels of the "
        "held-out images",
        "power, decades off": f"mean over frequencies up to {WHOLE:g} cycles per pixel of |log10| of the power of "
        f"single outputs ({SHOWN} members) over the truth's, averaged over images; rounded to 8 bits",
        "LR-PSNR": LOW_RESOLUTION,
        "member PSNR": f"of {SHOWN} members",
        "seconds": f"for all outputs of a 64x64 image; medians of {ROUNDS}, in turn with {REFERENCE}, after all else",
        "images": "training images that are as large as the recipe's patches",
    },
)
def command(
    data: Data,
    budget: TrainingBudget,
    train: Photographs = (),
    fluorescence: Fluorescence = (),
    domains: Annotated[
        tuple[str, ...],
        option(
            "--domain", type=click.Choice(list(DOMAINS)),
            help="May be repeated. By default all domains with training images, given or beside the sets.",
        ),
    ] = (),
    recipes: Annotated[tuple[str, ...], "May be repeated; by default all."] = (),
    n: Members = 32,
    seed: Annotated[Seed, "Of training, members, and the calibration's halves."] = 0,
    held_out: Annotated[
        int,
        option(type=click.IntRange(min=2 * images_for(LEVEL)), help="Training images to calibrate on instead."),
    ] = 40,
    workers: Annotated[Workers, "Recipes at a time."] = 2,
    limit: Limit = None,
    models: ModelsFolder = None,
    whole: Annotated[bool, "Recipes of their own sizes, not of those that train in minutes."] = False,
) -> Iterator[Result]:  # fmt: skip
    """One row for each set and recipe; recipes that fail are named at the end."""
    folders = _folders(data, {"natural": train, "fluorescence": fluorescence}, domains)
    systems = list(dict.fromkeys(recipes)) or names()
    _check(data, folders, systems, limit)
    with tempfile.TemporaryDirectory() as scratch:
        keep = models or Path(scratch)
        make_folder(keep)
        facts, tasks = {}, []
        for name, sources in folders.items():
            archives = pack(*prepared(name, sources, held_out), sources, Path(scratch) / name)
            facts[f"images, {name}"] = archives.facts
            tasks += [
                Task(
                    one, name, archives, data, keep / f"{name}-{one}.safetensors", budget.seconds, n, seed, limit, whole
                )
                for one in systems
            ]
        reused = _reused(tasks)
        outcomes, failed = _all(tasks, workers)
        rows = [row for name in folders for row in _rows_of_domain(name, outcomes, n)]
    if rows:
        notes = _notes(budget.seconds, whole) | facts
        notes["trained before, within the same budget"] = ", ".join(reused) or "none"
        notes |= {"failed": ", ".join(failed)} if failed else {}
        notes[f"better than {REFERENCE}"] = "; ".join(winners(rows)) or "none"
        yield Result(rows, notes)
    if failed:
        raise click.ClickException(f"These failed and have no rows: {', '.join(failed)}. The errors are shown above.")


def _folders(data: Path, given: Mapping[str, tuple[Path, ...]], domains: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Return the training folders of each domain; by default of all domains that have training images."""
    anything = bool(domains) or any(given.values())
    found = {
        name: folders or (training_folders(data, name) if name in domains or not anything else ())
        for name, folders in given.items()
    }
    chosen = tuple(dict.fromkeys(domains)) or tuple(name for name, folders in found.items() if folders)
    return {name: found[name] for name in chosen}


def _check(data: Path, folders: Mapping[str, Sequence[Path]], systems: Sequence[str], limit: int | None) -> None:
    """Check what would otherwise fail after hours of work."""
    if not folders:
        raise InvalidArgument(
            "There is nothing to train on: give --train, --fluorescence, or both; or a folder train beside the sets."
        )
    for name, sources in folders.items():
        if not sources:
            flag = "--train" if name == "natural" else "--fluorescence"
            raise InvalidArgument(f"There is nothing to train on in the domain {name}: give {flag}.")
    for one in systems:
        recipe(one)
    for name in folders:
        check_protocol(data, [one for one in DOMAINS[name].sets if one in PUBLISHED])
        for one in DOMAINS[name].sets:
            if not DOMAINS[name].pictures(one, data, limit):
                raise InvalidArgument(f"The set {one} in {data} has no images to measure on.")


def _reused(tasks: Sequence[Task]) -> list[str]:
    """Return the names of models that exist, after a check of their terms."""
    found = [task for task in tasks if task.model.exists()]
    for task in found:
        check_terms(task.model, terms_of(task.model), task.terms)
    return [task.model.stem for task in found]


def _all(tasks: Sequence[Task], workers: int) -> tuple[dict[Task, Outcome], list[str]]:
    """Return the outcomes, in the order of the tasks, and the names of the tasks that failed."""
    found: dict[Task, Outcome] = {}
    for task, one in run_each(evaluate, tasks, workers):
        if isinstance(one, Outcome):
            found[task] = one
        else:
            click.echo("".join(traceback.format_exception(one)), err=True)
        click.echo(f"{task.model.stem} {'done' if task in found else 'failed'}", err=True)
    ordered = {task: found[task] for task in tasks if task in found}
    return ordered, [task.model.stem for task in tasks if task not in found]


def _rows_of_domain(domain: str, outcomes: Mapping[Task, Outcome], n: int) -> list[Row]:
    here = {task: outcome for task, outcome in outcomes.items() if task.domain == domain}
    loaded = {task.recipe: bayesr.load(task.model) for task in here}
    times = seconds_of(loaded, REFERENCE, n, ROUNDS)
    cards = {name: model.card for name, model in loaded.items()}
    return rows_of({task.recipe: outcome for task, outcome in here.items()}, cards, times)


def _notes(budget: float, whole: bool) -> Row:
    return {
        "training": f"{budget:g} processor seconds of training steps for each recipe, one thread: a few steps of each "
        "stage are timed, then the steps of all stages, and the warm-ups of discriminators, are scaled by one factor; "
        "reading images, timing, calibration and measuring are not counted",
        "sizes": "each recipe's own"
        if whole
        else f"small networks of similar cost, patches {PATCH} and batches {BATCH} for all, learning rates of stages "
        "without discriminators at least 1e-3 (5e-4 for transformers): bayesr_bench.compact",
    }
