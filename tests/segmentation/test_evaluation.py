from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.errors import InvalidArgument
from bayesr.segmentation import evaluation
from bayesr.segmentation.evaluation import brier, count_error, dice, ece, jaccard, object_f1, precision, reliability

SHAPE = (6, 7)
masks = hnp.arrays(bool, SHAPE)
labels = hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 4))


@given(masks, masks)
def test_dice_and_jaccard_are_of_one_kind(a, b):
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
    """By trying every way of matching."""
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
def test_f1_is_that_of_the_best_matching(predicted, true, threshold):
    assert object_f1(predicted, true, (threshold,))[0] == pytest.approx(naive_f1(predicted, true, threshold))


@given(labels)
def test_f1_does_not_look_at_the_numbers(true):
    names = np.array([0, 90, 7, 1000, 2])
    assert (object_f1(names[true], true) == 1).all() and count_error(names[true], true) == 0


@given(labels, labels)
def test_f1_falls_with_the_threshold(predicted, true):
    scores = object_f1(predicted, true)
    assert scores.shape == (5,) and (np.diff(scores) <= 0).all()
    assert scores == pytest.approx(object_f1(true, predicted))


def test_f1_of_a_split_object():
    """Half of a predicted pair is matched: one true positive, one false."""
    true, predicted = np.ones((4, 4), int), np.ones((4, 4), int)
    predicted[2:] = 2
    assert object_f1(predicted, true, (0.5, 0.6)) == pytest.approx([2 / 3, 0])
    assert count_error(predicted, true) == 1 and count_error(0 * true, true) == -1


def test_overlaps_of_many_objects():
    grid = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((5, 5), int))
    moved = np.roll(grid, 1, 1)  # 20 of 30 pixels of the union: two thirds
    assert object_f1(moved, grid, (0.66, 0.67)) == pytest.approx([1, 0])


@given(hnp.arrays(float, 50, elements=st.floats(0, 1)), hnp.arrays(bool, 50), st.integers(1, 20))
def test_reliability_counts_every_pixel_once(p, truth, bins):
    predicted, found, pixels = reliability(p, truth, bins)
    full = pixels > 0
    assert pixels.sum() == 50
    assert predicted[full] @ pixels[full] == pytest.approx(p.sum())
    assert found[full] @ pixels[full] == pytest.approx(truth.sum())
    inside = (predicted[full] * bins - np.arange(bins)[full]) if full.any() else np.zeros(1)
    assert (inside > -1e-6).all() and (inside < 1 + 1e-6).all()
    assert np.isnan(predicted[~full]).all() and np.isnan(found[~full]).all()
    assert 0 <= ece(p, truth, bins) <= 1
    # More bins never hide more: in one bin over- and underestimates cancel.
    assert ece(p, truth, bins) >= ece(p, truth, 1) - 1e-12


def test_calibrated_draws_have_next_to_no_ece():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 100_000)
    truth = rng.random(p.size) < p
    assert ece(p, truth) < 0.01 < 0.05 < ece(p**2, truth)
    assert brier(p, truth) == pytest.approx(np.mean(p * (1 - p)), abs=0.005)


@given(hnp.arrays(float, 30, elements=st.floats(0, 1)), st.floats(-0.3, 0.3))
def test_brier_is_least_at_the_true_probability(p, shift):
    """In expectation: over the truth's two values, weighted."""

    def expected(q):
        yes, no = (np.array([brier(v[None], np.array([t])) for v in q]) for t in (True, False))
        return np.mean(p * yes + (1 - p) * no)

    assert expected(p) <= expected(np.clip(p + shift, 0, 1)) + 1e-12


def test_refusals():
    mask = np.ones(SHAPE, bool)
    with pytest.raises(InvalidArgument, match="one shape"):
        dice(mask, mask[1:])
    with pytest.raises(InvalidArgument, match="boolean, not float64"):
        jaccard(mask, mask * 0.5)
    with pytest.raises(InvalidArgument, match="Logits"):
        brier(mask * 3.0, mask)
    with pytest.raises(InvalidArgument, match="Logits"):
        ece(np.full(SHAPE, np.nan), mask)
    with pytest.raises(InvalidArgument, match="no pixels"):
        brier(np.empty(0), np.empty(0, bool))
    with pytest.raises(InvalidArgument, match="bins"):
        reliability(mask * 0.5, mask, 0)
    with pytest.raises(InvalidArgument, match="skimage"):
        object_f1(mask, mask.astype(int))
    with pytest.raises(InvalidArgument, match="at most 1"):
        object_f1(mask.astype(int), mask.astype(int), (50,))
    assert evaluation.THRESHOLDS[0] == 0.5
