import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rating_helpers import ratings

from bayesr.errors import InvalidArgument
from bayesr_bench.rating.opinion import differences, interval, opinions


@given(st.lists(st.lists(st.integers(1, 5), min_size=3, max_size=3), min_size=2, max_size=4))
@settings(max_examples=8, deadline=None)
def test_opinions_are_the_means_and_counts(scores):
    scores = np.array([scores, np.full_like(scores, 3)])
    found = {opinion.system: opinion for opinion in opinions(ratings(scores))}
    for name, given_scores in zip("ab", scores, strict=True):
        assert found[name].mos == pytest.approx(given_scores.mean())
        assert found[name].counts == tuple((given_scores == k).sum() for k in range(1, 6))
        assert (found[name].ratings, found[name].raters, found[name].images) == (given_scores.size, *given_scores.shape)
        assert given_scores.min() <= found[name].low <= found[name].mos + 1e-9 <= found[name].high + 2e-9
        assert found[name].high <= given_scores.max()
    assert (found["b"].low, found["b"].high) == (3, 3)  # without spread there is none


def test_the_interval_is_that_of_drawing_raters_and_images():
    generator = np.random.default_rng(1)
    scores = generator.integers(1, 6, (5, 8)).astype(float)
    scores[0, 3] = np.nan
    drawn = []
    for _ in range(1500):  # as its docstring defines it, not as it is computed
        raters, images = generator.integers(0, 5, 5), generator.integers(0, 8, 8)
        drawn.append(np.nanmean(scores[np.ix_(raters, images)]))
    np.testing.assert_allclose(interval(scores), np.quantile(drawn, (0.025, 0.975)), atol=0.08)


def test_the_interval_holds_for_new_raters_and_images():
    generator = np.random.default_rng(2)
    covered = []
    for seed in range(40):
        raters, images = generator.normal(0, 0.4, (12, 1)), generator.normal(0, 0.6, (1, 15))
        low, high = interval(3 + raters + images + generator.normal(0, 0.5, (12, 15)), seed)
        covered.append(low <= 3 <= high)
    assert np.mean(covered) >= 0.85  # 0.95, but for what 40 trials leave to chance


def test_one_rater_of_one_image_has_no_interval():
    assert np.isnan(interval(np.array([[4.0]]))).all()


def test_differences_are_paired_and_corrected():
    from scipy import stats

    generator = np.random.default_rng(3)
    scores = np.clip(generator.integers(1, 4, (3, 4, 9)) + np.array([2, 1, 0])[:, None, None], 1, 5)
    found = differences(ratings(scores))
    assert [(c.first, c.second) for c in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    means = scores.mean(1)
    p = [
        stats.wilcoxon(means[i] - means[j], zero_method="pratt", correction=True).pvalue
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    for comparison, (i, j), alone in zip(found, ((0, 1), (0, 2), (1, 2)), p, strict=True):
        assert comparison.difference == pytest.approx((means[i] - means[j]).mean())
        assert comparison.p == pytest.approx(alone) and comparison.p_holm >= comparison.p
    assert min(c.p_holm for c in found) == pytest.approx(min(1, 3 * min(p)))


def test_a_generous_rater_of_one_system_does_not_count():
    fair = np.full((2, 2, 6), np.nan)
    fair[:, 0] = 3  # the first rater finds both alike
    fair[0, 1] = 5  # the second has rated one system only, and generously
    [comparison] = differences(ratings(fair))
    assert comparison.difference == 0
    assert differences(ratings(fair[:1])) == []
    with pytest.raises(InvalidArgument, match="no ratings yet"):
        opinions([])
