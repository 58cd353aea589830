"""Measure a trained recipe on the sets of its domain, by scores and by power spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import bayesr
from bayesr_bench.measures import Scores, gathered
from bayesr_bench.scores import SHOWN, scores_of
from bayesr_bench.sets import Picture, answer
from bayesr_bench.spectra import EDGES, WHOLE, Array, decades, rounded
from bayesr_bench.training import DOMAINS, LEVEL, Task, train_and_calibrate


@dataclass(frozen=True)
class Outcome:
    """What was measured of a recipe.

    Attributes
    ----------
    outputs : int
        The number of members; 1 of point estimators.
    scores : mapping of str to Scores
        By set.
    decades : mapping of str to ndarray
        By set, ``log10`` of the power of single outputs over the truth's, of shape ``images x frequency bands``.
    """

    outputs: int
    scores: Mapping[str, Scores]
    decades: Mapping[str, Array]


def evaluate(task: Task) -> Outcome:
    """Train the model if its file does not exist, and measure it."""
    if not task.model.exists():
        train_and_calibrate(task)
    model, domain = bayesr.load(task.model), DOMAINS[task.domain]
    outputs = task.n if model.generator.stochastic else 1
    scores, power = {}, {}
    for name in domain.sets:
        pictures = domain.pictures(name, task.data, task.limit)
        scores[name], power[name] = measure(model, pictures, outputs, task.seed)
    return Outcome(outputs, scores, power)


def measure(model: bayesr.Model, pictures: Sequence[Picture], n: int, seed: int) -> tuple[Scores, Array]:
    """Return the scores of all images, and their power in decades over the truth's."""
    rows, power = [], []
    for picture in pictures:
        found = answer(model, picture, n, seed, LEVEL)
        rows.append(scores_of(model, found, picture.grey))
        power.append(decades(rounded(found.members[:SHOWN]), rounded(found.truth)))
    return gathered(rows), np.stack(power)


def distance(power: Array) -> float:
    """Return the mean absolute deviation of power, in decades, over frequencies up to `WHOLE`.

    Deviations are averaged over images first.
    """
    known = np.ma.masked_invalid(power).mean(0)[: np.searchsorted(EDGES, WHOLE)]
    return float(np.ma.filled(np.abs(known).mean(), np.nan))
