import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet
from bayesr.segmentation.agreement import (
    THRESHOLDS,
    agreement,
    correlation,
    differing,
    disagreement,
    energy_distance,
    evaluate,
    overlaps,
    qubiq_dice,
)
from bayesr.segmentation.cases import Case
from bayesr.segmentation.evaluation import dice, jaccard
from bayesr.segmentation.segmenter import Segmenter


def sets(least=1):
    return st.integers(least, 5).flatmap(lambda n: hnp.arrays(bool, (n, 3, 4)))


def crowd(random, n, inclusive):
    """Masks of a disc by n annotators, a fraction of whom draw it larger."""
    y, x = np.mgrid[:40, :40] - 20
    radius = np.where(random.random(n) < inclusive, 12, 8)
    return np.hypot(y, x) < radius[:, None, None]


# -- the score of QUBIQ --------------------------------------------------------------------------


@given(sets())
def test_the_mean_of_annotators_has_the_best_score_and_a_single_mask_its_dice(masks):
    assert qubiq_dice(masks.mean(0), masks) == 1
    assert qubiq_dice(masks[0], masks[-1:]) == pytest.approx(dice(masks[0], masks[-1]))


def test_thresholds_see_how_many_annotators_agree():
    """Three of ten annotators marked the pixel: 0.1 more or less changes one of nine Dice coefficients from 1 to 0."""
    masks = (np.arange(10) < 3)[:, None, None]
    assert qubiq_dice(np.array([[0.3]]), masks) == 1
    assert qubiq_dice(np.array([[0.4]]), masks) == pytest.approx(8 / 9)
    assert qubiq_dice(np.array([[0.2]]), masks) == pytest.approx(8 / 9)


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)), sets())
def test_the_score_follows_its_formula(p, masks):
    total = 0.0
    for t in range(1, 10):  # in whole numbers, where those of annotators have no rounding
        true = 10 * masks.sum(0) >= t * len(masks)
        total += dice(np.rint(p * 1e4) >= 1000 * t, true)
    assert qubiq_dice(np.rint(p * 1e4) / 1e4, masks) == pytest.approx(total / len(THRESHOLDS))


# -- the energy distance -------------------------------------------------------------------------


@given(sets(), sets())
def test_overlaps_are_those_of_each_pair(a, b):
    found = overlaps(a, b)
    for i, j in np.ndindex(found.shape):
        assert found[i, j] == pytest.approx(jaccard(a[i], b[j]))


@given(sets(), sets())
def test_the_distance_is_symmetric_not_negative_and_zero_to_itself(a, b):
    assert energy_distance(a, b) == pytest.approx(energy_distance(b, a))
    assert energy_distance(a, b) >= -1e-12
    assert energy_distance(a, a[::-1]) == pytest.approx(0, abs=1e-12)
    assert energy_distance(a, np.concatenate([a, a])) == pytest.approx(0, abs=1e-12)  # the same distribution


def test_empty_masks_agree_only_with_empty_masks():
    empty, full = np.zeros((1, 3, 3), bool), np.ones((1, 3, 3), bool)
    assert energy_distance(empty, empty) == 0
    assert energy_distance(empty, full) == 2


def test_fair_is_unbiased_and_the_default_is_too_large_for_small_samples():
    """Both sets from one distribution: the true distance is 0."""
    random = np.random.default_rng(0)
    plain, fair = [], []
    for _ in range(400):
        s, y = crowd(random, 4, 0.5), crowd(random, 3, 0.5)
        plain.append(energy_distance(s, y))
        fair.append(energy_distance(s, y, fair=True))
    d = 1 - overlaps(*(crowd(random, 1, share) for share in (0, 1)))[0, 0]
    assert np.mean(plain) == pytest.approx(d / 2 * (1 / 4 + 1 / 3), rel=0.15)  # E d(S, S') = d / 2
    assert abs(np.mean(fair)) < 4 * np.std(fair) / 20
    with pytest.raises(InvalidArgument, match="two masks or more"):
        energy_distance(s[:1], y, fair=True)


def test_masks_that_differ_are_closer_to_differing_annotators_than_their_mean():
    masks = crowd(np.random.default_rng(1), 20, 0.5)
    middle = masks.mean(0)[None] >= 0.5
    assert energy_distance(crowd(np.random.default_rng(2), 20, 0.5), masks) < 0.2 * energy_distance(middle, masks)


# -- disagreement --------------------------------------------------------------------------------


@given(sets(2))
def test_disagreement_is_the_probability_that_two_annotators_differ(masks):
    n = len(masks)
    assert 2 * disagreement(masks).mean() * n / (n - 1) == pytest.approx(differing(masks))


def test_scores_of_a_single_annotator_or_a_constant_map_are_nan():
    assert math.isnan(differing(np.ones((1, 2, 2)))) and math.isnan(correlation([1, 1], [0, 1]))


@given(hnp.arrays(np.float64, 12, elements=st.floats(-9, 9), unique=True), st.floats(0.1, 9), st.floats(-9, 9))
def test_correlation_is_that_of_numpy_whatever_the_units(values, factor, shift):
    other = np.sin(np.arange(12))
    assert correlation(factor * values + shift, other) == pytest.approx(np.corrcoef(values, other)[0, 1], abs=1e-6)


def test_scores_of_a_perfect_and_of_a_constant_prediction():
    masks = crowd(np.random.default_rng(3), 8, 0.5)
    perfect, sure = agreement(masks, masks), agreement(masks[:1], masks)
    assert perfect["qubiq_dice"] == 1 and perfect["correlation"] == pytest.approx(1)
    assert perfect["energy_distance"] == pytest.approx(0) and perfect["energy_distance_fair"] < 0
    assert perfect["predicted_share"] == pytest.approx(perfect["true_share"] * 7 / 8)
    assert math.isnan(sure["correlation"]) and sure["predicted_share"] == 0
    assert sure["energy_distance"] > 0.05 and math.isnan(sure["energy_distance_fair"])
    drawn = agreement(masks[:1], masks, drawn=masks)
    assert drawn["energy_distance"] == pytest.approx(0) and drawn["dice"] == sure["dice"]


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((1, 3, 3)), np.zeros((2, 3, 4)), "3 x 3 pixels, the masks 3 x 4"),
        (np.full((1, 3, 3), 4.0), np.zeros((2, 3, 3)), "logits"),
        (np.full((1, 3, 3), np.nan), np.zeros((2, 3, 3)), "in \\[0, 1\\]"),
        (np.zeros((3, 3)), np.zeros((2, 3, 3)), "stack"),
        (np.zeros((1, 3, 3)), np.zeros((0, 3, 3)), "not empty"),
    ],
)
def test_invalid_arrays_are_refused(maps, masks, message):
    with pytest.raises(InvalidArgument, match=message):
        agreement(maps, masks)


def test_a_segmenter_is_evaluated_case_by_case_and_reproducibly():
    network = ProbabilisticUNet(width=0.1, depth=2, decoder=(4, 4)).eval()
    random = np.random.default_rng(0)
    cases = [
        Case(name, 255 * random.random((1, 9, 14), np.float32), random.integers(0, 2, (3, 9, 14)), (0, 255), group="a")
        for name in ("left", "right")
    ]
    segmenter = Segmenter("tiny", network)
    rows = evaluate(segmenter, cases, n=4)
    assert [row["case"] for row in rows] == ["left", "right"]
    assert rows == evaluate(segmenter, cases, n=4) and all(0 <= row["qubiq_dice"] <= 1 for row in rows)
    with pytest.raises(BandMismatch, match="'colour' has 3"):
        evaluate(segmenter, [Case("colour", np.zeros((3, 9, 9), np.float32), np.zeros((1, 9, 9), int), (0, 1))])
    with pytest.raises(InvalidArgument, match="At least one"):
        evaluate(segmenter, cases, n=0)
