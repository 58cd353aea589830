from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.errors import InvalidArgument
from bayesr.segmentation.evaluation import THRESHOLDS, count_error, dice, jaccard, object_f1, precision

SHAPE = (6, 7)
masks = hnp.arrays(bool, SHAPE)
labels = hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 4))


@given(masks, masks)
def test_dice_and_jaccard_determine_each_other(a, b):
    d, j = dice(a, b), jaccard(a, b)
    assert j == pytest.approx(d / (2 - d)) and 0 <= j <= d <= 1
    assert d == dice(b, a) and (d == 1) == bool((a == b).all())
    assert dice(a, a) == jaccard(a, a) == precision(a, a) == 1


@given(masks, masks)
def test_dice_is_the_harmonic_mean_of_precision_and_recall(a, b):
    p, r = precision(a, b), precision(b, a)
    if a.any() and b.any():
        assert dice(a, b) == pytest.approx(2 * p * r / (p + r) if p + r else 0)


def test_empty_masks():
    none, some = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    assert dice(none, none) == jaccard(none, none) == precision(none, none) == 1
    assert dice(none, some) == jaccard(none, some) == precision(none, some) == precision(some, none) == 0


def naive_f1(predicted, true, threshold):
    """F1 by trying every matching."""
    ours, theirs = ([values == i for i in np.unique(values) if i] for values in (predicted, true))
    if not ours and not theirs:
        return 1.0
    few, many = sorted((ours, theirs), key=len)
    best = 0
    for chosen in permutations(many, len(few)):
        pairs = zip(few, chosen, strict=True)
        best = max(best, sum((a & b).sum() / (a | b).sum() >= threshold for a, b in pairs))
    return 2 * best / (len(ours) + len(theirs))


@given(labels, labels, st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]))
def test_f1_uses_the_best_matching(predicted, true, threshold):
    assert object_f1(predicted, true, (threshold,))[0] == pytest.approx(naive_f1(predicted, true, threshold))


@given(labels)
def test_f1_does_not_depend_on_the_numbers_of_labels(true):
    names = np.array([0, 90, 7, 1000, 2])
    assert (object_f1(names[true], true) == 1).all() and count_error(names[true], true) == 0


@given(labels, labels)
def test_f1_falls_with_the_threshold(predicted, true):
    scores = object_f1(predicted, true)
    assert scores.shape == (5,) and (np.diff(scores) <= 0).all()
    assert scores == pytest.approx(object_f1(true, predicted))


def test_f1_of_a_split_object():
    """One of two predicted halves is matched: one true positive, one false positive."""
    true, predicted = np.ones((4, 4), int), np.ones((4, 4), int)
    predicted[2:] = 2
    assert object_f1(predicted, true, (0.5, 0.6)) == pytest.approx([2 / 3, 0])
    assert count_error(predicted, true) == 1 and count_error(0 * true, true) == -1


def test_overlaps_of_many_objects():
    grid = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((5, 5), int))
    moved = np.roll(grid, 1, 1)  # 20 of 30 pixels of the union: two thirds
    assert object_f1(moved, grid, (0.66, 0.67)) == pytest.approx([1, 0])


def test_refusals():
    mask = np.ones(SHAPE, bool)
    with pytest.raises(InvalidArgument, match="one shape"):
        dice(mask, mask[1:])
    with pytest.raises(InvalidArgument, match="boolean, not float64"):
        jaccard(mask, mask * 0.5)
    with pytest.raises(InvalidArgument, match="skimage"):
        object_f1(mask, mask.astype(int))
    with pytest.raises(InvalidArgument, match="at most 1"):
        object_f1(mask.astype(int), mask.astype(int), (50,))
    assert THRESHOLDS[0] == 0.5
