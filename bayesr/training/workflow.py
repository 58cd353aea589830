"""From images to a model file that can be trusted: train, then calibrate on what was held out."""

from __future__ import annotations

import datetime
import json
import math
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bayesr
from bayesr.calibration import LAMBDAS, Calibration, FactorFit, images_for, largest_level, missed_curve
from bayesr.coverage import CoverageRecord
from bayesr.errors import InvalidArgument, TrainingFailed
from bayesr.model import Model, load
from bayesr.observe import Separable, bicubic
from bayesr.progress import progress as show_progress
from bayesr.training.data import ImageSet, Pairs, load_images
from bayesr.training.held_out import checksum, pairs, read_pairs
from bayesr.training.inputrules import fit_inputs
from bayesr.training.loop import Record, Trainer, with_steps
from bayesr.training.recipes import recipe as recipe_named
from bayesr.training.validation import Validation

_COUNTS = (2, 4, 8, 16, 32, 128)
"""Numbers of members that interval widths are calibrated for; others are interpolated."""
_USUAL = 32
"""Members that the factor and the record of coverage are of."""


def train(
    recipe: str,
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    observation: Separable | None = None,
    bands: int = 3,
    steps: Mapping[str, int] | None = None,
    held_out: int = 120,
    time_limit: float = math.inf,
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
    recipe : str
        Such as ``"bayes-srgan"``.
    data : path or sequence of paths
        Folders of images, searched recursively, or archives of `ImageSet.pack`.
    out : path
        The model file. The checkpoint lies beside it, with the suffix ``.npz``, and the history of
        losses and validation scores, a JSON object a line, with the suffix ``.jsonl``.
    observation : Separable, optional
        How low-resolution images come about; bicubic x4 by default.
    bands : int
        3 for colour, 1 for grey.
    steps : mapping, optional
        Optimiser steps by stage, instead of the recipe's.
    held_out : int
        Images kept from training: the calibration's.
    time_limit : float
        Seconds of training, after which the checkpoint waits for `resume`.
    resume : bool
        Go on from the checkpoint.
    start : str, Path or Model, optional
        A model of the same architecture whose weights training starts from.
    seed, device, progress
        As in `bayesr.sample`.
    card : mapping, optional
        What the model file says of itself: ``domain``, ``licence``, ...
    report : callable, optional
        Called with every record of the history.

    Returns
    -------
    Model or None
        None when the time limit came before the last step.

    Raises
    ------
    TrainingFailed
        When there is nothing to train on, a checkpoint does not fit, or the loss is not finite.
    """
    out = Path(out)
    checkpoint = out.with_suffix(".npz")
    if checkpoint.exists() and not resume:
        raise TrainingFailed(f"{checkpoint} is already there: resume it (resume=True), or choose another name.")
    if resume and not checkpoint.exists():
        raise TrainingFailed(f"There is no checkpoint {checkpoint} to resume.")
    if not out.parent.is_dir():
        raise TrainingFailed(f"There is no folder {out.parent} to write {out.name} to: make it first.")
    operator = observation or bicubic(4)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    sources = [data] if isinstance(data, str | Path) else list(data)
    training, kept = load_images(sources, bands).split(held_out)
    what = with_steps(recipe_named(recipe), steps or {})
    trainer = Trainer(what, Pairs(training, operator, what.patch, place), seed, place)
    if resume:
        trainer.load(checkpoint)
    elif start is not None:
        trainer.start_from(bayesr.load(start).generator)

    with show_progress(f"training {recipe}", trainer.steps, progress) as advance:
        advance(trainer.step)
        done = trainer.step

        def tell(record: Record) -> None:
            nonlocal done
            advance(record["step"] - done)
            done = record["step"]
            if report:
                report(record)

        validate = Validation(kept, operator) if held_out else None
        if not trainer.run(checkpoint, time_limit=time_limit, validate=validate, report=tell):
            return None
    if trainer.step:
        trainer.settle_spread()
    # Saved first, so that what is calibrated is the network as it is stored, checksum and all.
    publish(trainer, out.stem, training, dict(card or {})).save(out)
    if held_out:
        levels = [level for level in (0.5, 0.8, 0.9, 0.95) if level <= largest_level(held_out // 2)]
        source = f"{held_out} held-out images"
        calibrate(out, pairs(kept, operator), levels=levels, source=source, progress=progress).save(out)
    out.with_suffix(".jsonl").write_text("".join(json.dumps(record) + "\n" for record in trainer.history))
    return bayesr.load(out)


def publish(trainer: Trainer, name: str, images: ImageSet, card: Mapping[str, Any]) -> Model:
    """The model of a trainer's averaged weights, rounded as they will be stored, with its provenance."""
    generator = trainer.average.to("cpu")
    generator.load_state_dict({k: v.half().float() for k, v in generator.state_dict().items()})
    facts = {
        "domain": "",
        "licence": "",
        "data": sorted({Path(image).parts[0] for image in images.names}),
        "images": len(images.names),
        "recipe": trainer.recipe.name,
        "steps": {stage.name: stage.steps for stage in trainer.recipe.stages},
        "seconds": round(trainer.seconds),
        "device": trainer.device.type,
        "seed": trainer.seed,
        "commit": _commit(),
        "parameters": sum(p.numel() for p in generator.parameters()),
        "scores": {},
    }
    return Model(name, generator.eval(), trainer.operator, card=facts | dict(card))


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
    (`bayesr.calibration.Calibration.dataset`). All low-resolution images together teach the input
    check what is usual (`bayesr.inputcheck`), where they are 20 or more.

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
    InvalidArgument
        For pairs too few for the levels, or sizes that do not fit; before any work.
    BayesrError
        One of its children, for what is no image.
    """
    network = load(model)
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
                error, std, quantum = found[i].errors(scaled, count, seed)
                missed[count] += missed_curve(std, error, quantum) / len(for_intervals)
                if count == _USUAL:
                    record.add(std, error, quantum)
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


def _commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked.stdout.strip()
