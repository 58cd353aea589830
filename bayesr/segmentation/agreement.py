"""How well predicted masks spread as those of several annotators do.

What is predicted of an image is a set of plausible maps, of probabilities in [0, 1], and one map that sums them up;
what is true are the masks of its annotators. `agreement` has all figures of one image, `evaluate` those of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.segmentation.cases import Case
from bayesr.segmentation.evaluation import dice
from bayesr.segmentation.scaling import scaled
from bayesr.segmentation.segmenter import Segmenter

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Masks = NDArray[np.bool_]

THRESHOLDS = tuple(level / 10 for level in range(1, 10))
"""Those of the QUBIQ challenge."""
_ROUNDING = 1e-6
"""A mean over annotators that is a threshold, but for rounding, reaches it."""


def qubiq_dice(probability: ArrayLike, masks: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> float:
    """``mean_t Dice(p >= t, q >= t)``, q the mean of the annotators' masks: the score of the QUBIQ challenge.

    Where no pixel of either reaches a threshold, its Dice is 1.

    Parameters
    ----------
    probability : array_like
        p, `y x x`, in [0, 1].
    masks : array_like
        `annotator x y x x`; what is not 0 is marked.
    thresholds : sequence of float

    Raises
    ------
    InvalidArgument
        Sizes differ, or p is not in [0, 1].

    References
    ----------
    H. B. Li et al., "QUBIQ: Uncertainty quantification for biomedical image segmentation challenge", 2024,
    arXiv:2405.18435.
    """
    true = _masks(masks)
    p = _maps(np.asarray(probability)[None], true)[0]
    q = true.mean(0)
    return float(np.mean([dice(p >= t - _ROUNDING, q >= t - _ROUNDING) for t in thresholds]))


def overlaps(first: ArrayLike, second: ArrayLike) -> Doubles:
    """``IoU = |a and b| / |a or b|`` of every mask with every other, `n x m`; 1 where both are empty.

    Parameters
    ----------
    first, second : array_like
        `n x y x x` and `m x y x x`; what is not 0 is marked.
    """
    a, b = _masks(first), _masks(second)
    _same_size(a, b)
    kind = np.float32 if a[0].size < 2**24 else np.float64  # whole numbers are exact up to there
    flat, other = (masks.reshape(len(masks), -1).astype(kind) for masks in (a, b))
    both: Doubles = np.matmul(flat, other.T).astype(np.float64)
    either = flat.sum(1, dtype=np.float64)[:, None] + other.sum(1, dtype=np.float64) - both
    found: Doubles = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return found


def energy_distance(drawn: ArrayLike, masks: ArrayLike, fair: bool = False) -> float:
    """``D^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y')``, the generalised energy distance, with ``d = 1 - IoU``.

    S, S' are predicted masks, Y, Y' annotators'. Lower is better; 0 says that both have the same distribution.

    By default expectations are means over all pairs, those of a mask with itself too, as published: the distance
    of the two finite sets, never negative, since 1 - IoU is a metric of negative type. It charges a predictor for
    being drawn from only n times, `E d(S, S') / n` on average, which one that always says the same is spared. With
    `fair`, pairs are of different masks: unbiased for the distributions that n masks, and the annotators as a
    sample of all annotators, were drawn from; so it may be negative.

    Parameters
    ----------
    drawn : array_like
        `n x y x x`; what is not 0 is marked.
    masks : array_like
        `annotator x y x x`, likewise.
    fair : bool

    Raises
    ------
    InvalidArgument
        Sizes differ, or there are fewer than two masks of a kind to be fair with.

    References
    ----------
    S. Kohl et al., "A probabilistic U-Net for segmentation of ambiguous images", 2018, arXiv:1806.05034.
    G. J. Szekely, M. L. Rizzo, "Energy statistics", 2013, doi:10.1016/j.jspi.2013.03.018. M. Bouchard et al., "A
    proof for the positive definiteness of the Jaccard index matrix", 2013, doi:10.1016/j.ijar.2013.01.006.
    """
    s, y = _masks(drawn), _masks(masks)
    if fair and min(len(s), len(y)) < 2:
        raise InvalidArgument(
            f"A fair energy distance takes two masks or more of each kind, not {len(s)} drawn and {len(y)} of "
            "annotators: leave fair=False."
        )
    across = 1 - overlaps(s, y).mean()
    return float(2 * across - _within(s, fair) - _within(y, fair))


def _within(masks: Masks, fair: bool) -> float:
    """``E d`` of two masks of the set."""
    n = len(masks)
    total = float((1 - overlaps(masks, masks)).sum())
    return total / (n * (n - 1) if fair else n**2)


def disagreement(maps: ArrayLike) -> Doubles:
    """``p (1 - p)``, `y x x`, p the mean of the maps: the variance of a pixel's label, at most 1/4.

    Parameters
    ----------
    maps : array_like
        `n x y x x`, in [0, 1]: masks of annotators, plausible maps, or one map of probabilities.
    """
    p: Doubles = np.asarray(maps, np.float64).mean(0)
    return p * (1 - p)


def differing(masks: ArrayLike) -> float:
    """The share of pixels in which two different annotators differ, in [0, 1], the mean over their pairs.

    Parameters
    ----------
    masks : array_like
        `annotator x y x x`; what is not 0 is marked. NaN for a single annotator.
    """
    marked = _masks(masks)
    pairs = [float((a != b).mean()) for a, b in combinations(marked, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation of two maps, or of any two arrays of one shape; NaN where one of them is constant."""
    a, b = (np.asarray(one, np.float64).ravel() for one in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")


def agreement(
    maps: ArrayLike, masks: ArrayLike, probability: ArrayLike | None = None, drawn: ArrayLike | None = None
) -> dict[str, float]:
    """How what is predicted of an image agrees with its annotators, by the names of the figures.

    ``qubiq_dice``
        See `qubiq_dice`.
    ``dice``
        Of the probability from 0.5 on with an annotator's mask, the mean over annotators.
    ``energy_distance``, ``energy_distance_fair``
        Of the drawn masks, see `energy_distance`; NaN where it is not defined.
    ``correlation``, ``correlation_marked``
        Of predicted with true `disagreement` over the pixels of the image, and over those alone that an annotator
        marked: the others are so many, and agreed on, that any segmentation correlates somewhat.
    ``predicted_share``, ``true_share``
        ``mean 2 p (1 - p)``, the share of pixels in which two annotators are expected to differ, and in which they do.

    Parameters
    ----------
    maps : array_like
        Plausible maps, `n x y x x`, in [0, 1].
    masks : array_like
        The annotators', `annotator x y x x`; what is not 0 is marked.
    probability : array_like, optional
        The one map that sums up, `y x x`; by default the mean of the maps.
    drawn : array_like, optional
        Masks, `n x y x x`; by default the maps from 0.5 on.

    Raises
    ------
    InvalidArgument
        Sizes differ, or values are not in [0, 1].
    """
    true = _masks(masks)
    found = _maps(maps, true)
    p = found.mean(0) if probability is None else _maps(np.asarray(probability)[None], true)[0]
    chosen = found >= 0.5 if drawn is None else _masks(drawn)
    predicted, actual, marked = disagreement(p[None]), disagreement(true), true.any(0)
    several = min(len(chosen), len(true)) > 1
    return {
        "qubiq_dice": qubiq_dice(p, true),
        "dice": float(np.mean([dice(p >= 0.5, mask) for mask in true])),
        "energy_distance": energy_distance(chosen, true),
        "energy_distance_fair": energy_distance(chosen, true, fair=True) if several else float("nan"),
        "correlation": correlation(predicted, actual),
        "correlation_marked": correlation(predicted[marked], actual[marked]) if marked.any() else float("nan"),
        "predicted_share": float(2 * predicted.mean()),
        "true_share": differing(true),
    }


def evaluate(segmenter: Segmenter, cases: Sequence[Case], n: int = 16, seed: int = 0) -> list[dict[str, Any]]:
    """`agreement` of what a segmenter says of each case with its annotators: a dict per case, in their order.

    Beside the figures, ``case`` is its name and ``group`` its group. Average figures over cases; cases of one group
    are no independent evidence. Networks of several outputs are compared in the first, the foreground.

    Parameters
    ----------
    segmenter : Segmenter
        As `bayesr.segmentation.segmenter.load` reads it, or a training returns it.
    cases : sequence of Case
        Such as `bayesr.segmentation.cases.qubiq` reads.
    n : int
        Plausible maps, at least 1.
    seed : int
        Of the maps, where they are drawn.

    Raises
    ------
    InvalidArgument
        When n is less than 1.
    BandMismatch
        When a case has another number of bands than the segmenter takes.
    """
    if n < 1:
        raise InvalidArgument(f"At least one plausible map is needed, not {n}.")
    network = segmenter.network
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for case in cases:
        if len(case.image) != segmenter.bands:
            raise BandMismatch(
                f"The segmenter {segmenter.name!r} takes images of {segmenter.bands} band(s), the case {case.name!r} "
                f"has {len(case.image)}."
            )
        x = torch.from_numpy(scaled(case.image, case.value_range, segmenter.scaling, segmenter.inputs))[None].to(device)
        with torch.no_grad():
            probability, maps = network.probability(x)[0, 0], network.maps(x, n, generator)[0, :, 0]
        figures = agreement(maps.cpu().numpy(), case.masks, probability.cpu().numpy())
        rows.append({"case": case.name, "group": case.group} | figures)
    return rows


def _masks(masks: ArrayLike) -> Masks:
    marked: Masks = np.asarray(masks) != 0
    if marked.ndim != 3 or not marked.size:
        raise InvalidArgument(f"Masks are `n x y x x` and not empty, not of shape {marked.shape}: stack them first.")
    return marked


def _maps(maps: ArrayLike, masks: Masks) -> Doubles:
    found = np.asarray(maps, np.float64)
    if found.ndim != 3 or not len(found):
        raise InvalidArgument(f"Maps are `n x y x x`, not of shape {found.shape}: stack them first.")
    _same_size(found, masks)
    if not (found.min() >= -_ROUNDING and found.max() <= 1 + _ROUNDING):
        raise InvalidArgument(
            f"Maps hold probabilities in [0, 1], not values from {found.min():.3g} to {found.max():.3g}: logits go "
            "through a sigmoid first."
        )
    return found


def _same_size(first: Array, second: Array) -> None:
    if first.shape[-2:] != second.shape[-2:]:
        raise InvalidArgument(
            f"What is predicted has {first.shape[-2]} x {first.shape[-1]} pixels, the masks {second.shape[-2]} x "
            f"{second.shape[-1]}: bring both to one grid first."
        )
