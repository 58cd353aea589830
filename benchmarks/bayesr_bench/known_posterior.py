"""Recipes trained on problems whose posterior is known: what `bayesr bench posterior` and `epistemic` measure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bayesr.files import make_folder
from bayesr.model.model import Model, load
from bayesr.training.loop import Trainer
from bayesr.training.pairs import PairSource
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.recipes import recipe
from bayesr_bench.problems import GaussianField, Mixture
from bayesr_bench.training import check_terms

NETWORK: dict[str, Any] = dict(
    width=32, blocks=3, head_width=32, head_blocks=2, latent=12, gaussian_dropout=True, direct=True, mix=32
)
BATCH = 16
"""Scenes per training step."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """A recipe that is trained and measured.

    Attributes
    ----------
    name : str
        Its name in the table.
    stages : callable
        Returns the training stages for a total number of steps.
    network : dict
        Options that replace those of `NETWORK`.
    masks : int or None
        Number of dropout masks that the members share; None for the default.
    """

    name: str
    stages: Callable[[int], tuple[Stage, ...]]
    network: dict[str, Any] = field(default_factory=dict)
    masks: int | None = None

    def recipe(self, steps: int) -> Recipe:
        """Return the recipe for a number of training steps."""
        stages = tuple(replace(stage, batch=BATCH) for stage in self.stages(steps))
        adversarial = any(stage.discriminator for stage in stages)
        discriminators = recipe("bayes-srgan").discriminators if adversarial else {}
        return Recipe(self.name, NETWORK | self.network, stages, discriminators=discriminators)


def flagship(steps: int) -> tuple[Stage, ...]:
    """Return the stages of ``bayes-srgan``, each with its share of the steps.

    The network is small, which asks for two changes. The fidelity stage, which is long because photographs need a deep
    backbone, has a tenth of the steps. Learning rates are two and a half times as high. There is no feature network,
    which was trained on photographs.
    """
    shares = (0.1, 0.9)
    stages = []
    for stage, share in zip(recipe("bayes-srgan").stages, shares, strict=True):
        count = round(share * steps)
        warmup = round(stage.warmup * count / stage.steps)
        faster = 1.0 if stage.name == "fidelity" else 2.5
        rates: dict[str, Any] = {"rate": faster * stage.rate}
        if stage.discriminator_rate is not None:
            rates["discriminator_rate"] = faster * stage.discriminator_rate
        stages.append(replace(stage, steps=count, warmup=warmup, features=0.0, **rates))
    return tuple(stages)


def alone(loss: str, members: int, rate: float = 2e-3) -> Callable[[int], tuple[Stage, ...]]:
    """Return a function that makes a single stage with one loss."""
    return lambda steps: (Stage("score", steps, rate, members=members, loss=loss),)


def scored(steps: int) -> tuple[Stage, ...]:
    """Return a single stage with the scoring rules of ``bayes-sr``."""
    score = recipe("bayes-sr").stages[1]
    return (replace(score, steps=steps, rate=2e-3),)


ENTRIES = (
    Entry("bayes-srgan", flagship, {"dropout": 0.02}),
    Entry("bayes-sr, one mask", scored, {"dropout": 1e-6}, masks=1),
    Entry("... without scoring rule (noise alone)", alone("absolute_error", 1), {"dropout": 1e-6}, masks=1),
    Entry("L1 + SD reward (rcGAN)", alone("rewarded_error", 2), {"dropout": 1e-6}, masks=1),
    Entry(
        "MC-dropout of the head alone (rate 0.2)",
        alone("absolute_error", 1),
        {"latent": 0, "dropout": 0.2, "gaussian_dropout": False},
    ),
    Entry("Gaussian likelihood", alone("gaussian_likelihood", 0), {"head": "gaussian"}),
    Entry("quantile regression", alone("pinball", 0), {"head": "quantile"}),
)


def train(entry: Entry, problem: PairSource, steps: int, seed: int) -> tuple[Model, float]:
    """Train an entry; return the model and the seconds that the training took."""
    trainer = Trainer(entry.recipe(steps), problem, seed)
    begun = time.monotonic()
    while trainer.step < trainer.steps:
        trainer.advance()
        if trainer.step % 200 == 0:
            click.echo(f"{entry.name}: {trainer.step} of {trainer.steps} steps", err=True)
    trainer.calibrate_spread()
    network = trainer.average.eval().requires_grad_(False)
    return Model(entry.name, network, problem.operator), time.monotonic() - begun


def load_or_train(
    entry: Entry, kind: str, problem: PairSource, steps: int, seed: int, folder: Path | None
) -> tuple[Model, float]:
    """Load an entry's model from a folder, or train it and store it there.

    Parameters
    ----------
    entry : Entry
    kind : str
        Name of the problem.
    problem : PairSource
    steps, seed : int
        Training steps, and the seed of the training.
    folder : Path or None
        None stores nothing.

    Returns
    -------
    Model
    float
        Seconds that the training took.

    Raises
    ------
    InvalidArgument
        If the stored model was trained with other settings.
    """
    if folder is None:
        return train(entry, problem, steps, seed)
    path = folder / f"posterior-{kind}-{re.sub(r'[^a-z0-9]+', '-', entry.name.lower()).strip('-')}.safetensors"
    terms = {"problem": kind, "recipe": entry.name, "steps": steps, "seed": seed}
    if path.exists():
        model = load(path)
        known = model.card.get("posterior", {})
        check_terms(path, {key: known.get(key) for key in terms}, terms)
        return model, known["seconds"]
    model, seconds = train(entry, problem, steps, seed)
    make_folder(folder)
    replace(model, card=dict(model.card) | {"posterior": terms | {"seconds": seconds}}).save(path)
    return load(path), seconds  # files round weights; new and stored models must give the same table


def draw(model: Model, low: Tensor, n: int, masks: int | None, seed: int = 0) -> tuple[Array, Array]:
    """Draw members for several low-resolution images.

    Parameters
    ----------
    model : Model
    low : Tensor
        Low-resolution images, ``scene x band x h x w``.
    n : int
        Number of members.
    masks : int or None
    seed : int

    Returns
    -------
    members : ndarray
        Of shape ``n x scene x band x H x W``.
    aleatoric : ndarray
        Of shape ``scene x band x H x W``, not calibrated.
    """
    products = [
        model.sample(y.numpy(), n, masks=masks, value_range=(0, 1), dims=("band", "y", "x"), seed=seed + i)
        for i, y in enumerate(low)
    ]
    members = np.stack([ds["samples"].to_numpy() for ds in products], 1)
    return members, np.stack([ds["aleatoric"].to_numpy() for ds in products])


def describe_training(steps: int, problem: GaussianField | Mixture) -> str:
    """Return the fact ``training`` of a table."""
    side = problem.size * problem.operator.scale
    extent = f"{side} x {side} pixels from {problem.size} x {problem.size}"
    return f"{steps} steps of {BATCH} scenes, {extent} (bicubic x4), network {NETWORK}"
