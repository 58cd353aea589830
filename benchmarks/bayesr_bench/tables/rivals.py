"""Compare with baselines on equal terms: samplers of deepinv, ensembles, quantile regression, rcGAN.

    bayesr bench rivals --data FOLDER --train PHOTOGRAPHS --budget 600 --models MODELS

Of other packages there are the samplers of deepinv, with a denoiser trained here; there are none of MC-dropout, deep
ensembles, quantile regression with risk-controlling intervals and rcGAN for this task, so those are recipes of
bayesr's own trainer. All are trained for the same processor seconds on the same images with the same seed. The bundled
model, trained for longer, stands apart.
"""

from __future__ import annotations

import functools
import json
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.calibration.intervals import images_for
from bayesr.errors import InvalidArgument, UnfamiliarInput
from bayesr.model.catalogue import locate
from bayesr.model.header import read_header
from bayesr.training.data import ImageSet
from bayesr_bench import conformal, denoiser
from bayesr_bench.contenders import (
    BUNDLED,
    CALIBRATED_SIDE,
    DENOISER,
    OURS,
    RCPS,
    SAMPLERS,
    SIDE,
    Contender,
    Measured,
    drawn,
    known,
    measure,
    middle,
    ready,
)
from bayesr_bench.deepinverse import described
from bayesr_bench.measures import Scores
from bayesr_bench.options import (
    TrainingBudget,
    data_option,
    models_folder_option,
    out_option,
    training_budget_option,
    training_folders,
)
from bayesr_bench.protocol import check_protocol
from bayesr_bench.record import record
from bayesr_bench.sets import SCALE, Picture
from bayesr_bench.standing import REFERENCE, Row, aims, rows_of, title, winners
from bayesr_bench.tables.systems import ESTIMATORS, ROUNDS, checksum, prepared
from bayesr_bench.timing import ratio
from bayesr_bench.trial import LEVEL, SHOWN, Domain, Task, each

PICTURES = Domain(3, {"set14": 1, "bsd100": 10})
RECIPES = (*OURS, "mc-dropout", "ensemble", "rcgan", "quantile")
POINT = "bicubic"
ROWS = (*RECIPES, RCPS, *SAMPLERS, BUNDLED, POINT)
PARTS = 4
"""In which the pictures of a slow sampler are shared out to workers."""
_SMALL_SIDE, _SMALL = 96, 100
"""Of a small budget: the side of the middle of held-out images, in pixels, and how many images it trains on."""
SMALL = tuple(name for name in ROWS if name not in ("bayes-srgan", "PiGDM", BUNDLED))
"""The rows of a small budget."""


# -- work ----------------------------------------------------------------------------------------


def merged(parts: Sequence[tuple[Contender, Measured]]) -> Measured:
    """What shares of the pictures give together, in the pictures' order."""
    ordered = sorted(parts, key=lambda part: part[0].share[0])
    of_parts = [result.scores for _, result in ordered]
    scores: dict[str, Scores] = {}
    for name in of_parts[0]:
        figures = next(part[name] for part in of_parts if part[name])
        scores[name] = {figure: _interleaved([part[name].get(figure, []) for part in of_parts]) for figure in figures}
    return Measured(scores, ", ".join(result.said for _, result in ordered if result.said))


def _interleaved(parts: Sequence[Sequence[float]]) -> list[float]:
    return [part[k] for k in range(max(map(len, parts))) for part in parts if k < len(part)]


def timed(contenders: Mapping[str, Contender], n: int, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """(seconds of all outputs of a 64x64 image, how many times the reference's), by row.

    Models are taken in turn with the reference, and medians reported; samplers of deepinv run once.
    """
    example = np.asarray(PIL.Image.open(Path(bayesr.__file__).parent / "examples" / "coffee-x4.png"))[:64, :64]
    models = {
        name: bayesr.load(one.task.model) for name, one in contenders.items() if name not in (*SAMPLERS, RCPS, DENOISER)
    }

    def draw(model: bayesr.Model) -> None:
        model.sample(example, n if model.generator.stochastic else 1, dims="yxb", progress=False)

    found: dict[str, tuple[float, float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        for name, model in models.items():
            reference = models.get(REFERENCE, model)
            over, milliseconds, _ = ratio(lambda m=model: draw(m), lambda m=reference: draw(m), rounds)  # type: ignore[misc]
            found[name] = milliseconds / 1e3, over if REFERENCE in models else float("nan")
    if RCPS in contenders and "quantile" in found:
        found[RCPS] = found["quantile"]  # its members; widening heads costs next to nothing
    for name in SAMPLERS:
        if name in contenders:
            net, _ = denoiser.load(contenders[name].task.model)
            # Its answer needs the truth, which is not looked at: any picture of the size does.
            picture = Picture(example.repeat(SCALE, 0).repeat(SCALE, 1), False)
            begun = time.perf_counter()
            drawn(contenders[name].sampler, net, Calibration(), picture, n, 0)
            seconds = time.perf_counter() - begun
            found[name] = seconds, seconds / found[REFERENCE][0] if REFERENCE in found else float("nan")
    return found


def facts_of(contender: Contender) -> Row:
    """What a row says of what was trained for it."""
    card = read_header(contender.task.model)["card"]
    return {"parameters": card["parameters"], "processor seconds": card.get("processor_seconds", float("nan"))}


# -- the command ---------------------------------------------------------------------------------

_folder = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@data_option
@click.option(
    "--train", "photographs", multiple=True, type=_folder,
    help="Photographs to train on; may be repeated. By default those that lie beside the sets.",
)  # fmt: skip
@training_budget_option({"small": 5, "full": 600}, chosen=SMALL, n=8, held_out=40, limit=2)
@click.option("--systems", "chosen", multiple=True, type=click.Choice(ROWS), help="May be repeated; by default all.")
@click.option("-n", default=32, show_default=True, type=click.IntRange(min=2), help="Members.")
@click.option("--seed", default=0, show_default=True, help="Of training, members, and the calibration's halves.")
@click.option(
    "--held-out", default=100, show_default=True,
    type=click.IntRange(min=max(2 * images_for(LEVEL), conformal.fewest())),
    help="Training images that are calibrated on instead.",
)  # fmt: skip
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1), help="Rows at a time.")
@click.option("--limit", type=click.IntRange(min=1), help="Pictures per set, for a quick look.")
@models_folder_option
@out_option
def command(
    data: Path,
    photographs: tuple[Path, ...],
    budget: TrainingBudget,
    chosen: tuple[str, ...],
    n: int,
    seed: int,
    held_out: int,
    workers: int,
    limit: int | None,
    models: Path | None,
    out: Path,
) -> None:
    """What others draw from the same images: samplers of deepinv, ensembles, quantiles, rcGAN's recipe."""
    systems = [name for name in ROWS if not chosen or name in chosen]
    if set(systems) & set(SAMPLERS):
        denoiser.deepinv()  # what is not there is said before any work
    folders = photographs or training_folders(data, "natural")
    if not folders:
        raise InvalidArgument("There is nothing to train on: give --train, or a folder train beside the sets.")
    check_protocol(data, list(PICTURES.sets))
    pictures = {
        name: [one._replace(pixels=middle(one.pixels, SIDE * SCALE)) for one in PICTURES.pictures(name, data, limit)]
        for name in PICTURES.sets
    }
    with tempfile.TemporaryDirectory() as folder:
        keep = models or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        training, kept = prepared("natural", folders, held_out)
        if budget.name == "small":
            training = ImageSet(training.names[:_SMALL], training.images[:_SMALL])
            kept = ImageSet(kept.names, tuple(middle(image, _SMALL_SIDE) for image in kept.images))
        packed = Path(folder) / "images.npz", Path(folder) / "held-out.npz"
        training.pack(packed[0])
        kept.pack(packed[1])
        digest = checksum(training, kept)
        facts = {
            "images": f"{len(training.names)} to train on and {len(kept.names)} to calibrate on, of "
            f"{', '.join(sorted({source.name for source in folders}))}; checksum {digest[:12]}"
        }
        task = Task("", "natural", *packed, data, keep, budget.seconds, digest, n, seed, limit)
        contenders = {name: _contender(name, task, keep, budget.name == "small") for name in systems}
        made = _prepare(contenders, workers)
        results = _measured(contenders, pictures, workers)
        times = timed(contenders, n)
        rows = rows_of(results, {name: facts_of(one) for name, one in contenders.items()}, times, n)
        cost = {name: _seconds(one) for name, one in contenders.items() if name in SAMPLERS}
    notes = _notes(budget.seconds) | facts
    notes |= {title(name): f"{described(contenders[name].sampler)}; {cost[name]}" for name in SAMPLERS if name in cost}
    if "Langevin" in results:
        notes["Langevin's members are worth"] = f"{results['Langevin'].said} independent ones, by their correlation"
    notes |= {"made before, on the same terms": ", ".join(made) or "none"} | aims(rows)
    notes[f"better than {REFERENCE}"] = "; ".join(winners(rows)) or "none"
    record("rivals", rows, notes, out, seed=seed, n=n, estimators=ESTIMATORS)


def _contender(name: str, task: Task, keep: Path, small: bool) -> Contender:
    """A row with its model's file: the denoiser's of samplers, the recipe's of intervals."""
    of_file = DENOISER if name in SAMPLERS else "quantile" if name == RCPS else name
    file = locate(BUNDLED) if name == BUNDLED else keep / f"natural-{of_file}.safetensors"
    return Contender(name, replace(task, recipe=of_file, model=file), small)


def _prepare(contenders: Mapping[str, Contender], workers: int) -> list[str]:
    """Make what is not there: networks first, then what needs them. Returns what was there, on the same terms."""
    networks = {one.task.model: replace(one, name=one.task.recipe) for one in contenders.values()}
    networks.pop(locate(BUNDLED), None)
    samplers = [one for name, one in contenders.items() if name in SAMPLERS]
    made = known([*networks.values(), *samplers])
    for stage in (list(networks.values()), samplers):
        _done([(one, found) for one, found in each(ready, stage, workers)])
    return made


def _measured(
    contenders: Mapping[str, Contender], pictures: Mapping[str, Sequence[Picture]], workers: int
) -> dict[str, Measured]:
    """The results by row; slow ones first, in parts."""
    slow = [
        replace(one, share=(k, PARTS)) for k in range(PARTS) for name, one in contenders.items() if name in SAMPLERS
    ]
    quick = [one for name, one in contenders.items() if name not in SAMPLERS]
    found = _done(each(functools.partial(measure, pictures=pictures), [*slow, *quick], workers))
    return {name: merged([part for part in found if part[0].name == name]) for name in contenders}


def _done(results: Any) -> list[tuple[Contender, Any]]:
    """What came of the work; what went wrong ends it, since a table without a rival would say what is not so."""
    found = []
    for one, result in results:
        if isinstance(result, BaseException):
            click.echo("".join(traceback.format_exception(result)), err=True)
            raise click.ClickException(f"{one.name} failed: what went wrong is said above. Nothing was recorded.")
        click.echo(f"{one.name} {one.share[0] + 1}/{one.share[1]} done", err=True)
        found.append((one, result))
    return found


def _seconds(contender: Contender) -> str:
    spent = json.loads(contender.calibrated.read_text())["processor_seconds"]
    return f"calibrated in {spent:.0f} processor seconds"


def _notes(budget: float) -> Row:
    return {
        "training": f"{budget:g} processor seconds of training steps a recipe, and of the denoiser, one thread; "
        "reading images, calibration and measuring are not counted; small networks of like cost, as in `bayesr bench "
        "systems`",
        "pictures": f"Set14, and every tenth image of BSD100: the middle {SIDE}x{SIDE} low-resolution pixels of each, "
        "so that slow samplers come to an end; reduced by antialiased bicubic x4 and rounded to 8 bits, for all alike",
        "no packages": "are known for MC-dropout, deep ensembles, quantile regression and rcGAN in super-resolution: "
        "those rows are recipes of bayesr's own trainer, after the publications",
        "deepinv": f"{version('deepinv')}, its samplers and its network; the denoiser is a small DRUNet, trained here; "
        "parameters of the samplers are those of the lowest CRPS on 64x64 crops of five training images, none of them "
        "measured, among a few: DDRM of 10 and 20 steps, noise from 0.3 or 1 down to 0.005 or 0.02, eta 0.7 to 1 (half "
        "the steps were nearly as good; DiffPIR of 20 and 50 steps, with zeta 0.3 and 1, was no better); PiGDM of 10 "
        "to 30 steps, from 0.2 to 1 down to 0.005 to 0.03, weight 1 and 1.5; SK-ROCK of 8 to 15 stages, prior smoothed "
        "by 0.02 to 0.1 and weighted 1 to 2, noise 0.0011 to 0.01, iterated until more was not worth its time",
        title(BUNDLED): "was trained for longer, in several steps: not on equal terms, and in no sentence here",
        RCPS: "the members of quantile; heads of 5% and 95% widened so that, with a probability of "
        f"{1 - conformal.DELTA:g} over the held-out images, at most {conformal.ALPHA:g} of pixels are missed "
        "(Hoeffding-Bentkus); a stricter promise than the others', which holds on average over held-out images",
        "covered, width": f"of the {LEVEL:.0%} interval, calibrated on the held-out images by bayesr.calibration.calibration for "
        f"all but {RCPS}: models on their middle 192x192 pixels ({_SMALL_SIDE}x{_SMALL_SIDE} of a small budget), "
        f"samplers of deepinv on {CALIBRATED_SIDE * SCALE}x{CALIBRATED_SIDE * SCALE}, since they are slow; raw: mean "
        "-+ Student's t times the members' standard deviation, uncalibrated",
        "off nominal": f"the distance of covered to {LEVEL:g}",
        f"minus {REFERENCE}'s": "image by image, then averaged, with the standard error: below 0 is better",
        "PSNR, member PSNR": f"of the mean of all members, and of single ones ({SHOWN}): Y, 4 pixels shaved, peak 255",
        "LR-PSNR": "of the worst member of the worst picture, rounded to 8 bits and observed again",
        "seconds": f"for all outputs of a 64x64 image, in this process; medians of {ROUNDS}, in turn with {REFERENCE}; "
        "samplers of deepinv once",
    }
