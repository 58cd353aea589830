"""From images to a model file that can be trusted: train, then calibrate on what was held out."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.calibration.coverage import CoverageRecord
from bayesr.calibration.factor import FactorFit
from bayesr.calibration.input_rules import fit_inputs
from bayesr.calibration.intervals import LAMBDAS, images_for, largest_level, missed_curve
from bayesr.errors import InvalidArgument, NotStochastic, TrainingFailed
from bayesr.model.model import Model, load
from bayesr.observe import ForwardOperator, bicubic, from_description
from bayesr.progress import progress as show_progress
from bayesr.training.curves import draw as draw_curves
from bayesr.training.data import ImageSet, load_images, source
from bayesr.training.degradation import Degradation
from bayesr.training.degradation import observation as inexact
from bayesr.training.held_out import checksum, read_pairs
from bayesr.training.held_out import pairs as pairs_of
from bayesr.training.history import History, Record, Report, table, tensorboard
from bayesr.training.loop import Trainer, with_steps
from bayesr.training.processes import together
from bayesr.training.publishing import publish, source_of
from bayesr.training.recipe import Recipe
from bayesr.training.recipes import recipe as recipe_named
from bayesr.training.validation import Validation

_COUNTS = (2, 4, 8, 16, 32, 128)
"""Numbers of members that interval widths are calibrated for; others are interpolated."""
_USUAL = 32
"""Members that the factor and the record of coverage are of."""


def train(
    recipe: str | Path | Recipe,
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    observation: ForwardOperator | None = None,
    degradation: Degradation | None = None,
    bands: int = 3,
    steps: Mapping[str, int] | None = None,
    held_out: int = 120,
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
    """Train a recipe on images, calibrate it on held-out ones, and write the model file.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Such as ``"bayes-srgan"`` (see `bayesr.recipes.names`), a Python file that defines a ``RECIPE``, or one.
    data : path or sequence of paths
        Folders of images, searched recursively, or archives of `ImageSet.pack`.
    out : path
        The model file. Beside it lie, with other suffixes, the checkpoint (``.npz``), the history of
        losses and validation scores, a JSON object a line (``.jsonl``), their curves where Matplotlib is
        installed (``.png``), and TensorBoard's events where that is (a folder, ``.tensorboard``).
    observation : Observation, optional
        How low-resolution images come about; bicubic x4 by default.
    degradation : Degradation, optional
        What else happens to them: ranges of further blur and of noise, drawn anew for every patch. By
        default they are rounded to 8 bits and nothing else. Under blur or noise members are not
        consistent, for they would reproduce it.
    bands : int
        3 for colour, 1 for grey.
    steps : mapping, optional
        Optimiser steps by stage, instead of the recipe's.
    held_out : int
        Images kept from training: the calibration's.
    time_limit : float
        Seconds of training, after which the checkpoint waits for `resume`.
    patience : int, optional
        Steps without a better score after which a stage ends; every stage then leaves the averaged weights that
        had the best. The score is that of validation: fair CRPS, or PSNR where there are no members; and the sum of
        losses for a point estimator that plays against discriminators.
    every : int
        Steps between records of the history, each with a validation and a checkpoint.
    resume : bool
        Go on from the checkpoint.
    start : str, Path or Model, optional
        A model, or the checkpoint of a training (``.npz``), whose weights training starts from, wherever they
        fit: its backbone must be the recipe's, its head, bands and scale need not be. The model's card tells
        what was taken, and from where.
    seed, device, progress
        As in `bayesr.sample`.
    card : mapping, optional
        What the model file says of itself: ``domain``, ``licence``, ...
    report : callable, optional
        Called with every record of the history.

    Returns
    -------
    Model or None
        Calibrated, but for point estimators, which have no spread. None when the time limit came before the last
        step, and in all processes but the first.

    Raises
    ------
    TrainingFailed
        When there is nothing to train on, a checkpoint does not fit, the loss is not finite, or the disk is full.

    Notes
    -----
    Several processes train together when ``torchrun`` starts them; they share every batch, and learn what
    one process would.
    """
    out, how = Path(out), degradation or Degradation()
    checkpoint = out.with_suffix(".npz")
    operator = observation or bicubic(4)
    _check(out, checkpoint, resume, held_out, patience, inexact(operator, how))
    sources = [data] if isinstance(data, str | Path) else list(data)
    what = with_steps(recipe_named(recipe), steps or {})
    training, kept = load_images(sources, bands).split(held_out)
    training = training.as_large_as(what.patch * operator.scale)
    kept = kept.as_large_as(operator.scale) if held_out else kept
    validate = Validation(kept, operator, degradation=how) if held_out else None
    origin = None if start is None or resume else source_of(start)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    with together(place) as processes:
        pairs = source(what, training, operator, str(processes.device), how)
        trainer = Trainer(what, pairs, seed, processes=processes)
        if resume:
            trainer.load(checkpoint)
        elif origin is not None:
            trainer.start_from(*origin)
        with ExitStack() as stack:
            tell: Report = lambda record: None  # noqa: E731
            if processes.first:
                tell = _reports(stack, out, what.name, trainer, progress, report)
            done = trainer.run(
                checkpoint, time_limit=time_limit, every=every, patience=patience, validate=validate, report=tell
            )
    if not processes.first:
        return None
    try:
        if trainer.history and find_spec("matplotlib"):
            draw_curves({out.stem: trainer.history}, out.with_suffix(".png"))
        if not done:
            return None
        if trainer.step:
            trainer.calibrate_spread()
        # Saved first, so that what is calibrated is the network as it is stored, checksum and all.
        published = publish(trainer, out.stem, training, dict(card or {}))
        published.save(out)
        if held_out and published.generator.stochastic:
            levels = [level for level in (0.5, 0.8, 0.9, 0.95) if level <= largest_level(len(kept.names) // 2)]
            about, found = f"{len(kept.names)} held-out images", _held_out(kept, operator, how)
            range_ = None if how.rounded else (0.0, 1.0)
            calibrate(out, found, levels=levels, source=about, value_range=range_, progress=progress).save(out)
    except OSError as error:
        raise TrainingFailed(
            f"What was learnt could not be written to {out.parent} ({error}); the checkpoint is kept. Free some space "
            "and resume."
        ) from error
    return bayesr.load(out)


def _check(
    out: Path, checkpoint: Path, resume: bool, held_out: int, patience: int | None, operator: ForwardOperator
) -> None:
    """What would otherwise fail after hours of work."""
    if checkpoint.exists() and not resume:
        raise TrainingFailed(f"{checkpoint} is already there: resume it (resume=True), or choose another name.")
    if resume and not checkpoint.exists():
        raise TrainingFailed(f"There is no checkpoint {checkpoint} to resume.")
    if not out.parent.is_dir():
        raise TrainingFailed(f"There is no folder {out.parent} to write {out.name} to: make it first.")
    if 0 < held_out < 4:
        raise TrainingFailed(f"{held_out} held-out images are too few to calibrate on: hold out 4 or more, or none.")
    if patience is not None and not held_out:
        raise TrainingFailed("Patience is for scores on held-out images: hold some out, or leave patience out.")
    try:
        same = from_description(operator.describe()) == operator
    except TypeError:
        same = False
    if not same:
        raise TrainingFailed(f"A model file cannot describe this observation yet: {operator.describe()}.")


def _held_out(images: ImageSet, operator: ForwardOperator, degradation: Degradation) -> list[tuple[Any, Any]]:
    if degradation == Degradation():
        return pairs_of(images, operator)
    random = torch.Generator().manual_seed(0)
    return [degradation.pair(image, operator, random) for image in images.images]


def _reports(
    stack: ExitStack, out: Path, recipe: str, trainer: Trainer, progress: bool | None, report: Report | None
) -> Report:
    """Everything that a record goes to."""
    history = History(out.with_suffix(".jsonl"), trainer.history)
    shown = stack.enter_context(table(f"{recipe}: {out.name}, {trainer.steps} steps", progress))
    board = stack.enter_context(tensorboard(out.with_suffix(".tensorboard"), trainer.step))

    def tell(record: Record) -> None:
        for one in (history.append, board, shown, report):
            if one is not None:
                one(record)

    return tell


def calibrate(
    model: str | Path | Model,
    pairs: Iterable[tuple[Any, Any]],
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    source: str = "",
    seed: int = 0,
    dims: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
    progress: bool | None = None,
) -> Model:
    """Fit the calibration of a model on held-out pairs.

    One half of the pairs, drawn at random, serves the factor on the standard deviation, the other
    the interval widths, for 2 to 128 members, and the record of how well the intervals hold
    (`bayesr.calibration.calibration.Calibration.dataset`). All low-resolution images together teach the input
    check what is usual (`bayesr.calibration.input_check`), where they are 20 or more.

    Parameters
    ----------
    model : str, Path or Model
    pairs : iterable of (low, high)
        Images as `bayesr.sample` takes them, in the same units, high with `scale` times as many
        pixels along both axes; none of them trained on. At least 100 are advised.
    levels : sequence of float
        The levels that intervals must support, in (0, 1): L needs 2 L / (1 - L) pairs. Coverage
        is recorded at these and at 0.1, 0.2, ..., 0.9.
    source : str
        What the pairs are, for the papers.
    seed : int
        Of the members, and of the halves.
    dims, value_range, progress
        As in `bayesr.sample`, for every image.

    Returns
    -------
    Model
        The same network with its calibration; ``.save(path)`` writes it.

    Raises
    ------
    NotStochastic
        For a point estimator.
    InvalidArgument
        For pairs too few for the levels, or sizes that do not fit; before any work.
    BayesrError
        One of its children, for what is no image.
    """
    network = load(model)
    if not network.generator.stochastic:
        raise NotStochastic(
            f"{network.name} is a point estimator: it has no spread that could be calibrated. Calibrate a model whose "
            "recipe draws members."
        )
    if any(not 0 < level < 1 for level in levels):
        raise InvalidArgument(f"Levels lie between 0 and 1 (0.9 for a 90% interval), not {list(levels)!r}.")
    given = list(pairs)
    needed = max([4, *(2 * images_for(level) for level in levels)])
    if len(given) < needed:
        what = f"for the level {max(levels):g}" if needed > 4 else "on"
        raise InvalidArgument(
            f"{len(given)} pairs are too few to calibrate {what}: give at least {needed}, better 100. Half of them "
            "serve the intervals; lower levels need fewer."
        )
    found = read_pairs(network, given, dims, value_range)
    order = np.random.default_rng(seed).permutation(len(found))
    for_factor, for_intervals = order[: (len(found) + 1) // 2], order[(len(found) + 1) // 2 :]
    bare = replace(network, calibration=Calibration(), inputs=None)
    fit = FactorFit()
    members = len(for_factor) * _USUAL + len(for_intervals) * sum(_COUNTS)
    with show_progress("calibrating", members, progress) as advance:
        for i in for_factor:
            error, raw, _ = found[i].errors(bare, _USUAL, seed)
            fit.add(raw**2, error, _USUAL)
            advance(_USUAL)
        spread, factor = fit.fit()
        scaled = replace(bare, calibration=Calibration(spread, factor))
        record = CoverageRecord(_USUAL, network.scale)
        missed = {count: np.zeros(len(LAMBDAS)) for count in _COUNTS}
        for i in for_intervals:
            for count in _COUNTS:
                error, std, quantisation_step = found[i].errors(scaled, count, seed)
                missed[count] += missed_curve(std, error, quantisation_step) / len(for_intervals)
                if count == _USUAL:
                    record.add(std, error, quantisation_step)
                advance(count)
    provenance = {
        "factor_images": len(for_factor),
        "members": list(_COUNTS),
        "pairs_sha256": checksum(found),
        "seed": seed,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "bayesr_version": bayesr.__version__,
        "model": network.name,
        "model_sha256": network.sha256,
    }
    calibration = Calibration(
        spread, factor, missed, len(for_intervals), source or f"{len(found)} pairs", provenance,
        record.tables(levels),
    )  # fmt: skip
    inputs = fit_inputs((pair.low.scaled() for pair in found), network.bands)
    return replace(network, calibration=calibration, inputs=inputs)
