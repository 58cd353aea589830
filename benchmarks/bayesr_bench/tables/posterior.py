"""Compare recipes with an exact posterior: every score as a ratio to it.

    bayesr bench posterior

Every recipe is trained for the same number of steps on two problems whose posterior is known
(`bayesr_bench.problems`), and draws members for the same low-resolution images. Each figure is divided by that
of as many exact posterior samples for the same images, drawn in the same run, so that 1 is perfect. The variogram
score is given beside the energy score, which hardly depends on correlation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.model.model import Model
from bayesr.scoring.rules import energy_score, fair_crps, variogram_score
from bayesr_bench.harness import Result, option, table
from bayesr_bench.known_posterior import BATCH, ENTRIES, Entry, describe_training, draw, load_or_train
from bayesr_bench.options import Members, ModelsFolder, Seed
from bayesr_bench.problems import GaussianField, Mixture

PATCH = slice(12, 20)
"""The covariance is compared on a patch of 8 x 8 pixels in the middle of a scene, 2 x 2 low-resolution pixels."""
MANY = 1024
"""Members per scene whose nearest candidates are counted."""

Array = NDArray[Any]
Row = dict[str, Any]


def figures(members: Array, truth: Array) -> dict[str, float]:
    """Return the figures that both problems have."""
    return {
        "fair CRPS": fair_crps(members, truth),
        "energy score": energy_score(members, truth),
        "variogram score": variogram_score(members, truth),
        "squared error of the mean": float(np.mean((members.mean(0) - truth) ** 2)),
        "variance": float(members.var(0, ddof=1).mean()),
    }


def eigenvalues(members: Array) -> Array:
    """Return the ten largest eigenvalues of a patch's posterior covariance, pooled over scenes."""
    patch = members[:, :, 0, PATCH, PATCH].astype(float)
    deviation = (patch - patch.mean(0)).reshape(-1, patch[0, 0].size)
    values = np.linalg.eigvalsh(deviation.T @ deviation / ((len(members) - 1) * members.shape[1]))
    return values[::-1][:10]


def spread_map_error(members: Array, exact: Array) -> float:
    """Return the root mean squared relative error of the std map, pooled over scenes."""
    found = np.sqrt(members.var(0, ddof=1).mean(0)[0])
    return float(np.sqrt(np.mean((found / exact - 1) ** 2)))


class Comparison(ABC):
    """Comparison of models with the exact posterior on one problem.

    Parameters
    ----------
    scenes : int
        Number of low-resolution images.
    n : int
        Number of members.
    seed : int
        Seed of the images, of the exact samples and of the members.
    """

    kind: ClassVar[str]
    notes: ClassVar[dict[str, str]]
    problem: GaussianField | Mixture

    def __init__(self, scenes: int, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        low, self.truth, self.exact = self.scenes(scenes, torch.Generator().manual_seed(seed + 1))
        self.low = low.float()
        self.best = figures(self.exact, self.truth)

    @abstractmethod
    def scenes(self, count: int, random: torch.Generator) -> tuple[Tensor, Array, Array]:
        """Return low-resolution images, their truths and `n` exact posterior samples."""

    @abstractmethod
    def exact_row(self) -> Row:
        """Return the row of the exact posterior."""

    @abstractmethod
    def row(self, entry: Entry, model: Model) -> Row:
        """Return the row of a trained model."""

    def ratios(self, members: Array) -> Row:
        """Return the figures of members, divided by those of exact samples."""
        return {key: value / self.best[key] for key, value in figures(members, self.truth).items()}

    def rows(self, entries: Sequence[Entry], steps: int, folder: Path | None) -> list[Row]:
        """Return one row for the exact posterior and one for each entry, trained or loaded from a folder."""
        found = [{"recipe": "exact posterior", **self.exact_row(), "seconds": 0}]
        for entry in entries:
            model, seconds = load_or_train(entry, self.kind, self.problem, steps, self.seed, folder)
            found.append({"recipe": entry.name, **self.row(entry, model), "seconds": round(seconds)})
            click.echo(found[-1], err=True)
        return found


class OnGaussianFields(Comparison):
    """Comparison on Gaussian fields, whose posterior is normal."""

    kind = "gaussian"
    notes: ClassVar[dict[str, str]] = {
        "aleatoric": "divided by the exact posterior variance",
        "std map, error": "relative, root mean square, without the sampling error that exact samples have",
        "eigenvalues": "of the covariance of an 8 x 8 patch, divided by the exact ones: the least and the largest "
        "ratio of ten",
    }

    def __init__(self, scenes: int, n: int, seed: int) -> None:
        self.problem: GaussianField = GaussianField()
        super().__init__(scenes, n, seed)
        self.std = self.problem.posterior_variance.sqrt().numpy()
        index = torch.arange(self.problem.side**2).reshape(self.problem.side, -1)[PATCH, PATCH].flatten()
        covariance = self.problem.posterior_covariance[index][:, index].numpy()
        self.leading = np.linalg.eigvalsh(covariance)[::-1][:10]

    def scenes(self, count: int, random: torch.Generator) -> tuple[Tensor, Array, Array]:
        low, high = self.problem.batch(count, random)
        return low, high.numpy(), self.problem.posterior(low, self.n, random).transpose(0, 1).float().numpy()

    def exact_row(self) -> Row:
        return self._row(self.exact, float("nan"))

    def row(self, entry: Entry, model: Model) -> Row:
        members, aleatoric = draw(model, self.low, self.n, entry.masks, self.seed)
        return self._row(members, float(aleatoric.mean() / np.mean(self.std**2)))

    def _row(self, members: Array, aleatoric: float) -> Row:
        share = eigenvalues(members) / self.leading
        excess = spread_map_error(members, self.std) ** 2 - spread_map_error(self.exact, self.std) ** 2
        return {
            **self.ratios(members),
            "aleatoric": aleatoric,
            "std map, error": float(np.sqrt(max(excess, 0.0))),
            "eigenvalues 1-10, least": float(share.min()),
            "most": float(share.max()),
        }


class OnMixtures(Comparison):
    """Comparison on finite mixtures: a few candidates with known probabilities for each low-resolution image."""

    kind = "mixture"
    notes: ClassVar[dict[str, str]] = {
        "total variation": f"between frequencies of the nearest candidate in {MANY} members and the true "
        "probabilities, mean over a quarter of the scenes; the first row has that of sampling alone",
        "distance to the nearest candidate": "root mean square, divided by the distance of two candidates",
    }

    def __init__(self, scenes: int, n: int, seed: int) -> None:
        self.problem: Mixture = Mixture()
        self.counted = slice(0, max(1, scenes // 4))
        super().__init__(scenes, n, seed)

    def scenes(self, count: int, random: torch.Generator) -> tuple[Tensor, Array, Array]:
        low, candidates, probability = self.problem.scenes(count, random)
        truth = self.problem.posterior(candidates, probability, 1, random)[:, 0].float().numpy()
        exact = self.problem.posterior(candidates, probability, self.n, random).transpose(0, 1).float().numpy()
        counted = candidates[self.counted], probability[self.counted]
        self.candidates, self.probability = counted[0].float().numpy(), counted[1].numpy()
        self.distance = np.sqrt(np.mean((self.candidates[:, 0] - self.candidates[:, 1]) ** 2))
        self.many = self.problem.posterior(*counted, MANY, random).transpose(0, 1).float().numpy()
        return low, truth, exact

    def exact_row(self) -> Row:
        return self.ratios(self.exact) | self._frequencies(self.many)

    def row(self, entry: Entry, model: Model) -> Row:
        members, _ = draw(model, self.low, self.n, entry.masks, self.seed)
        many, _ = draw(model, self.low[self.counted], MANY, entry.masks, self.seed)
        return self.ratios(members) | self._frequencies(many)

    def _frequencies(self, members: Array) -> Row:
        """Compare how often members are nearest to each candidate with the candidates' probabilities."""
        distances = np.stack([np.mean((members - c[None]) ** 2, (2, 3, 4)) for c in self.candidates.swapaxes(0, 1)], -1)
        frequencies = np.eye(self.problem.candidates)[distances.argmin(-1)].mean(0)
        return {
            "total variation": float(np.abs(frequencies - self.probability).sum(1).mean() / 2),
            "distance to the nearest candidate": float(np.sqrt(distances.min(-1).mean()) / self.distance),
        }


COMPARISONS: dict[str, type[Comparison]] = {kind.kind: kind for kind in (OnGaussianFields, OnMixtures)}


@table(
    estimators="fair; as ratios to exact posterior samples of the same low-resolution images, except the last columns",
    notes={"seconds": "wall time of training"},
    small={"steps": 100, "scenes": 32, "rows": (0, 3, 6)},
)
def command(
    models: ModelsFolder = None,
    problems: Annotated[
        tuple[str, ...], option("--problem", type=click.Choice(list(COMPARISONS)), help="Problem; may be repeated.")
    ] = tuple(COMPARISONS),
    rows: Annotated[
        tuple[int, ...], option(type=click.IntRange(0, len(ENTRIES) - 1), help="Only these rows, counted from 0.")
    ] = (),
    steps: Annotated[int, f"Training steps of {BATCH} scenes, for every recipe."] = 4000,
    scenes: Annotated[int, "Low-resolution images that are measured."] = 256,
    n: Members = 32,
    seed: Seed = 0,
) -> Iterator[Result]:
    """Yield one table per problem."""
    entries = tuple(ENTRIES[i] for i in rows) or ENTRIES
    for name in problems:
        comparison = COMPARISONS[name](scenes, n, seed)
        notes = {
            "training": describe_training(steps, comparison.problem),
            "members": f"of {scenes} scenes, drawn by bayesr.sample",
        }
        yield Result(comparison.rows(entries, steps, models), notes | comparison.notes, suffix=f"-{name}")
