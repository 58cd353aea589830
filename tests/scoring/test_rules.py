import math

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayesr.scoring import rules


@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_scores_agree_with_direct_formulas(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(100, 30, (n, 2, 6, 9)), rng.normal(100, 30, (2, 6, 9))

    def fair(distance):
        spread = sum(distance(x[i], x[j]) for i in range(n) for j in range(n)) / (2 * n * (n - 1)) if n > 1 else 0
        return sum(distance(member, y) for member in x) / n - spread

    np.testing.assert_allclose(rules.fair_crps(x, y), fair(lambda a, b: np.abs(a - b).mean()), rtol=1e-6)

    def cut(image):
        return [image[:, r : r + 3, c : c + 3].ravel() for r in (0, 3) for c in (0, 3, 6)]

    def euclidean(a, b):
        return np.mean([math.dist(p, q) / math.sqrt(18) for p, q in zip(cut(a), cut(b), strict=True)])

    np.testing.assert_allclose(rules.energy_score(x, y, patch=3), fair(euclidean), rtol=1e-6)
    for p in (0.5, 1.0):

        def vario(image, p=p):
            return [np.abs(v[:, None] - v[None]) ** p for v in cut(image)]

        def square(a, b, vario=vario):
            return np.mean([((p - q) ** 2).sum() / (18 * 17) for p, q in zip(vario(a), vario(b), strict=True)])

        np.testing.assert_allclose(rules.variogram_score(x, y, patch=3, p=p), fair(square), rtol=1e-6, atol=1e-9)


def test_variogram_score_equals_scoringrules():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 5, 12)), rng.normal(size=(5, 12))
    theirs = scoringrules.vs_ensemble(y, x.swapaxes(0, 1), p=0.5, estimator="fair")
    np.testing.assert_allclose(rules.variogram_scores(x, y), theirs / (12 * 11), rtol=1e-9)


def test_fair_scores_do_not_depend_on_n():
    """For any number of members, the expectation is the closed form for a Gaussian."""
    rng, cases = np.random.default_rng(0), 200_000
    y = rng.normal(0.5, 1.3, cases)
    exact = scoringrules.crps_normal(y, 0.0, 1.0).mean()
    for n in (2, 5):
        assert abs(rules.fair_crps(rng.standard_normal((n, cases)), y) - exact) < 4 * 1.5 / math.sqrt(cases)


def test_scenes_before_bands_are_averaged():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3, 1, 8, 8)), rng.normal(size=(3, 1, 8, 8))
    for score in (rules.fair_crps, rules.energy_score, rules.variogram_score):
        np.testing.assert_allclose(score(x, y), np.mean([score(x[:, k], y[k]) for k in range(3)]), rtol=1e-9)


@pytest.mark.parametrize("quantisation_step", [0.0, 1.0])
def test_pit_is_uniform_for_equal_distributions(quantisation_step):
    """Also for ties by rounding and for values at the bounds."""
    rng, cases, n = np.random.default_rng(0), 40_000, 7
    drawn = np.clip(rng.normal(1.0, 1.5, (n + 1, cases)), 0, 3)
    truth = np.rint(drawn[0]) if quantisation_step else drawn[0]
    pit = rules.pit(drawn[1:], truth, rng.random(cases), quantisation_step)
    assert stats.kstest(pit, "uniform").pvalue > 0.01
    counts = np.bincount((pit * (n + 1)).astype(int), minlength=n + 1)
    assert stats.chisquare(counts).pvalue > 0.01
