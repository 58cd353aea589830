from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from bayesr.errors import InvalidArgument
from bayesr_bench.paired import compare, holm, rank_biserial, wilcoxon

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=8)
differences = st.lists(st.integers(-5, 5), min_size=1, max_size=6)


def brute_rejected(p, alpha):
    """Holm's procedure by definition: from the smallest p-value on, until one is not rejected."""
    rejected = np.zeros(len(p), bool)
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] > alpha / (len(p) - step):
            break
        rejected[i] = True
    return rejected


@given(probabilities, st.sampled_from([0.01, 0.05, 0.2, 0.7]))
def test_holm_rejects_what_the_procedure_rejects(p, alpha):
    corrected = holm(p)
    clear = np.abs(corrected - alpha) > 1e-9  # products and quotients round differently
    np.testing.assert_array_equal((corrected <= alpha)[clear], brute_rejected(p, alpha)[clear])


@given(probabilities)
def test_holm_lies_between_none_and_bonferroni(p):
    corrected, p = holm(p), np.array(p)
    assert (corrected >= p).all() and (corrected <= np.minimum(1, p * p.size) + 1e-15).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
    np.testing.assert_array_equal(holm(p[::-1]), corrected[::-1])


def test_wilcoxon_is_exact_for_few_pairs():
    d = np.array([0.3, -0.1, 0.7, 1.2, 0.05, 0.9, -0.4])
    ranks = rankdata(np.abs(d))
    sums = np.array([np.dot(s, ranks) for s in product((0, 1), repeat=d.size)])
    found = ranks[d > 0].sum()
    above, below = np.mean(sums >= found), np.mean(sums <= found)
    assert wilcoxon(d, "greater") == pytest.approx(above)
    assert wilcoxon(d, "less") == pytest.approx(below)
    assert wilcoxon(d) == pytest.approx(2 * min(above, below))


@given(differences)
def test_p_value_and_effect_depend_on_signs_and_ranks(d):
    d = np.array(d, float)
    p = wilcoxon(d)
    assert p == pytest.approx(wilcoxon(-d)) and 0 <= p <= 1
    assert rank_biserial(d) == -rank_biserial(-d)
    assert rank_biserial(3.7 * d) == pytest.approx(rank_biserial(d))
    if (d > 0).any() and (d >= 0).all():
        assert rank_biserial(d) == 1
    if not d.any():
        assert p == 1 and rank_biserial(d) == 0


def test_under_the_null_hypothesis_p_is_uniform():
    rng = np.random.default_rng(0)
    p = np.array([wilcoxon(rng.standard_normal(40)) for _ in range(500)])
    assert abs(np.mean(p < 0.1) - 0.1) < 0.05 and abs(np.mean(p < 0.5) - 0.5) < 0.08


def test_effect_size_of_known_ranks():
    assert rank_biserial([1, 2, 3, -4]) == pytest.approx((6 - 4) / 10)
    assert rank_biserial([0, 0, 1, -2]) == pytest.approx((3 - 4) / 7)  # zeros take ranks 1 and 2


def test_comparisons_of_methods():
    rng = np.random.default_rng(1)
    base = rng.random(60)
    figures = {"a": base + 0.1 + 0.02 * rng.standard_normal(60), "b": base, "c": base + rng.normal(0, 0.02, 60)}
    better, same = compare(figures, [("a", "b"), ("c", "b")])
    assert better.first == "a" and better.images == 60 and better.effect == 1
    assert better.low < better.difference < better.high and better.difference == pytest.approx(0.1, abs=0.01)
    assert better.p_holm == pytest.approx(2 * better.p) and better.p_holm < 1e-6
    assert same.p == same.p_holm > 0.01 and abs(same.effect) < 0.4
    assert compare(figures, [("b", "a")], "less")[0].p < better.p
    assert compare(figures, []) == []


def test_refusals():
    with pytest.raises(InvalidArgument, match="in \\[0, 1\\]"):
        holm([0.1, 1.2])
    with pytest.raises(InvalidArgument, match="NaN"):
        wilcoxon([0.1, np.nan])
    with pytest.raises(InvalidArgument, match="per image"):
        rank_biserial([])
    with pytest.raises(InvalidArgument, match="same images"):
        compare({"a": [1.0], "b": [1.0, 2.0]}, [("a", "b")])
    with pytest.raises(InvalidArgument, match="those of a"):
        compare({"a": [1.0]}, [("a", "z")])
