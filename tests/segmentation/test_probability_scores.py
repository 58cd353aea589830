import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.errors import InvalidArgument
from bayesr.segmentation.probability_scores import brier, ece, reliability


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


def test_calibrated_probabilities_have_a_small_ece():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 100_000)
    truth = rng.random(p.size) < p
    assert ece(p, truth) < 0.01 < 0.05 < ece(p**2, truth)
    assert brier(p, truth) == pytest.approx(np.mean(p * (1 - p)), abs=0.005)


@given(hnp.arrays(float, 30, elements=st.floats(0, 1)), st.floats(-0.3, 0.3))
def test_brier_is_smallest_for_the_true_probability(p, shift):
    """The expectation is over the two values of the truth."""

    def expected(q):
        yes, no = (np.array([brier(v[None], np.array([t])) for v in q]) for t in (True, False))
        return np.mean(p * yes + (1 - p) * no)

    assert expected(p) <= expected(np.clip(p + shift, 0, 1)) + 1e-12


def test_refusals():
    mask = np.ones((6, 7), bool)
    with pytest.raises(InvalidArgument, match="Logits"):
        brier(mask * 3.0, mask)
    with pytest.raises(InvalidArgument, match="Logits"):
        ece(np.full(mask.shape, np.nan), mask)
    with pytest.raises(InvalidArgument, match="no pixels"):
        brier(np.empty(0), np.empty(0, bool))
    with pytest.raises(InvalidArgument, match="one shape"):
        brier(mask * 0.5, mask[1:])
    with pytest.raises(InvalidArgument, match="bins"):
        reliability(mask * 0.5, mask, 0)
