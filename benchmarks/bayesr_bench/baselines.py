"""The systems that `bayesr bench baselines` compares: how each is trained, calibrated and measured.

Recipes and the denoiser of samplers are trained on the same images for the same processor seconds. All systems that
draw members are calibrated by the same code on the same held-out images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.errors import InvalidArgument
from bayesr.files import write_atomically
from bayesr.model.header import read_header
from bayesr.networks.heads.marginal import QuantileHead
from bayesr.networks.layers import sub_pixels
from bayesr.observe import Separable, bicubic
from bayesr.training.data import ImageSet, load_images, middle
from bayesr_bench import conformal, deepinverse, denoiser, measures
from bayesr_bench.deepinverse import Guidance, Langevin, Restoration, Sampler
from bayesr_bench.intervals import LIMITS, STEP, case_of, fit_calibration, interval_of
from bayesr_bench.measures import Scores
from bayesr_bench.scores import scores_of
from bayesr_bench.sets import SCALE, Answer, Picture, answer, observe
from bayesr_bench.training import LEVEL, Array, Task, check_terms, terms_of, train_and_calibrate

SIDE = 32
"""Side of the central crop of each image that is measured on, in low-resolution pixels. Samplers are slow."""
CALIBRATED_SIDE = 16
"""Side of the central crop of each held-out image that samplers are calibrated on, in low-resolution pixels."""
OURS, BUNDLED = ("bayes-sr", "bayes-srgan"), "natural-x4"
RCPS = "quantile, RCPS"
DENOISER = "denoiser"
SAMPLERS: dict[str, tuple[Sampler, Sampler]] = {
    "DDRM": (Restoration(), Restoration(steps=6)),
    "PiGDM": (Guidance(), Guidance(steps=4)),
    "Langevin": (Langevin(), Langevin(stages=6, burn_in=2, thinning=1)),
}
"""Samplers of deepinv: of a full budget, and of a small one."""


@dataclass(frozen=True)
class System:
    """A system of the table.

    Attributes
    ----------
    name : str
        A recipe, a name in `SAMPLERS`, `RCPS`, `DENOISER`, or a bundled model.
    task : Task
        Its data, number of members, and model file. The model is trained if its file does not exist.
    small : bool
        Whether samplers are those of a small budget.
    share : tuple of int
        ``(k, m)``: every m-th image from the k-th on is measured. The others are measured by other processes.
    """

    name: str
    task: Task
    small: bool = False
    share: tuple[int, int] = (0, 1)

    @property
    def sampler(self) -> Sampler:
        """The sampler that draws the members."""
        return SAMPLERS[self.name][self.small]

    @property
    def calibrated(self) -> Path:
        """The file with the calibration of the sampler."""
        return self.task.model.with_name(f"{self.task.domain}-{self.name.lower()}.json")


@dataclass(frozen=True)
class Outcome:
    """What was measured of a system: scores by set, and the number of independent members where it is estimated."""

    scores: Mapping[str, Scores]
    independent: str = ""


# -- training and calibration --------------------------------------------------------------------


def prepare(system: System) -> None:
    """Train the model if its file does not exist; calibrate the sampler if its calibration does not exist."""
    task = system.task
    if system.name in SAMPLERS:
        if not system.calibrated.exists():
            _calibrate(system)
    elif task.model.exists():
        return
    elif system.name == DENOISER:
        net, card = denoiser.train(load_images([task.archives.images]), task.budget, task.seed)
        denoiser.save(net, {"domain": task.domain} | card | {"systems": task.terms}, task.model)
    else:
        train_and_calibrate(task)


def reused(systems: Sequence[System]) -> list[str]:
    """Return the names of the files that exist, after a check of their terms.

    Raises
    ------
    InvalidArgument
        If a file was made on other terms.
    """
    found = []
    for system in systems:
        sampler = system.name in SAMPLERS
        file = system.calibrated if sampler else system.task.model
        if file.exists():
            if sampler:
                check_terms(file, json.loads(file.read_text())["terms"], _sampler_terms(system))
            else:
                check_terms(file, terms_of(file), system.task.terms)
            found.append(file.stem)
    return found


def _sampler_terms(system: System) -> dict[str, Any]:
    task, model = system.task, system.task.model
    sha256 = read_header(model)["sha256"] if model.exists() else ""
    plain = deepinverse.described(system.sampler)
    return task.terms | {"n": task.n, "side": CALIBRATED_SIDE, "denoiser_sha256": sha256, "sampler": plain}


def _calibrate(system: System) -> None:
    """Calibrate a sampler as `bayesr.calibrate` does: half of the held-out images for the factor, half for lambda."""
    task = system.task
    images = load_images([task.archives.held_out]).images
    order = np.random.default_rng(task.seed).permutation(len(images))
    net, _ = denoiser.load(task.model)
    begun = time.process_time()
    drawn = []
    for i in order:
        high = middle(images[i], CALIBRATED_SIDE * SCALE)
        x = deepinverse.members(system.sampler, net, observe(high), bicubic(SCALE), task.n, task.seed)
        drawn.append(case_of(x, high.transpose(2, 0, 1).astype(np.float64)))
    half = (len(drawn) + 1) // 2
    found = fit_calibration(drawn[:half], drawn[half:], task.n)
    plain = {
        "terms": _sampler_terms(system),
        "processor_seconds": round(time.process_time() - begun, 1),
        "calibration": found.describe(),
    }
    write_atomically(system.calibrated, json.dumps(plain, indent=1) + "\n")


# -- measuring -----------------------------------------------------------------------------------


def measure(system: System, pictures: Mapping[str, Sequence[Picture]]) -> Outcome:
    """Measure a system on its share of all images, in their order."""
    ask = _asked(system)
    reference = bayesr.load(BUNDLED)  # its forward operator is the one of the comparison
    scores: dict[str, Scores] = {}
    independent = []
    for name, of_set in pictures.items():
        rows = []
        for picture in list(of_set)[system.share[0] :: system.share[1]]:
            found = ask(picture)
            row = scores_of(reference, found, picture.grey)
            row["covered raw"] = row["width raw"] = float("nan")
            if len(found.members) > 1:
                _, lower, upper = interval_of(found.members, Calibration())
                row["covered raw"] = measures.coverage(found.truth, lower, upper)
                row["width raw"] = measures.width(lower, upper)
            rows.append(row)
            if system.name in SAMPLERS and isinstance(system.sampler, Langevin):
                independent.append(deepinverse.effective(found.members, system.sampler.chains))
        scores[name] = measures.gathered(rows)
    return Outcome(scores, f"{np.mean(independent):.1f}" if independent else "")


def _asked(system: System) -> Callable[[Picture], Answer]:
    """Return the function that gives a system's answer to an image."""
    task = system.task
    if system.name in SAMPLERS:
        net, _ = denoiser.load(task.model)
        plain = json.loads(system.calibrated.read_text())["calibration"]
        calibration = Calibration.from_description(plain)
        return lambda picture: sampled(system.sampler, net, calibration, picture, task.n, task.seed)
    model = bayesr.load(task.model)
    n = task.n if model.generator.stochastic else 1
    if system.name != RCPS:
        return lambda picture: answer(model, picture, n, task.seed, LEVEL)
    factor = rcps(model, load_images([task.archives.held_out]))

    def controlled(picture: Picture) -> Answer:
        found = answer(model, picture, n, task.seed, LEVEL)
        ends = conformal.widened(*quantiles(model, found.low), factor, STEP)
        lower, upper = (end.clip(*LIMITS).astype(np.float32) for end in ends)
        return found._replace(lower=lower, upper=upper)

    return controlled


def sampled(
    sampler: Sampler, net: torch.nn.Module, calibration: Calibration, picture: Picture, n: int, seed: int
) -> Answer:
    """Return the answer of a sampler to an image."""
    low = observe(picture.pixels)
    members = deepinverse.members(sampler, net, low, bicubic(SCALE), n, seed)
    std, lower, upper = interval_of(members, calibration)
    truth = picture.pixels.transpose(2, 0, 1).astype(np.float32)
    return Answer(low, members, members.mean(0), std, lower, upper, truth)


# -- quantile regression -------------------------------------------------------------------------


@torch.no_grad()
def quantiles(model: bayesr.Model, low: Array) -> tuple[Array, Array, Array]:
    """Return the prediction and the quantiles of 5% and 95% of a model with a quantile head.

    The distances of the quantiles are shrunk as they are in training: a pixel that the low-resolution image determines
    has no spread.

    Returns
    -------
    tuple of ndarray
        Of shape ``band x y x x``, in grey levels.

    Raises
    ------
    InvalidArgument
        If the model has another head.
    """
    network, operator = model.generator, model.forward_operator
    head = network.head
    if not isinstance(head, QuantileHead) or not isinstance(operator, Separable):
        raise InvalidArgument(f"{model.name} has no quantiles to widen, since it has no quantile head.")
    y = torch.from_numpy(low.astype(np.float32) / 255).permute(2, 0, 1)[None]
    shared = network.prepare(y.contiguous(memory_format=torch.channels_last))
    kept = operator.null_space_variance(*y.shape[-2:]).sqrt()
    offsets = head.quantiles(shared)[0]
    centre = operator.project_onto_data_(sub_pixels(shared.detail, operator.scale), y)
    ends = (centre + kept * sub_pixels(offsets[k : k + 1], operator.scale) for k in (0, -1 % len(head.LEVELS)))
    return tuple(part[0].mul(255).double().numpy() for part in (centre, *ends))  # type: ignore[return-value]


def rcps(model: bayesr.Model, held_out: ImageSet) -> float:
    """Return the widening of the quantiles that controls the risk on all held-out images."""
    missed = []
    for image in held_out.images:
        high = middle(image, min(image.shape[:2]) // SCALE * SCALE)
        truth = high.transpose(2, 0, 1).astype(np.float64)
        missed.append(conformal.missed(*quantiles(model, observe(high)), truth, STEP))
    return conformal.widening(np.stack(missed))
