"""Compare recipes with an exact posterior: every score as a ratio to it.

    bayesr bench posterior

Every recipe is trained for the same number of steps of the same size on two problems whose posterior
is known (`bayesr.training.problems`), and draws 32 members of the same observations. Each figure is
divided by that of 32 exact posterior samples of the same observations in the same run: 1 is perfect.
The variogram score stands beside the energy score, which hardly sees correlation.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidArgument
from bayesr.model.model import Model, load
from bayesr.scoring.rules import energy_score, fair_crps, variogram_score
from bayesr.training.loop import Trainer
from bayesr.training.pairs import PairSource
from bayesr.training.problems import GaussianField, Mixture
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.recipes import recipe
from bayesr_bench.options import budget_option, models_folder_option, out_option
from bayesr_bench.record import record

NETWORK: dict[str, Any] = dict(
    width=32, blocks=3, head_width=32, head_blocks=2, latent=12, gaussian_dropout=True, direct=True, mix=32
)
BATCH = 16
PATCH = slice(12, 20)
"""Where the covariance of a patch is compared: 8 x 8 pixels in the middle of a scene, 2 x 2 low-resolution ones."""
MANY = 1024
"""Members per scene that candidates are counted over."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """A recipe on trial: what is trained, and the masks its 32 members share (None for the default)."""

    name: str
    stages: Callable[[int], tuple[Stage, ...]]
    network: dict[str, Any] = field(default_factory=dict)
    masks: int | None = None

    def recipe(self, steps: int) -> Recipe:
        stages = tuple(replace(stage, batch=BATCH) for stage in self.stages(steps))
        return Recipe(self.name, NETWORK | self.network, stages)


def flagship(steps: int) -> tuple[Stage, ...]:
    """The stages of ``bayes-srgan`` as it ships, each with its share of the steps.

    But for two things that the size of the network asks for: the photographs' fidelity stage, long because
    photographs need a deep trunk, has a tenth of the steps, and learning rates are two and a half times as high.
    """
    fidelity, *sampling = recipe("bayes-srgan").stages
    first = steps // 10
    total = sum(stage.steps for stage in sampling)
    share = (steps - first) / total
    rest = tuple(replace(stage, steps=round(stage.steps * share), rate=2.5 * stage.rate) for stage in sampling)
    return replace(fidelity, steps=first), *rest


def alone(loss: str, members: int, rate: float = 2e-3) -> Callable[[int], tuple[Stage, ...]]:
    """One stage with one loss."""
    return lambda steps: (Stage("score", steps, rate, members=members, loss=loss),)


def scored(steps: int) -> tuple[Stage, ...]:
    """The scoring rules of ``bayes-srgan`` without its critic."""
    score = recipe("bayes-srgan").stages[1]
    return (replace(score, steps=steps, rate=2e-3),)


ROWS = (
    Row("bayes-srgan", flagship),
    Row("bayes-srgan, one mask, no critic", scored, {"dropout": 1e-6}, masks=1),
    Row("... without scoring rule (noise alone)", alone("absolute_error", 1), {"dropout": 1e-6}, masks=1),
    Row("L1 + SD reward (rcGAN)", alone("rewarded_error", 2), {"dropout": 1e-6}, masks=1),
    Row(
        "MC-dropout of the tail alone (rate 0.2)",
        alone("absolute_error", 1),
        {"latent": 0, "dropout": 0.2, "gaussian_dropout": False},
    ),
    Row("Gaussian likelihood", alone("gaussian_likelihood", 0), {"head": "gaussian"}),
    Row("quantile regression", alone("pinball", 0), {"head": "quantile"}),
)


def at_hand(
    row: Row, kind: str, problem: PairSource, steps: int, seed: int, folder: Path | None
) -> tuple[Model, float]:
    """A model of the row's recipe, from the folder where it is there on the same terms; the seconds of its training."""
    if folder is None:
        return trained(row, problem, steps, seed)
    path = folder / f"posterior-{kind}-{re.sub(r'[^a-z0-9]+', '-', row.name.lower()).strip('-')}.safetensors"
    terms = {"problem": kind, "recipe": row.name, "steps": steps, "seed": seed}
    if path.exists():
        model = load(path)
        known = model.card.get("posterior", {})
        if {key: known.get(key) for key in terms} != terms:
            raise InvalidArgument(
                f"{path.name} was trained on other terms ({known}) than this table's ({terms}): keep this table's "
                "models in another folder, or take that file away."
            )
        return model, known["seconds"]
    model, seconds = trained(row, problem, steps, seed)
    folder.mkdir(parents=True, exist_ok=True)
    replace(model, card=dict(model.card) | {"posterior": terms | {"seconds": seconds}}).save(path)
    return load(path), seconds  # files round weights, and tables of new and of kept models shall agree


def trained(row: Row, problem: PairSource, steps: int, seed: int) -> tuple[Model, float]:
    """A model of the row's recipe, and the seconds that training it took."""
    trainer = Trainer(row.recipe(steps), problem, seed)
    begun = time.monotonic()
    while trainer.step < trainer.steps:
        trainer.advance()
        if trainer.step % 200 == 0:
            click.echo(f"{row.name}: {trainer.step} of {trainer.steps} steps", err=True)
    trainer.calibrate_spread()
    network = trainer.average.eval().requires_grad_(False)
    return Model(row.name, network, problem.operator), time.monotonic() - begun


def drawn(model: Model, low: Tensor, n: int, masks: int | None, seed: int = 0) -> tuple[Array, Array]:
    """Members `n x scene x band x H x W` of every observation, and their raw aleatoric variance."""
    products = [
        model.sample(y.numpy(), n, masks=masks, value_range=(0, 1), dims=("band", "y", "x"), seed=seed + i)
        for i, y in enumerate(low)
    ]
    members = np.stack([ds["samples"].to_numpy() for ds in products], 1)
    return members, np.stack([ds["aleatoric"].to_numpy() for ds in products])


def figures(members: Array, truth: Array) -> dict[str, float]:
    """What every problem is scored by."""
    return {
        "fair CRPS": fair_crps(members, truth),
        "energy score": energy_score(members, truth),
        "variogram score": variogram_score(members, truth),
        "squared error of the mean": float(np.mean((members.mean(0) - truth) ** 2)),
        "variance": float(members.var(0, ddof=1).mean()),
    }


def eigenvalues(members: Array) -> Array:
    """The ten leading eigenvalues of a patch's posterior covariance, pooled over scenes."""
    patch = members[:, :, 0, PATCH, PATCH].astype(float)
    deviation = (patch - patch.mean(0)).reshape(-1, patch[0, 0].size)
    values = np.linalg.eigvalsh(deviation.T @ deviation / ((len(members) - 1) * members.shape[1]))
    return values[::-1][:10]


def spread_map_error(members: Array, exact: Array) -> float:
    """Root mean squared relative error of the std map, pooled over scenes."""
    found = np.sqrt(members.var(0, ddof=1).mean(0)[0])
    return float(np.sqrt(np.mean((found / exact - 1) ** 2)))


def extent(problem: GaussianField | Mixture) -> str:
    """The size of a scene, in words."""
    side = problem.size * problem.operator.scale
    return f"{side} x {side} pixels from {problem.size} x {problem.size}"


def gaussian_rows(
    rows: tuple[Row, ...], steps: int, scenes: int, n: int, seed: int, folder: Path | None = None
) -> list[dict[str, Any]]:
    """The table on Gaussian fields."""
    problem = GaussianField()
    random = torch.Generator().manual_seed(seed + 1)
    low, high = problem.batch(scenes, random)
    truth = high.numpy()
    oracle = problem.posterior(low, n, random).transpose(0, 1).float().numpy()
    exact = problem.posterior_variance.sqrt().numpy()
    index = torch.arange(problem.side**2).reshape(problem.side, -1)[PATCH, PATCH].flatten()
    leading = np.linalg.eigvalsh(problem.posterior_covariance[index][:, index].numpy())[::-1][:10]

    def row(name: str, members: Array, aleatoric: Array | None, seconds: float) -> dict[str, Any]:
        ratios = {key: value / best[key] for key, value in figures(members, truth).items()}
        share = eigenvalues(members) / leading
        beyond = spread_map_error(members, exact) ** 2 - spread_map_error(oracle, exact) ** 2
        return {
            "recipe": name,
            **ratios,
            "aleatoric": float("nan") if aleatoric is None else float(aleatoric.mean() / np.mean(exact**2)),
            "std map, error": float(np.sqrt(max(beyond, 0.0))),
            "eigenvalues 1-10, least": float(share.min()),
            "most": float(share.max()),
            "seconds": round(seconds),
        }

    best = figures(oracle, truth)
    table = [row("exact posterior", oracle, None, 0)]
    for what in rows:
        model, seconds = at_hand(what, "gaussian", problem, steps, seed, folder)
        table.append(row(what.name, *drawn(model, low, n, what.masks, seed), seconds))
        click.echo(table[-1], err=True)
    return table


def mixture_rows(
    rows: tuple[Row, ...], steps: int, scenes: int, n: int, seed: int, folder: Path | None = None
) -> list[dict[str, Any]]:
    """The table on finite mixtures."""
    problem = Mixture()
    random = torch.Generator().manual_seed(seed + 1)
    low, found, probability = problem.scenes(scenes, random)
    truth = problem.posterior(found, probability, 1, random)[:, 0].float().numpy()
    oracle = problem.posterior(found, probability, n, random).transpose(0, 1).float().numpy()
    counted = slice(0, max(1, scenes // 4))
    candidates, likely = found[counted].float().numpy(), probability[counted].numpy()
    apart = np.sqrt(np.mean((candidates[:, 0] - candidates[:, 1]) ** 2))

    def tally(members: Array) -> tuple[float, float]:
        """Mean total variation to the true probabilities, and the distance to the nearest candidate."""
        distance = np.stack([np.mean((members - c[None]) ** 2, (2, 3, 4)) for c in candidates.swapaxes(0, 1)], -1)
        nearest = np.eye(problem.candidates)[distance.argmin(-1)].mean(0)
        return float(np.abs(nearest - likely).sum(1).mean() / 2), float(np.sqrt(distance.min(-1).mean()) / apart)

    def row(name: str, members: Array, many: Array, seconds: float) -> dict[str, Any]:
        ratios = {key: value / best[key] for key, value in figures(members, truth).items()}
        variation, off = tally(many)
        marks = {"total variation": variation, "distance to the nearest candidate": off}
        return {"recipe": name, **ratios, **marks, "seconds": round(seconds)}

    best = figures(oracle, truth)
    exact = problem.posterior(found[counted], probability[counted], MANY, random).transpose(0, 1).float().numpy()
    table = [row("exact posterior", oracle, exact, 0)]
    for what in rows:
        model, seconds = at_hand(what, "mixture", problem, steps, seed, folder)
        members, _ = drawn(model, low.float(), n, what.masks, seed)
        many, _ = drawn(model, low[counted].float(), MANY, what.masks, seed)
        table.append(row(what.name, members, many, seconds))
        click.echo(table[-1], err=True)
    return table


Measure = Callable[[tuple[Row, ...], int, int, int, int, Path | None], list[dict[str, Any]]]
PROBLEMS: dict[str, tuple[GaussianField | Mixture, Measure]] = {
    "gaussian": (GaussianField(), gaussian_rows),
    "mixture": (Mixture(), mixture_rows),
}


@click.command()
@models_folder_option
@budget_option(steps=100, scenes=32, names=(0, 3, 6))
@click.option("--problem", "problems", multiple=True, type=click.Choice(list(PROBLEMS)), default=list(PROBLEMS))
@click.option(
    "--rows", "names", multiple=True, type=click.IntRange(0, len(ROWS) - 1), help="Only these rows, counted from 0."
)
@click.option("--steps", default=4000, show_default=True, help=f"Training steps of {BATCH} scenes, for every recipe.")
@click.option("--scenes", default=256, show_default=True, help="Observations that are scored.")
@click.option("-n", default=32, show_default=True, help="Members.")
@click.option("--seed", default=0, show_default=True)
@out_option
def command(
    models: Path | None,
    budget: str,
    problems: tuple[str, ...],
    names: tuple[int, ...],
    steps: int,
    scenes: int,
    n: int,
    seed: int,
    out: Path,
) -> None:
    """Scores as ratios to an exact posterior, of bayes-srgan and of what else is used."""
    rows = tuple(ROWS[i] for i in names) or ROWS
    for name in problems:
        problem, measure = PROBLEMS[name]
        table = measure(rows, steps, scenes, n, seed, models)
        notes = {
            "training": f"{steps} steps of {BATCH} scenes, {extent(problem)} (bicubic x4), network {NETWORK}",
            "members": f"of {scenes} scenes, through bayesr.sample",
            "seconds": "wall time of training",
        }
        notes |= {
            "gaussian": {
                "aleatoric": "over the exact posterior variance",
                "std map, error": "relative, root mean square, beyond the sampling error of exact samples",
                "eigenvalues": "of the covariance of an 8 x 8 patch, over the exact: least and most of ten",
            },
            "mixture": {
                "total variation": f"between frequencies of the nearest candidate in {MANY} members and the true "
                "probabilities, mean over a quarter of the scenes; the first row says what sampling alone makes",
                "distance to the nearest candidate": "root mean square, over the distance of two candidates",
            },
        }[name]
        estimators = "fair; as ratios to exact posterior samples of the same observations, but for the last ones"
        record(f"posterior-{name}", table, notes, out, seed=seed, n=n, estimators=estimators)
