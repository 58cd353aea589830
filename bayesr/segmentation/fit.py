"""The trainer of segmentation networks, and cross-validation."""

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
from bayesr.segmentation.cases import Case
from bayesr.segmentation.evaluation import dice, jaccard, precision
from bayesr.segmentation.losses import LOSSES
from bayesr.segmentation.patches import Patches
from bayesr.segmentation.protocol import SegmentationNetwork, as_module
from bayesr.segmentation.segmenter import Segmenter
from bayesr.segmentation.stepping import OPTIMISERS, Training

Progress = Callable[[int, float], None]
"""Called now and then with the steps done and the mean loss of the last ones."""

_EVERY = 100
"""Steps between two checkpoints."""


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

    Patches are turned, mirrored, and changed in contrast, level and gamma; with `blur` and `noise` they are
    degraded too. The learning rate rises for a few steps and falls along a cosine to zero.

    Parameters
    ----------
    cases : sequence of Case
    network : SegmentationNetwork
        A copy of it is trained, from its weights: a U-Net, a Probabilistic U-Net, an ensemble of annotators, or your own.
    loss : str
        One of `LOSSES`.
    steps, batch, patch : int
        Steps in all, patches a step, pixels along a patch's side.
    rate : float
        The highest learning rate.
    optimiser : {"adam", "nadam"}
    scaling, inputs : str, tuple of str
        As of `Segmenter`.
    blur, noise : float
        As of `Patches`.
    seed : int
        Of patches and of what the network draws.
    time_limit : float
        Seconds of this call after which training ends early, between two steps.
    checkpoint : path, optional
        Where training writes how far it is, every 100 steps and at the end. Where the file is there, training
        goes on from it, bit for bit as if it had never stopped on a CPU.
    name, card : str, mapping
        Of the segmenter. The card gets what training knows besides: loss, steps, seconds, seed, number of cases.
    progress : callable, optional

    Returns
    -------
    Segmenter
        With `name`, in evaluation mode.

    Raises
    ------
    InvalidArgument, BandMismatch
        For settings or cases that do not go together, before any step.
    TrainingFailed
        When the loss is no longer finite, or the checkpoint is another training's.
    """
    settings = dict(loss=loss, steps=steps, batch=batch, patch=patch, rate=rate, optimiser=optimiser, scaling=scaling)
    settings |= dict(inputs=list(inputs), blur=blur, noise=noise, seed=seed, cases=len(cases))
    _check(settings, cases, network)
    network = copy.deepcopy(network)
    module = as_module(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train().requires_grad_(True)
    patches = Patches(cases, network.architecture["outputs"], patch, scaling, inputs, blur, noise)
    training = Training(network, settings)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        training.load(path)
    started, said, total = time.monotonic(), training.step, 0.0
    while training.step < steps:
        total += training.advance(patches)
        late = time.monotonic() - started > time_limit
        if late or training.step % _EVERY == 0 or training.step == steps:
            if not math.isfinite(total):
                raise TrainingFailed(
                    f"The loss is not finite at step {training.step}: choose a lower rate (now {rate:g}), or look for "
                    "values far outside the value range."
                )
            if path is not None:
                training.save(path)
            if progress is not None:
                progress(training.step, total / (training.step - said))
            said, total = training.step, 0.0
        if late:
            break
    known = settings | {"steps": training.step, "seconds": round(training.seconds, 1)}
    known["parameters"] = sum(p.numel() for p in network.parameters())
    module.eval().requires_grad_(False)
    return Segmenter(name, network, inputs, scaling, card=dict(card or {}) | known)


def _check(settings: Mapping[str, Any], cases: Sequence[Case], network: SegmentationNetwork) -> None:
    for key, choices in (("loss", LOSSES), ("optimiser", OPTIMISERS)):
        if settings[key] not in choices:
            raise InvalidArgument(f"{key} must be one of {', '.join(choices)}, not {settings[key]!r}.")
    if min(settings["steps"], settings["batch"], settings["patch"]) < 1 or settings["rate"] <= 0:
        raise InvalidArgument("steps, batch, patch and rate must be positive.")
    coarse = -(-settings["patch"] // network.multiple)
    if settings["batch"] * coarse**2 < 2:
        raise InvalidArgument(
            f"One patch of {settings['patch']} pixels is a single pixel to the deepest layer, which normalises over "
            "many: use larger patches or batches."
        )
    bands = network.architecture["bands"]
    if cases and len(cases[0].image) != bands:
        raise BandMismatch(
            f"The network takes {bands} band(s), the cases have {len(cases[0].image)}: make it for them."
        )
    Segmenter("trained", network, tuple(settings["inputs"]), settings["scaling"])  # which checks the two


def folds(cases: Sequence[Case], count: int, seed: int = 0) -> list[tuple[list[Case], list[Case]]]:
    """(training, held out) of every fold; every case is held out once, those of a group together.

    Groups are shuffled by `seed`, and each goes to the fold that has the fewest cases so far. A case without a group
    is one of its own.

    Raises
    ------
    InvalidArgument
        For fewer than two folds, or more folds than groups.
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
    """Dice, Jaccard and precision of the foreground, averaged over annotators, then over cases; in [0, 1]."""
    figures: dict[str, list[float]] = {"dice": [], "jaccard": [], "precision": []}
    for case in cases:
        found = segmenter(case.image, case.value_range).probability >= segmenter.threshold
        true = [mask > 0 for mask in case.masks]
        figures["dice"].append(float(np.mean([dice(found, t) for t in true])))
        figures["jaccard"].append(float(np.mean([jaccard(found, t) for t in true])))
        figures["precision"].append(float(np.mean([precision(found, t) for t in true])))
    return {key: float(np.mean(values)) for key, values in figures.items()}


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
    """Train once per loss and fold, and measure on what the fold holds out.

    Folds are the same for all losses, and so are the network's first weights in a fold and the patches that it sees.

    Parameters
    ----------
    cases : sequence of Case
    make_network : callable
        Makes a network with random weights; picklable where there are several workers.
    losses : sequence of str
        Names of `LOSSES`.
    count : int
        Folds.
    seed : int
        Of folds, weights and patches.
    workers : int
        Trainings at a time, each in a process of its own.
    keep : path, optional
        A folder where every result and every checkpoint stays: what is done is not done again.
    report : callable, optional
        Called with every row as it is done.
    **options
        As of `fit`.

    Returns
    -------
    list of dict
        ``loss``, ``fold``, ``dice``, ``jaccard``, ``precision``, ``held_out`` (cases), ``steps``, ``seconds``,
        ``parameters``; loss by loss.

    Raises
    ------
    InvalidArgument
        For an unknown loss, and as of `fit` and `folds`.
    """
    unknown = [loss for loss in losses if loss not in LOSSES]
    if unknown:
        raise InvalidArgument(f"No loss {unknown[0]!r}: choose from {', '.join(LOSSES)}.")
    ways = folds(cases, count, seed)
    folder = None if keep is None else Path(keep)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    # Fold by fold, so that losses can be compared before all is done.
    jobs = [(loss, fold) for fold in range(count) for loss in losses]
    run = partial(_one, ways, make_network, seed, folder, options)
    rows = []
    for row in _mapped(run, jobs, workers):
        rows.append(row)
        if report is not None:
            report(row)
    return sorted(rows, key=lambda row: (list(losses).index(row["loss"]), row["fold"]))


def _one(
    ways: Sequence[tuple[Sequence[Case], Sequence[Case]]],
    make_network: Callable[[], SegmentationNetwork],
    seed: int,
    folder: Path | None,
    options: Mapping[str, Any],
    job: tuple[str, int],
) -> dict[str, Any]:
    """The row of a loss and a fold: read where it is kept, else trained for."""
    loss, fold = job
    kept = None if folder is None else folder / f"{loss}-{fold}.json"
    if kept is not None and kept.exists():
        row: dict[str, Any] = json.loads(kept.read_text())
        return row
    training, held_out = ways[fold]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + fold)
        network = make_network()
    checkpoint = None if kept is None else kept.with_suffix(".npz")
    segmenter = fit(training, network, loss=loss, seed=seed + fold, checkpoint=checkpoint, **options)
    facts = {key: segmenter.card[key] for key in ("steps", "seconds", "parameters")}
    row = {"loss": loss, "fold": fold, **measure(segmenter, held_out), "held_out": len(held_out), **facts}
    if kept is not None:
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps(row))
        partial.replace(kept)
    return row


def _mapped(run: Callable[[tuple[str, int]], dict[str, Any]], jobs: Sequence[tuple[str, int]], workers: int) -> Any:
    """Rows as they are done, by several processes where there are several workers."""
    if workers <= 1:
        yield from map(run, jobs)
        return
    threads = max(1, torch.get_num_threads() // workers)
    # A forked process would share the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (threads,)) as pool:
        for done in as_completed([pool.submit(run, job) for job in jobs]):
            yield done.result()
