"""Training of segmentation networks, and cross-validation."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayesr.errors import BandMismatch, InvalidArgument, TrainingFailed
from bayesr.files import make_folder, write_atomically
from bayesr.isolation import isolated
from bayesr.segmentation.cases import Case
from bayesr.segmentation.evaluation import dice, jaccard, precision
from bayesr.segmentation.losses import LOSSES
from bayesr.segmentation.patches import Patches
from bayesr.segmentation.protocol import SegmentationNetwork, as_module
from bayesr.segmentation.segmenter import Segmenter
from bayesr.segmentation.stepping import OPTIMISERS, Training

Progress = Callable[[int, float], None]
"""Called every 100 steps and at the end with the number of steps and the mean loss of the last ones."""

_CHECKPOINT_STEPS = 100
"""Steps between two checkpoints."""


@isolated
def fit(
    cases: Sequence[Case],
    network: SegmentationNetwork,
    *,
    loss: str = "bce_dice",
    steps: int = 1000,
    batch: int = 8,
    patch: int = 192,
    rate: float = 1e-3,
    optimiser: str = "adam",
    scaling: str = "range",
    blur: float = 0.0,
    noise: float = 0.0,
    inputs: tuple[str, ...] = ("member",),
    seed: int = 0,
    time_limit: float = math.inf,
    checkpoint: str | Path | None = None,
    name: str = "segmenter",
    card: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Segmenter:
    """Train a segmentation network on patches of cases.

    Patches are augmented (`bayesr.segmentation.patches.Patches`). The learning rate rises for a few steps, then falls
    to zero as a cosine.

    Parameters
    ----------
    cases : sequence of Case
    network : SegmentationNetwork
        A U-Net, a Probabilistic U-Net, an ensemble of annotators, or your own. A copy is trained, from its weights.
    loss : str
        One of `bayesr.segmentation.losses.LOSSES`.
    steps, batch, patch : int
        Steps, patches per step, and pixels along a side of a patch.
    rate : float
        Highest learning rate.
    optimiser : {"adam", "nadam"}
    scaling, inputs : str, tuple of str
        See `Segmenter`.
    blur, noise : float
        See `Patches`.
    seed : int
        Seed of patches and of the network's random numbers.
    time_limit : float
        Seconds after which training ends.
    checkpoint : path, optional
        File of the training's state, written every 100 steps and at the end. If it exists, training resumes from it; on
        a CPU, the result is bit for bit that of an uninterrupted training.
    name, card : str, mapping
        Those of the segmenter. Training adds settings, steps and seconds to the card.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    Segmenter
        In evaluation mode.

    Raises
    ------
    InvalidArgument, BandMismatch
        If settings or cases do not agree, before the first step.
    TrainingFailed
        If the loss is no longer finite, or the checkpoint belongs to another training.
    """
    settings = dict(loss=loss, steps=steps, batch=batch, patch=patch, rate=rate, optimiser=optimiser, scaling=scaling)
    settings |= dict(inputs=list(inputs), blur=blur, noise=noise, seed=seed, cases=len(cases))
    _check(settings, cases, network)
    network = copy.deepcopy(network)
    module = as_module(network).to(dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train().requires_grad_(True)
    patches = Patches(cases, network.architecture["outputs"], patch, scaling, inputs, blur, noise)
    training = Training(network, settings)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        training.load(path)
    started, reported, total = time.monotonic(), training.step, 0.0
    while training.step < steps:
        total += training.advance(patches)
        time_is_up = time.monotonic() - started > time_limit
        if time_is_up or training.step % _CHECKPOINT_STEPS == 0 or training.step == steps:
            if not math.isfinite(total):
                raise TrainingFailed(
                    f"The loss is not finite at step {training.step}: choose a lower rate (now {rate:g}), or look for "
                    "values far outside the value range."
                )
            if path is not None:
                training.save(path)
            if progress is not None:
                progress(training.step, total / (training.step - reported))
            reported, total = training.step, 0.0
        if time_is_up:
            break
    facts = settings | {"steps": training.step, "seconds": round(training.seconds, 1)}
    facts["parameters"] = sum(p.numel() for p in network.parameters())
    module.eval().requires_grad_(False)
    return Segmenter(name, network, inputs, scaling, card=dict(card or {}) | facts)


def _check(settings: Mapping[str, Any], cases: Sequence[Case], network: SegmentationNetwork) -> None:
    for key, choices in (("loss", LOSSES), ("optimiser", OPTIMISERS)):
        if settings[key] not in choices:
            raise InvalidArgument(f"{key} must be one of {', '.join(choices)}, not {settings[key]!r}.")
    if min(settings["steps"], settings["batch"], settings["patch"]) < 1 or settings["rate"] <= 0:
        raise InvalidArgument("steps, batch, patch and rate must be positive.")
    coarsest = -(-settings["patch"] // network.multiple)
    if settings["batch"] * coarsest**2 < 2:
        raise InvalidArgument(
            f"One patch of {settings['patch']} pixels is a single pixel in the deepest layer, which normalises over "
            "pixels: use larger patches or batches."
        )
    bands = network.architecture["bands"]
    if cases and len(cases[0].image) != bands:
        raise BandMismatch(
            f"The network takes {bands} band(s), the cases have {len(cases[0].image)}: build it with that number."
        )
    Segmenter("trained", network, tuple(settings["inputs"]), settings["scaling"])  # checks inputs and scaling


def folds(cases: Sequence[Case], count: int, seed: int = 0) -> list[tuple[list[Case], list[Case]]]:
    """Divide cases into folds for cross-validation.

    Every case is held out once, together with its group. Groups are shuffled by `seed`, and each joins the fold with
    the fewest cases so far. A case without a group is a group by itself.

    Returns
    -------
    list of (list of Case, list of Case)
        Training cases and held-out cases of every fold.

    Raises
    ------
    InvalidArgument
        If there are fewer than two folds, or more folds than groups.
    """
    groups: dict[str, list[int]] = {}
    for i, case in enumerate(cases):
        groups.setdefault(f"group {case.group}" if case.group else f"case {i}", []).append(i)
    if not 2 <= count <= len(groups):
        raise InvalidArgument(f"{len(groups)} groups of cases make 2 to {len(groups)} folds, not {count}.")
    members = list(groups.values())
    held: list[set[int]] = [set() for _ in range(count)]
    for k in np.random.default_rng(seed).permutation(len(members)):
        min(held, key=len).update(members[k])
    return [([cases[i] for i in range(len(cases)) if i not in out], [cases[i] for i in sorted(out)]) for out in held]


def measure(segmenter: Segmenter, cases: Sequence[Case]) -> dict[str, float]:
    """Compute Dice, Jaccard and precision of the foreground, averaged over annotators, then over cases; in [0, 1]."""
    scores: dict[str, list[float]] = {"dice": [], "jaccard": [], "precision": []}
    for case in cases:
        predicted = segmenter(case.image, case.value_range).probability >= segmenter.threshold
        true = [mask > 0 for mask in case.masks]
        scores["dice"].append(float(np.mean([dice(predicted, t) for t in true])))
        scores["jaccard"].append(float(np.mean([jaccard(predicted, t) for t in true])))
        scores["precision"].append(float(np.mean([precision(predicted, t) for t in true])))
    return {key: float(np.mean(values)) for key, values in scores.items()}


def cross_validate(
    cases: Sequence[Case],
    make_network: Callable[[], SegmentationNetwork],
    losses: Sequence[str] = tuple(LOSSES),
    count: int = 5,
    *,
    seed: int = 0,
    workers: int = 1,
    keep: str | Path | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Train once per loss and fold, and measure on the held-out cases.

    Folds, and the initial weights and patches of each, are the same for all losses.

    Parameters
    ----------
    cases : sequence of Case
    make_network : callable
        Returns a network with random weights. For several workers it must be picklable.
    losses : sequence of str
        Names in `bayesr.segmentation.losses.LOSSES`.
    count : int
        Number of folds.
    seed : int
        Seed of folds, weights and patches.
    workers : int
        Trainings at a time, each in its own process.
    keep : path, optional
        Folder of results and checkpoints. Stored results are not computed again.
    report : callable, optional
        Called with every row when it is done.
    **options
        Further arguments of `fit`.

    Returns
    -------
    list of dict
        Rows with ``loss``, ``fold``, ``dice``, ``jaccard``, ``precision``, ``held_out`` (number of cases), ``steps``,
        ``seconds`` and ``parameters``, sorted by loss.

    Raises
    ------
    InvalidArgument
        If a loss is unknown, and as in `fit` and `folds`.
    """
    unknown = [loss for loss in losses if loss not in LOSSES]
    if unknown:
        raise InvalidArgument(f"No loss {unknown[0]!r}: choose from {', '.join(LOSSES)}.")
    splits = folds(cases, count, seed)
    folder = None if keep is None else Path(keep)
    if folder is not None:
        make_folder(folder)
    # Fold by fold, so that losses can be compared early.
    jobs = [(loss, fold) for fold in range(count) for loss in losses]
    run = partial(_run_fold, splits, make_network, seed, folder, options)
    rows = []
    for row in _run_jobs(run, jobs, workers):
        rows.append(row)
        if report is not None:
            report(row)
    return sorted(rows, key=lambda row: (list(losses).index(row["loss"]), row["fold"]))


def _run_fold(
    splits: Sequence[tuple[Sequence[Case], Sequence[Case]]],
    make_network: Callable[[], SegmentationNetwork],
    seed: int,
    folder: Path | None,
    options: Mapping[str, Any],
    job: tuple[str, int],
) -> dict[str, Any]:
    """Return the row of a loss and a fold, from its file if it exists."""
    loss, fold = job
    stored = None if folder is None else folder / f"{loss}-{fold}.json"
    if stored is not None and stored.exists():
        row: dict[str, Any] = json.loads(stored.read_text())
        return row
    training, held_out = splits[fold]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + fold)
        network = make_network()
    checkpoint = None if stored is None else stored.with_suffix(".npz")
    segmenter = fit(training, network, loss=loss, seed=seed + fold, checkpoint=checkpoint, **options)
    facts = {key: segmenter.card[key] for key in ("steps", "seconds", "parameters")}
    row = {"loss": loss, "fold": fold, **measure(segmenter, held_out), "held_out": len(held_out), **facts}
    if stored is not None:
        write_atomically(stored, json.dumps(row))
    return row


def _run_jobs(run: Callable[[tuple[str, int]], dict[str, Any]], jobs: Sequence[tuple[str, int]], workers: int) -> Any:
    """Yield rows when they are done, from several processes if there are several workers."""
    if workers <= 1:
        yield from map(run, jobs)
        return
    threads = max(1, torch.get_num_threads() // workers)
    # Forked processes would share the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (threads,)) as pool:
        for done in as_completed([pool.submit(run, job) for job in jobs]):
            yield done.result()
