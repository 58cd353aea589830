"""Scores of predicted masks against those of several annotators.

A prediction is a set of plausible probability maps, in [0, 1], and one map that summarises them. `agreement` scores one
image, `evaluate` many.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.isolation import isolated
from bayesr.segmentation.cases import Case
from bayesr.segmentation.evaluation import dice
from bayesr.segmentation.scaling import scaled
from bayesr.segmentation.segmenter import Segmenter

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Masks = NDArray[np.bool_]

THRESHOLDS = tuple(level / 10 for level in range(1, 10))
"""Thresholds of the QUBIQ challenge."""
_ROUNDING = 1e-6
"""Tolerance with which a mean over annotators reaches a threshold."""


def qubiq_dice(probability: ArrayLike, masks: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> float:
    """Compute the score of QUBIQ: ``mean_t Dice(p >= t, q >= t)``, q the mean of the annotators' masks.

    The Dice coefficient is 1 at thresholds that no pixel of p or q reaches.

    Parameters
    ----------
    probability : array_like
        The map p, `y x x`, in [0, 1].
    masks : array_like
        `annotator x y x x`, marked where not 0.
    thresholds : sequence of float

    Raises
    ------
    InvalidArgument
        If sizes differ, or p is not in [0, 1].

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
    """Compute ``IoU = |a and b| / |a or b|`` of every mask with every other, `n x m`; 1 if both are empty.

    Parameters
    ----------
    first, second : array_like
        `n x y x x` and `m x y x x`, marked where not 0.
    """
    a, b = _masks(first), _masks(second)
    _same_size(a, b)
    kind = np.float32 if a[0].size < 2**24 else np.float64  # float32 counts exactly up to 2^24
    flat, other = (masks.reshape(len(masks), -1).astype(kind) for masks in (a, b))
    both: Doubles = np.matmul(flat, other.T).astype(np.float64)
    either = flat.sum(1, dtype=np.float64)[:, None] + other.sum(1, dtype=np.float64) - both
    iou: Doubles = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return iou


def energy_distance(drawn: ArrayLike, masks: ArrayLike, fair: bool = False) -> float:
    """Compute the generalised energy distance ``D^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y')`` with ``d = 1 - IoU``.

    S and S' are predicted masks, Y and Y' those of annotators. Lower is better; 0 means equal distributions.

    By default, expectations are means over all pairs, also of a mask with itself, as published: the distance between
    two finite sets, never negative since 1 - IoU is a metric of negative type. For n drawn masks it is too large by
    `E d(S, S') / n` on average, unless all are equal. With `fair`, only pairs of different masks count. The result is
    unbiased for the distributions behind both sets, and may be negative.

    Parameters
    ----------
    drawn : array_like
        `n x y x x`, marked where not 0.
    masks : array_like
        `annotator x y x x`, likewise.
    fair : bool
        Use pairs of different masks only.

    Raises
    ------
    InvalidArgument
        If sizes differ, or if `fair` is used with fewer than two masks of either set.

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
    """``E d`` of two masks of a set."""
    n = len(masks)
    total = float((1 - overlaps(masks, masks)).sum())
    return total / (n * (n - 1) if fair else n**2)


def disagreement(maps: ArrayLike) -> Doubles:
    """Compute ``p (1 - p)``, `y x x`, with the mean p of the maps: the variance of a pixel's label, at most 1/4.

    Parameters
    ----------
    maps : array_like
        `n x y x x`, in [0, 1]: masks of annotators, plausible maps, or one probability map.
    """
    p: Doubles = np.asarray(maps, np.float64).mean(0)
    return p * (1 - p)


def differing(masks: ArrayLike) -> float:
    """Compute the fraction of pixels in which two annotators differ, averaged over pairs; NaN for one annotator.

    Parameters
    ----------
    masks : array_like
        `annotator x y x x`, marked where not 0.
    """
    marked = _masks(masks)
    pairs = [float((a != b).mean()) for a, b in combinations(marked, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Compute Pearson's correlation of two arrays of the same shape; NaN if one of them is constant."""
    a, b = (np.asarray(one, np.float64).ravel() for one in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")


def agreement(
    maps: ArrayLike, masks: ArrayLike, probability: ArrayLike | None = None, drawn: ArrayLike | None = None
) -> dict[str, float]:
    """Compute all scores of a prediction against the annotators.

    Parameters
    ----------
    maps : array_like
        Plausible maps, `n x y x x`, in [0, 1].
    masks : array_like
        `annotator x y x x`, marked where not 0.
    probability : array_like, optional
        Summary of the maps, `y x x`; by default their mean.
    drawn : array_like, optional
        Drawn masks, `n x y x x`; by default the maps thresholded at 0.5.

    Returns
    -------
    dict of str to float
        - ``qubiq_dice``: see `qubiq_dice`.
        - ``dice``: Dice coefficient of the probability thresholded at 0.5 with a mask, averaged over annotators.
        - ``energy_distance``, ``energy_distance_fair``: see `energy_distance`, for the drawn masks; NaN if undefined.
        - ``correlation``, ``correlation_marked``: correlation of predicted with true `disagreement`, over all pixels,
          and over those that an annotator marked. The others are many and undisputed.
        - ``predicted_share``: ``mean 2 p (1 - p)``, the expected `differing`.
        - ``true_share``: see `differing`.

    Raises
    ------
    InvalidArgument
        If sizes differ, or values are not in [0, 1].
    """
    true = _masks(masks)
    plausible = _maps(maps, true)
    p = plausible.mean(0) if probability is None else _maps(np.asarray(probability)[None], true)[0]
    masks_drawn = plausible >= 0.5 if drawn is None else _masks(drawn)
    predicted, actual, marked = disagreement(p[None]), disagreement(true), true.any(0)
    several = min(len(masks_drawn), len(true)) > 1
    return {
        "qubiq_dice": qubiq_dice(p, true),
        "dice": float(np.mean([dice(p >= 0.5, mask) for mask in true])),
        "energy_distance": energy_distance(masks_drawn, true),
        "energy_distance_fair": energy_distance(masks_drawn, true, fair=True) if several else float("nan"),
        "correlation": correlation(predicted, actual),
        "correlation_marked": correlation(predicted[marked], actual[marked]) if marked.any() else float("nan"),
        "predicted_share": float(2 * predicted.mean()),
        "true_share": differing(true),
    }


@isolated
def evaluate(segmenter: Segmenter, cases: Sequence[Case], n: int = 16, seed: int = 0) -> list[dict[str, Any]]:
    """Compute the `agreement` of a segmenter with the annotators of each case.

    Average the scores over cases; those of a group are not independent. Only the first output, the foreground, is
    evaluated.

    Parameters
    ----------
    segmenter : Segmenter
    cases : sequence of Case
    n : int
        Number of plausible maps, at least 1.
    seed : int
        Seed of the maps, for networks that draw them.

    Returns
    -------
    list of dict
        For each case in order, its name as ``case``, its ``group``, and the scores of `agreement`.

    Raises
    ------
    InvalidArgument
        If n is less than 1.
    BandMismatch
        If the segmenter takes another number of bands.
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
    array = np.asarray(maps, np.float64)
    if array.ndim != 3 or not len(array):
        raise InvalidArgument(f"Maps are `n x y x x`, not of shape {array.shape}: stack them first.")
    _same_size(array, masks)
    if not (array.min() >= -_ROUNDING and array.max() <= 1 + _ROUNDING):
        raise InvalidArgument(
            f"Maps hold probabilities in [0, 1], not values from {array.min():.3g} to {array.max():.3g}: apply a "
            "sigmoid to logits first."
        )
    return array


def _same_size(first: Array, second: Array) -> None:
    if first.shape[-2:] != second.shape[-2:]:
        raise InvalidArgument(
            f"The prediction has {first.shape[-2]} x {first.shape[-1]} pixels, the masks {second.shape[-2]} x "
            f"{second.shape[-1]}: bring both to one grid first."
        )
