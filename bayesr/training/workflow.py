"""From images to a model file that can be trusted: train, then calibrate on what was held out."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import bayesr
from bayesr.calibration import Calibration, FactorFit, missed_curve
from bayesr.errors import InvalidArgument, TrainingFailed
from bayesr.model import Model
from bayesr.observe import Separable, bicubic
from bayesr.progress import progress as show_progress
from bayesr.training.data import ImageSet, load_images
from bayesr.training.loop import Record, Trainer, Validation, with_steps
from bayesr.training.recipes import recipe as recipe_named

Pair = tuple[NDArray[Any], NDArray[Any]]

_COUNTS = (2, 4, 8, 16, 32, 128)
"""Numbers of members that interval widths are calibrated for; others are interpolated."""


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
    trainer = Trainer(with_steps(recipe_named(recipe), steps or {}), training, operator, seed, place)
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
    model = publish(trainer, out.stem, training, dict(card or {}))
    if held_out:
        model = calibrate(model, pairs(kept, operator), source=f"{held_out} held-out images", progress=progress)
    model.save(out)
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


def pairs(images: ImageSet, operator: Separable) -> list[Pair]:
    """(low, high) pairs of 8-bit images, `y x x x band`, cropped to a multiple of the scale."""
    found = []
    for image in images.images:
        high = image[
            : image.shape[0] // operator.scale * operator.scale, : image.shape[1] // operator.scale * operator.scale
        ]
        x = torch.from_numpy(high.astype(np.float32)).permute(2, 0, 1)
        low = operator.observe(x).clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        found.append((low, high))
    return found


def calibrate(
    model: Model, pairs: Iterable[Pair], *, source: str = "", seed: int = 0, progress: bool | None = None
) -> Model:
    """Fit the calibration of a model on held-out pairs.

    Every other pair serves the factor on the standard deviation, the rest the interval widths, for
    2 to 128 members.

    Parameters
    ----------
    model : Model
    pairs : iterable of (low, high)
        Images `y x x x band`, high with `scale` times as many pixels; none of them trained on.
        At least 100 are advised: level L needs at least 2 L / (1 - L).
    source : str
        What the pairs are, for the papers.
    seed : int
        Of the members.
    progress : bool, optional
        As in `bayesr.sample`.

    Returns
    -------
    Model
        The same network with its calibration.

    Raises
    ------
    InvalidArgument
        For fewer than four pairs, or a pair whose sizes do not fit.
    """
    found = list(pairs)
    if len(found) < 4:
        raise InvalidArgument(f"{len(found)} pairs are too few to calibrate on: give at least 4, better 100.")
    for low, high in found:
        if tuple(high.shape[:2]) != (low.shape[0] * model.scale, low.shape[1] * model.scale):
            raise InvalidArgument(
                f"A high-resolution image of shape {high.shape} does not fit a low-resolution one of {low.shape} at "
                f"scale {model.scale}."
            )
    bare = replace(model, calibration=Calibration())
    fit = FactorFit()
    with show_progress("calibrating", len(found), progress) as advance:
        for low, high in found[::2]:
            error, raw, _ = _errors(bare, low, high, 32, seed)
            fit.add(raw**2, error, 32)
            advance(1)
        spread, factor = fit.fit()
        scaled = replace(bare, calibration=Calibration(spread, factor))
        curves: dict[int, list[NDArray[np.floating]]] = {count: [] for count in _COUNTS}
        for low, high in found[1::2]:
            for count in _COUNTS:
                error, std, quantum = _errors(scaled, low, high, count, seed)
                curves[count].append(missed_curve(std, error, quantum))
            advance(1)
    missed = {count: np.mean(curve, 0) for count, curve in curves.items()}
    calibration = Calibration(spread, factor, missed, len(found) // 2, source or f"{len(found)} pairs")
    return replace(model, calibration=calibration)


def _errors(
    model: Model, low: NDArray[Any], high: NDArray[Any], n: int, seed: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], float]:
    """(truth - mean, std, quantum), in network units, `band x y x x`."""
    ds = model.sample(low, n, seed=seed, dims=("y", "x", "band"), keep_samples=False, progress=False)
    least, most = ds.attrs["value_range"]
    truth = np.moveaxis(np.asarray(high, np.float64), -1, 0)
    quantum = 1.0 if high.dtype.kind in "ui" else 0.0
    return (truth - ds["mean"].values) / (most - least), ds["std"].values / (most - least), quantum / (most - least)


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
