"""Who is compared in `bayesr bench rivals`: how each is made ready, and what it answers to a picture.

A contender is one row. Recipes and the denoiser are trained on the same images for the same processor seconds, and
whatever draws members is calibrated by the same code on the same held-out images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.calibration.factor import FactorFit
from bayesr.calibration.intervals import LAMBDAS, missed_curve
from bayesr.errors import InvalidArgument
from bayesr.model.header import read_header
from bayesr.networks.heads.marginal import QuantileHead
from bayesr.networks.layers import sub_pixels
from bayesr.observe import Separable, bicubic
from bayesr.training.data import ImageSet, load_images
from bayesr_bench import conformal, deepinverse, denoiser, measures
from bayesr_bench.deepinverse import Guidance, Langevin, Restoration, Sampler
from bayesr_bench.measures import Scores
from bayesr_bench.sets import SCALE, Answer, Picture, answer, observe
from bayesr_bench.trial import LEVEL, Array, Task, figures, produce

SIDE = 32
"""Of the middle of each picture that is measured on, in low-resolution pixels: slow samplers come to an end."""
CALIBRATED_SIDE = 16
"""Of the middle of each held-out image that slow samplers are calibrated on."""
OURS, BUNDLED = ("bayes-sr", "bayes-srgan"), "natural-x4"
RCPS = "quantile, RCPS"
DENOISER = "denoiser"
SAMPLERS: dict[str, tuple[Sampler, Sampler]] = {
    "DDRM": (Restoration(), Restoration(steps=6)),
    "PiGDM": (Guidance(), Guidance(steps=4)),
    "Langevin": (Langevin(), Langevin(stages=6, burn_in=2, thinning=1)),
}
"""Samplers of deepinv, and what a small budget leaves of them."""
_QUANTUM = 1.0


@dataclass(frozen=True)
class Contender:
    """A row, and what it takes to make and to measure it.

    Attributes
    ----------
    name : str
        Of a recipe, of `SAMPLERS`, `RCPS`, `DENOISER`, or of a bundled model.
    task : Task
        Its data, its number of members, and its model file. Where that is not there it is trained.
    small : bool
        Whether the samplers are those of a small budget.
    share : tuple of int
        (k, m): every m-th picture from the k-th on is measured, the others by others.
    """

    name: str
    task: Task
    small: bool = False
    share: tuple[int, int] = (0, 1)

    @property
    def sampler(self) -> Sampler:
        """What draws its members."""
        return SAMPLERS[self.name][self.small]

    @property
    def calibrated(self) -> Path:
        """Where the calibration of its sampler lies."""
        return self.task.model.with_name(f"{self.task.domain}-{self.name.lower()}.json")


@dataclass(frozen=True)
class Measured:
    """What came of it: scores by set, and what there is to say of the row."""

    scores: Mapping[str, Scores]
    said: str = ""


# -- made ready ----------------------------------------------------------------------------------


def ready(contender: Contender) -> None:
    """Train what is not there yet, and calibrate a sampler."""
    task = contender.task
    if contender.name in SAMPLERS:
        if not contender.calibrated.exists():
            _calibrate(contender)
    elif task.model.exists():
        return
    elif contender.name == DENOISER:
        net, card = denoiser.train(load_images([task.images]), task.budget, task.seed)
        denoiser.save(net, {"domain": task.domain} | card | {"systems": task.terms}, task.model)
    else:
        produce(task)


def known(contenders: Sequence[Contender]) -> list[str]:
    """The files that are there already, which must have been made on the same terms.

    Raises
    ------
    InvalidArgument
        When one was not.
    """
    found = []
    for contender in contenders:
        if contender.name in SAMPLERS:
            file, terms = contender.calibrated, _sampler_terms(contender)
            has = json.loads(file.read_text())["terms"] if file.exists() else None
        else:
            file, terms = contender.task.model, contender.task.terms
            has = read_header(file)["card"].get("systems") if file.exists() else None
        if not file.exists():
            continue
        if has != terms:
            raise InvalidArgument(
                f"{file.name} was made on other terms ({has}) than this table's ({terms}), and cannot be compared: "
                "keep this table's models in another folder, or take that file away."
            )
        found.append(file.stem)
    return found


def _sampler_terms(contender: Contender) -> dict[str, Any]:
    task, model = contender.task, contender.task.model
    sha256 = read_header(model)["sha256"] if model.exists() else ""
    plain = deepinverse.described(contender.sampler)
    return task.terms | {"n": task.n, "side": CALIBRATED_SIDE, "denoiser_sha256": sha256, "sampler": plain}


def _calibrate(contender: Contender) -> None:
    """As `bayesr.calibrate` does it: half of the held-out images for the factor, half for lambda."""
    task = contender.task
    images = load_images([task.held_out]).images
    order = np.random.default_rng(task.seed).permutation(len(images))
    net, _ = denoiser.load(task.model)
    begun = time.process_time()
    drawn = []
    for i in order:
        high = middle(images[i], CALIBRATED_SIDE * SCALE)
        x = deepinverse.members(contender.sampler, net, observe(high), bicubic(SCALE), task.n, task.seed)
        drawn.append((x, high.transpose(2, 0, 1).astype(np.float64)))
    half = (len(drawn) + 1) // 2
    found = fit(drawn[:half], drawn[half:])
    plain = {
        "terms": _sampler_terms(contender),
        "processor_seconds": round(time.process_time() - begun, 1),
        "calibration": found.describe(),
    }
    contender.calibrated.write_text(json.dumps(plain, indent=1) + "\n")


def fit(for_factor: Sequence[tuple[Array, Array]], for_interval: Sequence[tuple[Array, Array]]) -> Calibration:
    """The calibration of members, `n x ...`, against truths, in grey levels: a factor, and lambda at their number."""
    factors = FactorFit()
    for members, truth in for_factor:
        mean, raw = members.mean(0, dtype=np.float64) / 255, members.var(0, ddof=1, dtype=np.float64) / 255**2
        factors.add(raw, truth / 255 - mean, len(members))
    bare = Calibration(*factors.fit())
    missed = np.zeros(len(LAMBDAS))
    for members, truth in for_interval:
        raw = members.std(0, ddof=1, dtype=np.float64) / 255
        error = (truth - members.mean(0, dtype=np.float64)) / 255
        missed += missed_curve(bare.factors(raw) * raw, error, _QUANTUM / 255) / len(for_interval)
    return replace(bare, missed={len(members): missed}, images=len(for_interval), source="held-out images")


# -- measured ------------------------------------------------------------------------------------


def measure(contender: Contender, pictures: Mapping[str, Sequence[Picture]]) -> Measured:
    """The scores of its share of all pictures, in their order."""
    ask = _asked(contender)
    reference = bayesr.load(BUNDLED)  # whose observation is the one that all are compared under
    scores: dict[str, Scores] = {}
    said = []
    for name, of_set in pictures.items():
        scores[name] = {}
        for picture in list(of_set)[contender.share[0] :: contender.share[1]]:
            found = ask(picture)
            row = figures(reference, found, picture.grey)
            row["covered raw"] = row["width raw"] = float("nan")
            if len(found.members) > 1:
                _, lower, upper = interval(found.members, Calibration())
                row["covered raw"] = measures.coverage(found.truth, lower, upper)
                row["width raw"] = measures.width(lower, upper)
            for figure, value in row.items():
                scores[name].setdefault(figure, []).append(value)
            if contender.name in SAMPLERS and isinstance(contender.sampler, Langevin):
                said.append(deepinverse.effective(found.members, contender.sampler.chains))
    return Measured(scores, f"{np.mean(said):.1f}" if said else "")


def _asked(contender: Contender) -> Callable[[Picture], Answer]:
    """What answers a picture."""
    task = contender.task
    if contender.name in SAMPLERS:
        net, _ = denoiser.load(task.model)
        plain = json.loads(contender.calibrated.read_text())["calibration"]
        calibration = Calibration.from_description(plain)
        return lambda picture: drawn(contender.sampler, net, calibration, picture, task.n, task.seed)
    model = bayesr.load(task.model)
    n = task.n if model.generator.stochastic else 1
    if contender.name != RCPS:
        return lambda picture: answer(model, picture, n, task.seed, LEVEL)
    factor = rcps(model, load_images([task.held_out]))

    def controlled(picture: Picture) -> Answer:
        found = answer(model, picture, n, task.seed, LEVEL)
        ends = conformal.widened(*heads(model, found.low), factor, _QUANTUM)
        lower, upper = (end.clip(0, 255).astype(np.float32) for end in ends)
        return found._replace(lower=lower, upper=upper)

    return controlled


def drawn(
    sampler: Sampler, net: torch.nn.Module, calibration: Calibration, picture: Picture, n: int, seed: int
) -> Answer:
    """What a sampler says of a picture."""
    low = observe(picture.pixels)
    members = deepinverse.members(sampler, net, low, bicubic(SCALE), n, seed)
    std, lower, upper = interval(members, calibration)
    truth = picture.pixels.transpose(2, 0, 1).astype(np.float32)
    return Answer(low, members, members.mean(0), std, lower, upper, truth)


def interval(members: Array, calibration: Calibration) -> tuple[Array, Array, Array]:
    """(std, lower, upper) of members in grey levels, as of a product; without calibration those of Student's t."""
    raw = members.std(0, ddof=1, dtype=np.float64)
    std = calibration.factors(raw / 255) * raw
    reach = calibration.half_width(LEVEL, len(members)) * std + _QUANTUM / 2
    mean = members.mean(0, dtype=np.float64)
    ends = (mean - reach).clip(0, 255), (mean + reach).clip(0, 255)
    return tuple(part.astype(np.float32) for part in (std, *ends))


# -- quantile regression -------------------------------------------------------------------------


@torch.no_grad()
def heads(model: bayesr.Model, low: Array) -> tuple[Array, Array, Array]:
    """(prediction, lower head, upper head) of a model of quantiles, `band x y x x`, in grey levels.

    The heads are the quantiles of 5% and 95%, shrunk as the loss that trained them had them: what the observation
    shows of a pixel has no spread.
    """
    network, operator = model.generator, model.observation
    head = network.head
    if not isinstance(head, QuantileHead) or not isinstance(operator, Separable):
        raise InvalidArgument(f"{model.name} has no quantiles to widen: its tail is another.")
    y = torch.from_numpy(low.astype(np.float32) / 255).permute(2, 0, 1)[None]
    shared = network.prepare(y.contiguous(memory_format=torch.channels_last))
    kept = operator.null_space_variance(*y.shape[-2:]).sqrt()
    offsets = head.quantiles(shared)[0]
    centre = operator.project_onto_data_(sub_pixels(shared.detail, operator.scale), y)
    ends = (centre + kept * sub_pixels(offsets[k : k + 1], operator.scale) for k in (0, -1 % len(head.LEVELS)))
    return tuple(part[0].mul(255).double().numpy() for part in (centre, *ends))  # type: ignore[return-value]


def rcps(model: bayesr.Model, held_out: ImageSet) -> float:
    """The widening of the heads that all held-out images allow."""
    shares = []
    for image in held_out.images:
        high = middle(image, min(image.shape[:2]) // SCALE * SCALE)
        truth = high.transpose(2, 0, 1).astype(np.float64)
        shares.append(conformal.missed(*heads(model, observe(high)), truth, _QUANTUM))
    return conformal.widening(np.stack(shares))


# -- pictures ------------------------------------------------------------------------------------


def middle(image: Array, side: int) -> Array:
    """The middle of an image, `y x x x band`, at most so many pixels high and wide."""
    top, left = (max(0, (size - side) // 2) for size in image.shape[:2])
    return image[top : top + side, left : left + side]
