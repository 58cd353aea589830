"""How good a segmentation is against the truth: arrays in, figures out.

Masks are boolean arrays of any shape, labels whole numbers of any shape (0 is background, every
object has a number of its own), probabilities lie in [0, 1]. Figures are of one image: average them
over images, which are what a study has independent draws of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesr.errors import InvalidArgument

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Overlaps from which on an object counts as found."""


def dice(a: ArrayLike, b: ArrayLike) -> float:
    r"""The Dice coefficient of two masks.

    ``D = 2 |a and b| / (|a| + |b|)``, which is 2 J / (1 + J) of the Jaccard index J.

    Parameters
    ----------
    a, b : array_like
        Masks of one shape, boolean.

    Returns
    -------
    float
        In [0, 1]: 1 where they are equal (two empty masks are), 0 where they share no pixel.

    Raises
    ------
    InvalidArgument
        When shapes differ, or values are not boolean.

    References
    ----------
    L. R. Dice, "Measures of the amount of ecologic association between species", 1945, doi:10.2307/1932409.
    """
    a, b = _masks(a, b)
    return _share(2 * np.count_nonzero(a & b), np.count_nonzero(a) + np.count_nonzero(b))


def jaccard(a: ArrayLike, b: ArrayLike) -> float:
    """The Jaccard index of two masks: intersection over union.

    ``J = |a and b| / |a or b|``, which is D / (2 - D) of the Dice coefficient D.

    Parameters
    ----------
    a, b : array_like
        Masks of one shape, boolean.

    Returns
    -------
    float
        In [0, 1]: 1 where they are equal (two empty masks are), 0 where they share no pixel.

    Raises
    ------
    InvalidArgument
        When shapes differ, or values are not boolean.

    References
    ----------
    P. Jaccard, "The distribution of the flora in the alpine zone", 1912,
    doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
    a, b = _masks(a, b)
    return _share(np.count_nonzero(a & b), np.count_nonzero(a | b))


def precision(predicted: ArrayLike, true: ArrayLike) -> float:
    """The share of predicted pixels that are true.

    ``TP / (TP + FP)``

    Parameters
    ----------
    predicted, true : array_like
        Masks of one shape, boolean.

    Returns
    -------
    float
        In [0, 1]. Where nothing is predicted: 1 if nothing is there, else 0.

    Raises
    ------
    InvalidArgument
        When shapes differ, or values are not boolean.
    """
    predicted, true = _masks(predicted, true)
    if not predicted.any():
        return 0.0 if true.any() else 1.0
    return _share(np.count_nonzero(predicted & true), np.count_nonzero(predicted))


def object_f1(predicted: ArrayLike, true: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> Doubles:
    """F1 of objects, matched one to one by their overlap.

    ``F1(t) = 2 TP / (2 TP + FP + FN)``, where TP is the largest number of pairs (predicted, true)
    whose intersection over union is at least t, every object in one pair at most; FP predicted and FN true
    objects are left over.

    Parameters
    ----------
    predicted, true : array_like
        Labels of one shape, whole numbers; 0 is background. Numbers need not be consecutive.
    thresholds : sequence of float
        t, in (0, 1].

    Returns
    -------
    ndarray
        F1 at every threshold, in [0, 1], float64; 1 where neither has an object.

    Raises
    ------
    InvalidArgument
        When shapes differ, labels are not whole numbers of 0 or more, or a threshold lies outside (0, 1].

    References
    ----------
    J. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
    2019, doi:10.1038/s41592-019-0612-7. U. Schmidt et al., "Cell detection with star-convex polygons",
    2018, arXiv:1806.03535.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not all(0 < t <= 1 for t in thresholds):
        raise InvalidArgument(f"thresholds must lie above 0 and be at most 1 (0.5: half overlaps), not {thresholds!r}.")
    p, t = _labels(predicted, "predicted"), _labels(true, "true")
    check_same_shape(p, t)
    overlap = _overlaps(p, t)
    found, there = overlap.shape
    if found + there == 0:
        return np.ones(len(thresholds))
    matched = []
    for threshold in thresholds:
        # At most two objects reach half of an object's union, so that few entries are left to match.
        pairs = maximum_bipartite_matching(csr_array(overlap >= threshold)) if overlap.size else np.empty(0)
        matched.append(np.count_nonzero(pairs >= 0))
    scores: Doubles = 2 * np.array(matched, np.float64) / (found + there)
    return scores


def count_error(predicted: ArrayLike, true: ArrayLike) -> int:
    """How many objects too many are predicted: ``N_predicted - N_true``, negative where too few.

    Parameters
    ----------
    predicted, true : array_like
        Labels, whole numbers; 0 is background.

    Raises
    ------
    InvalidArgument
        When labels are not whole numbers of 0 or more.
    """
    counts = [np.count_nonzero(np.unique(_labels(v, name))) for v, name in ((predicted, "predicted"), (true, "true"))]
    return int(counts[0] - counts[1])


def _overlaps(predicted: NDArray[Any], true: NDArray[Any]) -> Doubles:
    """Intersection over union of every predicted and every true object."""
    (names, p), (others, t) = (np.unique(v, return_inverse=True) for v in (predicted, true))
    both = np.bincount(p.ravel() * others.size + t.ravel(), minlength=names.size * others.size)
    both = both.reshape(names.size, others.size)
    union = both.sum(1, keepdims=True) + both.sum(0) - both
    share: Doubles = both / np.maximum(union, 1)
    return np.compress(others != 0, np.compress(names != 0, share, 0), 1)


def _share(part: np.integer | int, whole: np.integer | int) -> float:
    return float(part / whole) if whole else 1.0


def check_same_shape(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise InvalidArgument(f"The two have the shapes {a.shape} and {b.shape}: give arrays of one shape.")


def as_mask(given: ArrayLike) -> Mask:
    array = np.asarray(given)
    if array.dtype != bool:
        raise InvalidArgument(
            f"Masks must be boolean, not {array.dtype}: compare first, as in `probability > 0.5` or `labels > 0`."
        )
    return array


def _masks(a: ArrayLike, b: ArrayLike) -> tuple[Mask, Mask]:
    first, second = as_mask(a), as_mask(b)
    check_same_shape(first, second)
    return first, second


def _labels(given: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(given)
    if array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise InvalidArgument(
            f"{name} must be labels: whole numbers, 0 for background and a number for every object. For the connected "
            "parts of a mask, skimage.measure.label(mask) gives them."
        )
    return array
