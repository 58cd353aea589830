"""A recipe on trial: trained within a budget, calibrated, measured on a domain's sets, in a process of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

import bayesr
from bayesr.observe import bicubic
from bayesr.scoring.rules import energy_score, fair_crps
from bayesr.training.data import load_images
from bayesr.training.held_out import make_pairs
from bayesr.training.recipes import recipe
from bayesr_bench import measures
from bayesr_bench.budget import StepClock, affordable
from bayesr_bench.compact import compact
from bayesr_bench.measures import Scores
from bayesr_bench.protocol import psnr_ssim
from bayesr_bench.sets import SCALE, Answer, Picture, answer, read_set
from bayesr_bench.tables.realism import powers, rounded

LEVEL = 0.9
SHOWN = 4
"""Members whose PSNR is taken, and whose power."""
_RECORDS = 20
"""Of a training's history."""

Array = NDArray[Any]
Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Domain:
    """Bands of its images, and the sets it is measured on: of each every k-th image."""

    bands: int
    sets: Mapping[str, int]

    def pictures(self, name: str, data: Path, limit: int | None) -> list[Picture]:
        """The images of a set that are measured on."""
        return list(read_set(data, name).values())[:: self.sets[name]][:limit]


DOMAINS = {"natural": Domain(3, {"set14": 1, "bsd100": 5}), "fluorescence": Domain(1, {"nuclei": 1})}


@dataclass(frozen=True)
class Task:
    """What is tried, and on what.

    Attributes
    ----------
    recipe, domain : str
    images, held_out : Path
        Archives of `ImageSet.pack` that are trained and calibrated on.
    data : Path
        Folder of the sets that are measured on.
    model : Path
        The model file, which is measured where it is there, and else trained; its history comes to lie beside it.
    budget : float
        Processor seconds of training.
    images_sha256 : str
        Checksum of both archives' images.
    n, seed : int
    limit : int or None
        Images per set.
    whole : bool
        Whether networks, patches and batches are of the recipe's sizes, not those of `bayesr_bench.compact`.
    """

    recipe: str
    domain: str
    images: Path
    held_out: Path
    data: Path
    model: Path
    budget: float
    images_sha256: str
    n: int = 32
    seed: int = 0
    limit: int | None = None
    whole: bool = False

    @property
    def terms(self) -> dict[str, Any]:
        """What models of one table have in common."""
        terms = {"budget": self.budget, "seed": self.seed, "images_sha256": self.images_sha256}
        return terms | {"size": "whole" if self.whole else "compact"}


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes
    ----------
    outputs : int
        n, or 1 of point estimators.
    scores : mapping of str to Scores
        By set.
    decades : mapping of str to ndarray
        By set, the logarithm of the power of single outputs over the truth's, image x band of frequency.
    """

    outputs: int
    scores: Mapping[str, Scores]
    decades: Mapping[str, Array]


def attempt(task: Task) -> Trial:
    """Train the model unless it is there, and measure it."""
    if not task.model.exists():
        produce(task)
    model, domain = bayesr.load(task.model), DOMAINS[task.domain]
    outputs = task.n if model.generator.stochastic else 1
    scores, decades = {}, {}
    for name in domain.sets:
        pictures = domain.pictures(name, task.data, task.limit)
        scores[name], decades[name] = measure(model, pictures, outputs, task.seed)
    return Trial(outputs, scores, decades)


def produce(task: Task) -> None:
    """Train within the budget, calibrate what draws members, and only then write the model, with its history."""
    bands, operator, clock = DOMAINS[task.domain].bands, bicubic(SCALE), StepClock()
    what = recipe(task.recipe) if task.whole else compact(recipe(task.recipe))
    what = affordable(what, load_images([task.images], bands), operator, task.budget, task.seed)
    steps = sum(stage.steps for stage in what.stages)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / task.model.name
        # Held-out images were left out before, so that point estimators learn from the same images as others.
        model = bayesr.train(
            what, task.images, out=out, observation=operator, bands=bands, held_out=0, seed=task.seed, device="cpu",
            every=max(1, steps // _RECORDS), card={"domain": task.domain}, progress=False, report=clock,
        )  # fmt: skip
        assert model is not None  # no time limit was set
        terms = {"systems": task.terms, "processor_seconds": round(clock.seconds, 1)}
        model = replace(model, card=dict(model.card) | terms)
        if model.generator.stochastic:
            kept = make_pairs(load_images([task.held_out], bands), operator)
            model = bayesr.calibrate(model, kept, levels=[LEVEL], seed=task.seed, progress=False)
        for suffix in (".jsonl", ".png"):
            if out.with_suffix(suffix).exists():
                task.model.with_suffix(suffix).write_bytes(out.with_suffix(suffix).read_bytes())
        model.save(task.model)


def measure(model: bayesr.Model, pictures: Sequence[Picture], n: int, seed: int) -> tuple[Scores, Array]:
    """(scores of every picture, in grey levels; decades of power over the truth's)."""
    scores: Scores = {}
    decades = []
    for picture in pictures:
        found = answer(model, picture, n, seed, LEVEL)
        for figure, value in figures(model, found, picture.grey).items():
            scores.setdefault(figure, []).append(value)
        with np.errstate(divide="ignore", invalid="ignore"):  # an image of few pixels has not every frequency
            decades.append(np.log10(powers(rounded(found.members[:SHOWN])) / powers(rounded(found.truth[None]))))
    return scores, np.stack(decades)


def figures(model: bayesr.Model, found: Answer, grey: bool) -> dict[str, float]:
    """The scores of one picture; of a single output CRPS is the absolute error and energy score the error's norm."""
    members, truth = found.members, found.truth
    mean, true = (image.transpose(1, 2, 0) for image in (found.mean, truth))
    row = dict(zip(("PSNR", "SSIM"), psnr_ssim(mean, true, grey), strict=True))
    row["member PSNR"] = float(np.mean([psnr_ssim(x.transpose(1, 2, 0), true, grey)[0] for x in members[:SHOWN]]))
    row["CRPS"], row["energy score"] = fair_crps(members, truth), energy_score(members, truth)
    row |= dict.fromkeys(("covered", "width", "spread/skill"), float("nan"))
    if len(members) > 1:
        row["covered"] = measures.coverage(truth, found.lower, found.upper)
        row["width"] = measures.width(found.lower, found.upper)
        row["spread/skill"] = measures.spread_skill(members, found.mean, truth)
    seen = measures.observed_again(members, model.observation)
    row["LR-PSNR"] = measures.lr_psnr(seen, found.low.transpose(2, 0, 1))
    return row


def each(
    work: Callable[[Given], Result], tasks: Sequence[Given], workers: int
) -> Iterator[tuple[Given, Result | BaseException]]:
    """Every task with what came of it, or with what went wrong, as they end; so many at a time, of one thread each.

    With several workers every task has a process of its own, whose memory goes with it, and whose end by force
    is the end of one task. A single worker is this process.
    """
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for task in tasks:
                try:
                    found: Result | BaseException = work(task)
                except Exception as error:
                    found = error
                yield task, found
        finally:
            torch.set_num_threads(threads)
        return

    def alone(task: Given) -> Result:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(work, task).result()

    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch and by others in processes that are yet to start
    pool = ThreadPoolExecutor(workers)
    try:
        running = {pool.submit(alone, task): task for task in tasks}
        for one in as_completed(running):
            yield running[one], one.exception() or one.result()
    finally:
        pool.shutdown(cancel_futures=True)  # what is interrupted starts nothing more
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
