"""Scores of masks and labels against the truth.

Masks are boolean and labels integer arrays of any shape. In labels 0 is background, and every object has its own
number. Scores are of one image: average them over images, the independent units of a study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from bayesr.errors import InvalidArgument

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Intersections over union from which an object counts as detected."""


def dice(a: ArrayLike, b: ArrayLike) -> float:
    r"""Compute the Dice coefficient of two masks, ``D = 2 |a and b| / (|a| + |b|)``.

    Parameters
    ----------
    a, b : array_like
        Masks of the same shape, boolean.

    Returns
    -------
    float
        In [0, 1]: 1 for equal masks, also empty ones; 0 without a common pixel.

    Raises
    ------
    InvalidArgument
        If shapes differ or values are not boolean.

    References
    ----------
    L. R. Dice, "Measures of the amount of ecologic association between species", 1945, doi:10.2307/1932409.
    """
    a, b = _masks(a, b)
    return _ratio(2 * np.count_nonzero(a & b), np.count_nonzero(a) + np.count_nonzero(b))


def jaccard(a: ArrayLike, b: ArrayLike) -> float:
    """Compute the Jaccard index of two masks, ``J = |a and b| / |a or b| = D / (2 - D)`` for the Dice coefficient D.

    Parameters
    ----------
    a, b : array_like
        Masks of the same shape, boolean.

    Returns
    -------
    float
        In [0, 1]: 1 for equal masks, also empty ones; 0 without a common pixel.

    Raises
    ------
    InvalidArgument
        If shapes differ or values are not boolean.

    References
    ----------
    P. Jaccard, "The distribution of the flora in the alpine zone", 1912, doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
    a, b = _masks(a, b)
    return _ratio(np.count_nonzero(a & b), np.count_nonzero(a | b))


def precision(predicted: ArrayLike, true: ArrayLike) -> float:
    """Compute the precision of a mask, ``TP / (TP + FP)``: the fraction of predicted pixels that are true.

    Parameters
    ----------
    predicted, true : array_like
        Masks of the same shape, boolean.

    Returns
    -------
    float
        In [0, 1]. If the prediction is empty: 1 if the truth is empty, else 0.

    Raises
    ------
    InvalidArgument
        If shapes differ or values are not boolean.
    """
    predicted, true = _masks(predicted, true)
    if not predicted.any():
        return 0.0 if true.any() else 1.0
    return _ratio(np.count_nonzero(predicted & true), np.count_nonzero(predicted))


def object_f1(predicted: ArrayLike, true: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> Doubles:
    """Compute the F1 score of objects, matched one to one by overlap.

    ``F1(t) = 2 TP / (2 TP + FP + FN)``, where TP is the largest number of pairs (predicted, true) with an intersection
    over union of at least t and every object in at most one pair. FP predicted and FN true objects remain.

    Parameters
    ----------
    predicted, true : array_like
        Labels of the same shape, not necessarily consecutive.
    thresholds : sequence of float
        t, in (0, 1].

    Returns
    -------
    ndarray
        F1 at every threshold, in [0, 1]; 1 if neither has an object.

    Raises
    ------
    InvalidArgument
        If shapes differ, labels are not integers of 0 or more, or a threshold lies outside (0, 1].

    References
    ----------
    J. Caicedo et al., "Nucleus segmentation across imaging experiments", 2019, doi:10.1038/s41592-019-0612-7. U.
    Schmidt et al., "Cell detection with star-convex polygons", 2018, arXiv:1806.03535.
    """
    if not all(0 < t <= 1 for t in thresholds):
        raise InvalidArgument(f"thresholds must lie above 0 and be at most 1 (0.5: half overlaps), not {thresholds!r}.")
    p, t = _labels(predicted, "predicted"), _labels(true, "true")
    check_same_shape(p, t)
    overlap = _overlaps(p, t)
    n_predicted, n_true = overlap.shape
    if n_predicted + n_true == 0:
        return np.ones(len(thresholds))
    matched = []
    for threshold in thresholds:
        # Few entries remain: at most two objects reach half of the union with another one.
        pairs = maximum_bipartite_matching(csr_array(overlap >= threshold)) if overlap.size else np.empty(0)
        matched.append(np.count_nonzero(pairs >= 0))
    scores: Doubles = 2 * np.array(matched, np.float64) / (n_predicted + n_true)
    return scores


def count_error(predicted: ArrayLike, true: ArrayLike) -> int:
    """Compute the error of the number of objects, ``N_predicted - N_true``.

    Parameters
    ----------
    predicted, true : array_like
        Labels.

    Raises
    ------
    InvalidArgument
        If labels are not integers of 0 or more.
    """
    counts = [np.count_nonzero(np.unique(_labels(v, name))) for v, name in ((predicted, "predicted"), (true, "true"))]
    return int(counts[0] - counts[1])


def _overlaps(predicted: NDArray[Any], true: NDArray[Any]) -> Doubles:
    """Intersection over union of every predicted with every true object."""
    (predicted_labels, p), (true_labels, t) = (np.unique(v, return_inverse=True) for v in (predicted, true))
    both = np.bincount(p.ravel() * true_labels.size + t.ravel(), minlength=predicted_labels.size * true_labels.size)
    both = both.reshape(predicted_labels.size, true_labels.size)
    union = both.sum(1, keepdims=True) + both.sum(0) - both
    overlap: Doubles = both / np.maximum(union, 1)
    return np.compress(true_labels != 0, np.compress(predicted_labels != 0, overlap, 0), 1)


def _ratio(part: np.integer | int, whole: np.integer | int) -> float:
    return float(part / whole) if whole else 1.0


def check_same_shape(a: NDArray[Any], b: NDArray[Any]) -> None:
    """Raise InvalidArgument if two arrays differ in shape."""
    if a.shape != b.shape:
        raise InvalidArgument(f"The two have the shapes {a.shape} and {b.shape}: give arrays of one shape.")


def as_mask(given: ArrayLike) -> Mask:
    """Convert to a boolean array, or raise InvalidArgument if values are not boolean."""
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
            f"{name} must be labels: integers, 0 for background and a number for every object. For the connected "
            "components of a mask, use skimage.measure.label(mask)."
        )
    return array
