"""Train every recipe for an equal time on equal data, and score it.

    bayesr bench systems --data FOLDER --train PHOTOGRAPHS --fluorescence NUCLEI --budget 600 --models MODELS

Each recipe is trained for the same processor seconds on the same images with the same seed, calibrated on the same
held-out images where it draws members, and measured on the same sets: photographs on Set14 and every fifth image of
BSD100, fluorescence (images of a dark background, as grey values) on nuclei. Its stages keep their proportions.
"""

from __future__ import annotations

import hashlib
import tempfile
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image

import bayesr
from bayesr.calibration.intervals import images_for
from bayesr.errors import InvalidArgument, UnfamiliarInput
from bayesr.model.header import read_header
from bayesr.training.data import ImageSet, load_images
from bayesr.training.recipes import names, recipe
from bayesr_bench.compact import BATCH, PATCH
from bayesr_bench.measures import Scores
from bayesr_bench.options import (
    TrainingBudget,
    data_option,
    models_folder_option,
    out_option,
    training_budget_option,
    training_folders,
)
from bayesr_bench.protocol import PUBLISHED, check_protocol
from bayesr_bench.record import error_of_mean, record
from bayesr_bench.tables.realism import EDGES, WHOLE
from bayesr_bench.timing import ratio
from bayesr_bench.trial import DOMAINS, LEVEL, SHOWN, Array, Task, Trial, attempt, each

REFERENCE = "bayes-srgan"
SMALL = ("bayes-srgan", "bayes-sr", "rcgan", "srresnet", "bicubic")
"""The recipes of a small budget."""
ESTIMATORS = (
    "CRPS and energy score fair; energy score of 8x8 patches over the root of their values; of one output the absolute "
    "error, and the norm of the error; grey levels, all bands; means over images, ± their standard error"
)
COMPARED = ("CRPS", "energy score")
"""What others are compared with the reference in, image by image."""
SIDE = 192
"""Of the middle of held-out images that is calibrated on, in pixels."""
ROUNDS = 5
_MIDDLE = 127.5

Row = dict[str, Any]
Times = Mapping[str, tuple[float, float]]
"""By recipe: the seconds that its outputs take, and how many times the reference's those are."""


# -- the images ----------------------------------------------------------------------------------


def prepared(domain: str, folders: Sequence[Path], held_out: int) -> tuple[ImageSet, ImageSet]:
    """(to train on, to calibrate on): of the latter the middle; of fluorescence what has a dark background."""
    images = load_images(folders, DOMAINS[domain].bands)
    if domain == "fluorescence":
        dark = [i for i, image in enumerate(images.images) if np.median(image) < _MIDDLE]
        images = ImageSet(tuple(images.names[i] for i in dark), tuple(images.images[i] for i in dark))
    training, kept = images.split(held_out)
    return training, ImageSet(kept.names, tuple(map(_middle, kept.images)))


def _middle(image: Array) -> Array:
    top, left = (max(0, (size - SIDE) // 2) for size in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def checksum(*sets: ImageSet) -> str:
    """SHA-256 over names, shapes and pixels."""
    digest = hashlib.sha256()
    for images in sets:
        for name, image in zip(images.names, images.images, strict=True):
            digest.update(f"{name} {image.shape}".encode() + image.tobytes())
    return digest.hexdigest()


# -- the table -----------------------------------------------------------------------------------


def distance(decades: Array) -> float:
    """The mean over frequencies up to `WHOLE` of the absolute value of what `decades` average over images."""
    known = np.ma.masked_invalid(decades).mean(0)[: np.searchsorted(EDGES, WHOLE)]
    return float(np.ma.filled(np.abs(known).mean(), np.nan))


def row_of(name: str, trial: Trial, reference: Trial | None) -> Row:
    """What a recipe scores on a set, and how it compares with the reference there."""
    scores: Scores = trial.scores[name]
    row: Row = dict(outputs=str(trial.outputs) if trial.outputs > 1 else "1: its CRPS is the MAE")
    row |= {figure: float(np.mean(values)) for figure, values in scores.items() if figure not in COMPARED}
    row["LR-PSNR"] = min(scores["LR-PSNR"])
    row["power, decades off"] = distance(trial.decades[name])
    for figure in COMPARED:
        row[figure], row[f"{figure} ±"] = float(np.mean(scores[figure])), error_of_mean(scores[figure])
        other = np.nan if reference is None or reference is trial else np.array(reference.scores[name][figure])
        off = np.array(scores[figure]) - other
        row[f"{figure} minus {REFERENCE}'s"] = float(np.mean(off))
        row[f"{figure} minus {REFERENCE}'s ±"] = error_of_mean(off)
    return row


def rows_of(trials: Mapping[str, Trial], cards: Mapping[str, Mapping[str, Any]], times: Times) -> list[Row]:
    """The rows of a domain, by recipe: set by set, those of the lowest CRPS first."""
    rows: list[Row] = []
    for name in next(iter(trials.values())).scores if trials else ():
        of_set = []
        for label, trial in trials.items():
            card, (seconds, over) = cards[label], times[label]
            count = len(trial.scores[name]["PSNR"])
            row: Row = {"set": f"{name} ({count})", "recipe": label}
            row |= row_of(name, trial, trials.get(REFERENCE))
            row |= {"parameters": card["parameters"], "seconds": seconds, f"seconds / {REFERENCE}'s": over}
            row |= {"steps": sum(card["steps"].values()), "processor seconds": card["processor_seconds"]}
            of_set.append(row | {"images": card["images"]})
        rows += sorted(of_set, key=lambda row: float(row["CRPS"]))
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def winners(rows: Sequence[Row]) -> list[str]:
    """A sentence for every row that is better than the reference in what is compared, with what goes with it."""
    sentences = []
    for figure in COMPARED:
        for row in rows:
            ahead, error = -row[f"{figure} minus {REFERENCE}'s"], row[f"{figure} minus {REFERENCE}'s ±"]
            if not ahead > 0:
                continue
            other = next(one for one in rows if one["set"] == row["set"] and one["recipe"] == REFERENCE)
            spread = "no spread" if np.isnan(row["spread/skill"]) else f"spread/skill {row['spread/skill']:.2f}"
            sentences.append(
                f"{row['recipe']} beats {REFERENCE} in {figure} on {row['set']} by {ahead:.3g} ± {error:.2g}, with "
                f"{row['PSNR'] - other['PSNR']:+.2f} dB of PSNR and {spread} instead of {other['spread/skill']:.2f}"
            )
    return sentences


def timed(models: Mapping[str, bayesr.Model], n: int, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Seconds of all outputs of a 64x64 image, and their ratio to the reference's, taken in turn with it."""
    example = np.asarray(PIL.Image.open(Path(bayesr.__file__).parent / "examples" / "coffee-x4.png"))[:64, :64]

    def draw(model: bayesr.Model) -> None:
        model.sample(example[..., : model.bands], n if model.generator.stochastic else 1, dims="yxb", progress=False)

    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        for name, model in models.items():
            reference = models.get(REFERENCE, model)
            over, milliseconds, _ = ratio(lambda m=model: draw(m), lambda m=reference: draw(m), rounds)  # type: ignore[misc]
            found[name] = milliseconds / 1e3, over if REFERENCE in models else float("nan")
    return found


# -- the command ---------------------------------------------------------------------------------

_folder = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@data_option
@click.option("--train", "photographs", multiple=True, type=_folder, help="Photographs to train on; may be repeated.")
@click.option("--fluorescence", multiple=True, type=_folder, help="Fluorescence images to train on; may be repeated.")
@click.option(
    "--domain", "domains", multiple=True, type=click.Choice(list(DOMAINS)),
    help="By default those that images to train on are given of, or else lie beside the sets.",
)  # fmt: skip
@training_budget_option(
    {"small": 12, "full": 600}, domains=("natural",), chosen=SMALL, n=8, held_out=2 * images_for(LEVEL), limit=4
)
@click.option("--recipes", "chosen", multiple=True, help="May be repeated; by default all.")
@click.option("-n", default=32, show_default=True, help="Members, at least 2.")
@click.option("--seed", default=0, show_default=True, help="Of training, members, and the calibration's halves.")
@click.option(
    "--held-out", default=40, show_default=True, type=click.IntRange(min=2 * images_for(LEVEL)),
    help="Training images that are calibrated on instead.",
)  # fmt: skip
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1), help="Recipes at a time.")
@click.option("--limit", type=click.IntRange(min=1), help="Images per set, for a quick look.")
@models_folder_option
@click.option("--whole", is_flag=True, help="Recipes of their own sizes, not of those that minutes can train.")
@out_option
def command(
    data: Path,
    photographs: tuple[Path, ...],
    fluorescence: tuple[Path, ...],
    domains: tuple[str, ...],
    budget: TrainingBudget,
    chosen: tuple[str, ...],
    n: int,
    seed: int,
    held_out: int,
    workers: int,
    limit: int | None,
    models: Path | None,
    whole: bool,
    out: Path,
) -> None:
    """Every recipe after an equal budget of training on equal data, on photographs and on fluorescence."""
    folders = {"natural": photographs, "fluorescence": fluorescence}
    for name, given in folders.items():
        if name in domains or not any((domains, photographs, fluorescence)):
            folders[name] = given or training_folders(data, name)
    domains = tuple(dict.fromkeys(domains)) or tuple(name for name, given in folders.items() if given)
    systems = list(dict.fromkeys(chosen)) or names()
    _check(folders, domains, systems, n)
    for name in domains:
        check_protocol(data, [one for one in DOMAINS[name].sets if one in PUBLISHED])
        for one in DOMAINS[name].sets:
            if not DOMAINS[name].pictures(one, data, limit):
                raise InvalidArgument(f"No images of the set {one} in {data}: what would be measured on?")
    with tempfile.TemporaryDirectory() as folder:
        keep, facts, tasks = models or Path(folder), {}, []
        keep.mkdir(parents=True, exist_ok=True)
        for name in domains:
            training, kept = prepared(name, folders[name], held_out)
            packed = Path(folder) / f"{name}.npz", Path(folder) / f"{name}-held-out.npz"
            training.pack(packed[0])
            kept.pack(packed[1])
            digest = checksum(training, kept)
            facts[f"images, {name}"] = (
                f"{len(training.names)} to train on and {len(kept.names)} to calibrate on, of "
                f"{', '.join(sorted({source.name for source in folders[name]}))}; checksum {digest[:12]}"
            )
            tasks += [
                Task(
                    one, name, *packed, data, keep / f"{name}-{one}.safetensors", budget.seconds, digest, n, seed,
                    limit, whole,
                )
                for one in systems
            ]  # fmt: skip
        known = _known(tasks)
        trials, failed = _all(tasks, workers)
        rows: list[Row] = []
        for name in domains:
            here = {task.recipe: trial for task, trial in trials.items() if task.domain == name}
            loaded = {one: bayesr.load(keep / f"{name}-{one}.safetensors") for one in here}
            rows += rows_of(here, {one: model.card for one, model in loaded.items()}, timed(loaded, n))
    if rows:
        notes = _notes(budget.seconds) | facts
        notes["sizes"] = (
            "each recipe's own"
            if whole
            else f"small networks of like cost, patches {PATCH} and batches {BATCH} for all, learning rates of stages "
            "without critics at least 1e-3 (5e-4 for transformers): bayesr_bench.compact"
        )
        notes["trained before, within the same budget"] = ", ".join(known) or "none"
        notes |= {"failed": ", ".join(failed)} if failed else {}
        notes[f"better than {REFERENCE}"] = "; ".join(winners(rows)) or "none"
        record("systems", rows, notes, out, seed=seed, n=n, estimators=ESTIMATORS)
    if failed:
        raise click.ClickException(f"No rows of {', '.join(failed)}: what went wrong is said above.")


def _check(folders: Mapping[str, Sequence[Path]], domains: Sequence[str], systems: Sequence[str], n: int) -> None:
    """What would otherwise fail after hours of work."""
    if not domains:
        raise InvalidArgument(
            "There is nothing to train on: give --train, --fluorescence, or both; or a folder train beside the sets."
        )
    for name in domains:
        if not folders[name]:
            option = "--train" if name == "natural" else "--fluorescence"
            raise InvalidArgument(f"There is nothing to train on in the domain {name}: give {option}.")
    if n < 2:
        raise InvalidArgument(f"A spread needs 2 members or more, not {n}.")
    for one in systems:
        recipe(one)


def _known(tasks: Sequence[Task]) -> list[str]:
    """The models that are there already, which must have been trained on the same terms."""
    known = [task for task in tasks if task.model.exists()]
    for task in known:
        terms = read_header(task.model)["card"].get("systems")
        if terms != task.terms:
            raise InvalidArgument(
                f"{task.model.name} was trained on other terms ({terms}) than this table's ({task.terms}), and cannot "
                "be compared: keep this table's models in another folder, or take that file away."
            )
    return [task.model.stem for task in known]


def _all(tasks: Sequence[Task], workers: int) -> tuple[dict[Task, Trial], list[str]]:
    """(what came of the tasks, the names of those that failed), in the order of the tasks."""
    found: dict[Task, Trial] = {}
    failed = set()
    for task, one in each(attempt, tasks, workers):
        if isinstance(one, Trial):
            found[task] = one
        else:
            failed.add(task)
            click.echo("".join(traceback.format_exception(one)), err=True)
        click.echo(f"{task.model.stem} {'done' if task in found else 'failed'}", err=True)
    return {task: found[task] for task in tasks if task in found}, [t.model.stem for t in tasks if t in failed]


def _notes(budget: float) -> Row:
    return {
        "training": f"{budget:g} processor seconds of training steps a recipe, one thread: a few steps of each stage "
        "are timed, then the steps of all stages, and critics' warm-ups, are scaled by one factor; reading images, "
        "timing, calibration and measuring are not counted",
        "outputs": "n members of recipes that draw them, whose mean PSNR and SSIM are of (Y, or grey values, 4 pixels "
        "shaved, peak 255); one of point estimators, which have neither coverage nor spread",
        f"minus {REFERENCE}'s": "image by image, then averaged, with the standard error: below 0 is better",
        "covered, width": f"of the {LEVEL:.0%} interval, calibrated on the middle {SIDE}x{SIDE} pixels of the images "
        "to calibrate on",
        "power, decades off": f"mean over frequencies up to {WHOLE:g} cycles per pixel of |log10| of the power of "
        f"single outputs ({SHOWN} members) over the truth's, averaged over images; rounded to 8 bits",
        "LR-PSNR": "of the worst output of the worst image, rounded to 8 bits and observed again",
        "member PSNR": f"of {SHOWN} members",
        "seconds": f"for all outputs of a 64x64 image; medians of {ROUNDS}, in turn with {REFERENCE}, after the rest",
        "images": "of those to train on, the ones that are as large as the recipe's patches",
    }
