"""Compare with baselines on equal terms: samplers of deepinv, ensembles, quantile regression, rcGAN.

    bayesr bench baselines --data FOLDER --train PHOTOGRAPHS --budget 600 --models MODELS

The samplers of deepinv are those of the package, with a denoiser that is trained here. No packages are known for
MC-dropout, deep ensembles, quantile regression with risk-controlling intervals, and rcGAN in super-resolution: these
are recipes of bayesr's own trainer. All are trained for the same processor seconds on the same images with the same
seed. The bundled model, which was trained for longer, is listed apart.
"""

from __future__ import annotations

import functools
import json
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import click

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.calibration.intervals import images_for
from bayesr.errors import InvalidArgument
from bayesr.files import make_folder
from bayesr.model.catalogue import locate
from bayesr.model.header import read_header
from bayesr.training.data import middle
from bayesr_bench import conformal, denoiser, timing
from bayesr_bench.baselines import (
    BUNDLED,
    CALIBRATED_SIDE,
    DENOISER,
    OURS,
    RCPS,
    SAMPLERS,
    SIDE,
    Outcome,
    System,
    measure,
    prepare,
    reused,
    sampled,
)
from bayesr_bench.comparison import REFERENCE, aims, rows_of, title, winners
from bayesr_bench.deepinverse import described
from bayesr_bench.harness import Result, option, table
from bayesr_bench.measures import Scores
from bayesr_bench.options import (
    Data,
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
from bayesr_bench.protocol import check_protocol
from bayesr_bench.scores import DIFFERENCE, ESTIMATORS, LOW_RESOLUTION, ROUNDS, SHOWN, Row, seconds_of
from bayesr_bench.sets import SCALE, Picture
from bayesr_bench.training import LEVEL, Archives, Domain, Task, pack, prepared
from bayesr_bench.training import SIDE as MODEL_SIDE

PICTURES = Domain(3, {"set14": 1, "bsd100": 10})
RECIPES = (*OURS, "mc-dropout", "ensemble", "rcgan", "quantile")
POINT = "bicubic"
ROWS = (*RECIPES, RCPS, *SAMPLERS, BUNDLED, POINT)
PARTS = 4
"""Parts of the images of a slow sampler, each measured by a process of its own."""
_SMALL_SIDE, _SMALL = 96, 100
"""Of a small budget: the side of the held-out images' central crops, in pixels, and the number of training images."""
SMALL = tuple(name for name in ROWS if name not in ("bayes-srgan", "PiGDM", BUNDLED))
"""The rows of a small budget."""
_TRAINING = (
    "{:g} processor seconds of training steps for each recipe, and for the denoiser, one thread; reading images, "
    "calibration and measuring are not counted; small networks of similar cost, as in `bayesr bench systems`"
)
_DEEPINV = (
    "{}, its samplers and its network; the denoiser is a small DRUNet, trained here; parameters of the samplers have "
    "the lowest CRPS among a few, on 64x64 crops of five training images that are not measured: DDRM of 10 and 20 "
    "steps, noise from 0.3 or 1 down to 0.005 or 0.02, eta 0.7 to 1 (half the steps were nearly as good; DiffPIR of 20 "
    "and 50 steps, with zeta 0.3 and 1, was no better); PiGDM of 10 to 30 steps, from 0.2 to 1 down to 0.005 to 0.03, "
    "weight 1 and 1.5; SK-ROCK of 8 to 15 stages, prior smoothed by 0.02 to 0.1 and weighted 1 to 2, noise 0.0011 to "
    "0.01, iterated until more was not worth its time"
)


# -- training and measuring ----------------------------------------------------------------------


def _system(name: str, task: Task, keep: Path, small: bool) -> System:
    """Return a system with its model file: the denoiser's for samplers, the quantile recipe's for `RCPS`."""
    of_file = DENOISER if name in SAMPLERS else "quantile" if name == RCPS else name
    file = locate(BUNDLED) if name == BUNDLED else keep / f"natural-{of_file}.safetensors"
    return System(name, replace(task, recipe=of_file, model=file), small)


def _prepare(systems: Mapping[str, System], workers: int) -> list[str]:
    """Make the files that do not exist: networks first, then calibrations of samplers. Return those that exist."""
    networks = {one.task.model: replace(one, name=one.task.recipe) for one in systems.values()}
    networks.pop(locate(BUNDLED), None)
    samplers = [one for name, one in systems.items() if name in SAMPLERS]
    found = reused([*networks.values(), *samplers])
    for stage in (list(networks.values()), samplers):
        _results(run_each(prepare, stage, workers))
    return found


def _measured(
    systems: Mapping[str, System], pictures: Mapping[str, Sequence[Picture]], workers: int
) -> dict[str, Outcome]:
    """Measure all systems: slow ones first, in parts."""
    slow = [replace(one, share=(k, PARTS)) for k in range(PARTS) for name, one in systems.items() if name in SAMPLERS]
    quick = [one for name, one in systems.items() if name not in SAMPLERS]
    found = _results(run_each(functools.partial(measure, pictures=pictures), [*slow, *quick], workers))
    return {name: merged([part for part in found if part[0].name == name]) for name in systems}


def _results(results: Iterable[tuple[System, Any]]) -> list[tuple[System, Any]]:
    """Collect results. An error ends the table: without one of its baselines it would make false statements."""
    found = []
    for one, result in results:
        if isinstance(result, BaseException):
            click.echo("".join(traceback.format_exception(result)), err=True)
            raise click.ClickException(f"{one.name} failed, with the error above. Nothing was recorded.")
        click.echo(f"{one.name} {one.share[0] + 1}/{one.share[1]} done", err=True)
        found.append((one, result))
    return found


def merged(parts: Sequence[tuple[System, Outcome]]) -> Outcome:
    """Merge the outcomes of shares of the images, in the order of the images."""
    ordered = sorted(parts, key=lambda part: part[0].share[0])
    of_parts = [result.scores for _, result in ordered]
    scores: dict[str, Scores] = {}
    for name in of_parts[0]:
        figures = next(part[name] for part in of_parts if part[name])
        scores[name] = {figure: _interleaved([part[name].get(figure, []) for part in of_parts]) for figure in figures}
    return Outcome(scores, ", ".join(result.independent for _, result in ordered if result.independent))


def _interleaved(parts: Sequence[Sequence[float]]) -> list[float]:
    return [part[k] for k in range(max(map(len, parts))) for part in parts if k < len(part)]


def timed(systems: Mapping[str, System], n: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the seconds of all outputs of a 64x64 image by each system, and their ratio to the reference's.

    Models are timed in turn with the reference. Samplers of deepinv run once.
    """
    models = {name: bayesr.load(one.task.model) for name, one in systems.items() if name not in (*SAMPLERS, RCPS)}
    found = seconds_of(models, REFERENCE, n, rounds)
    if RCPS in systems and "quantile" in found:
        found[RCPS] = found["quantile"]  # the same members; the time of widening is negligible
    example = timing.example()[:64, :64]
    for name in SAMPLERS:
        if name in systems:
            net, _ = denoiser.load(systems[name].task.model)
            picture = Picture(example.repeat(SCALE, 0).repeat(SCALE, 1), False)  # the truth has no effect on the time
            begun = time.perf_counter()
            sampled(systems[name].sampler, net, Calibration(), picture, n, 0)
            seconds = time.perf_counter() - begun
            found[name] = seconds, seconds / found[REFERENCE][0] if REFERENCE in found else float("nan")
    return found


def _costs(system: System) -> Row:
    """Return the columns about a system's training."""
    card = read_header(system.task.model)["card"]
    return {"parameters": card["parameters"], "processor seconds": card.get("processor_seconds", float("nan"))}


def _described(system: System) -> str:
    spent = json.loads(system.calibrated.read_text())["processor_seconds"]
    return f"{described(system.sampler)}; calibrated in {spent:.0f} processor seconds"


# -- the table -----------------------------------------------------------------------------------


@table(
    estimators=ESTIMATORS,
    seconds={"small": 5, "full": 600},
    small={"systems": SMALL, "n": 8, "held_out": 40, "limit": 2},
    notes={
        "pictures": f"Set14, and every tenth image of BSD100: the central {SIDE}x{SIDE} low-resolution pixels of each, "
        "since samplers are slow; downsampled by antialiased bicubic x4 and rounded to 8 bits, for all alike",
        "no packages": "are known for MC-dropout, deep ensembles, quantile regression and rcGAN in super-resolution: "
        "these rows are recipes of bayesr's own trainer, after the publications",
        title(BUNDLED): "was trained for longer, in several steps: not on equal terms, and in no statement here",
        RCPS: "the members of quantile; its quantiles of 5% and 95% are widened so that, with a probability of "
        f"{1 - conformal.DELTA:g} over the held-out images, at most {conformal.ALPHA:g} of pixels are missed "
        "(Hoeffding-Bentkus); a stricter guarantee than that of the others, which holds on average over held-out "
        "images",
        "covered, width": f"of the {LEVEL:.0%} interval, calibrated on the held-out images by bayesr.calibration for "
        f"all but {RCPS}: models on their central {MODEL_SIDE}x{MODEL_SIDE} pixels ({_SMALL_SIDE}x{_SMALL_SIDE} with a "
        f"small budget), samplers of deepinv on {CALIBRATED_SIDE * SCALE}x{CALIBRATED_SIDE * SCALE}, since they are "
        "slow; raw: mean -+ Student's t times the members' standard deviation, uncalibrated",
        "off nominal": f"the distance of covered to {LEVEL:g}",
        f"minus {REFERENCE}'s": DIFFERENCE,
        "PSNR, member PSNR": f"of the mean of all members, and of single ones ({SHOWN}): Y, 4 pixels shaved, peak 255",
        "LR-PSNR": LOW_RESOLUTION,
        "seconds": f"for all outputs of a 64x64 image, in this process; medians of {ROUNDS}, in turn with {REFERENCE}; "
        "samplers of deepinv once",
    },
)
def command(
    data: Data,
    budget: TrainingBudget,
    train: Photographs = (),
    systems: Annotated[tuple[str, ...], option(type=click.Choice(ROWS), help="May be repeated; by default all.")] = (),
    n: Members = 32,
    seed: Annotated[Seed, "Of training, members, and the calibration's halves."] = 0,
    held_out: Annotated[
        int,
        option(
            type=click.IntRange(min=max(2 * images_for(LEVEL), conformal.fewest())),
            help="Training images to calibrate on instead.",
        ),
    ] = 100,
    workers: Annotated[Workers, "Rows at a time."] = 2,
    limit: Limit = None,
    models: ModelsFolder = None,
) -> Result:
    """One row for each set and system."""
    names = [name for name in ROWS if not systems or name in systems]
    if set(names) & set(SAMPLERS):
        denoiser.deepinv()  # a missing package is reported before any work
    folders = train or training_folders(data, "natural")
    if not folders:
        raise InvalidArgument("There is nothing to train on: give --train, or a folder train beside the sets.")
    check_protocol(data, list(PICTURES.sets))
    pictures = _pictures(data, limit)
    small = budget.name == "small"
    with tempfile.TemporaryDirectory() as scratch:
        keep = models or Path(scratch)
        make_folder(keep)
        archives = _archives(folders, held_out, small, Path(scratch))
        task = Task("", "natural", archives, data, keep, budget.seconds, n, seed, limit)
        chosen = {name: _system(name, task, keep, small) for name in names}
        found = _prepare(chosen, workers)
        results = _measured(chosen, pictures, workers)
        times = timed(chosen, n, ROUNDS)
        rows = rows_of(results, {name: _costs(one) for name, one in chosen.items()}, times, n)
        samplers = {title(name): _described(one) for name, one in chosen.items() if name in SAMPLERS}
    notes = {"training": _TRAINING.format(budget.seconds), "images": archives.facts}
    notes |= ({"deepinv": _DEEPINV.format(version("deepinv"))} if samplers else {}) | samplers
    if "Langevin" in results:
        worth = results["Langevin"].independent
        notes["Langevin's members are worth"] = f"{worth} independent members, by their correlation"
    notes |= {"made before, on the same terms": ", ".join(found) or "none"} | aims(rows)
    notes[f"better than {REFERENCE}"] = "; ".join(winners(rows)) or "none"
    return Result(rows, notes)


def _pictures(data: Path, limit: int | None) -> dict[str, list[Picture]]:
    return {
        name: [one._replace(pixels=middle(one.pixels, SIDE * SCALE)) for one in PICTURES.pictures(name, data, limit)]
        for name in PICTURES.sets
    }


def _archives(folders: Sequence[Path], held_out: int, small: bool, scratch: Path) -> Archives:
    training, kept = prepared("natural", folders, held_out)
    if small:
        training = training.take(range(len(training.names))[:_SMALL])
        kept = kept.middles(_SMALL_SIDE)
    return pack(training, kept, folders, scratch / "natural")
