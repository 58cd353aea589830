import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from bayesr.errors import InvalidArgument
from bayesr_bench import conformal
from bayesr_bench.conformal import WIDENINGS, fewest, missed, p_value, widened, widening

RISKS, ALPHAS, IMAGES = st.floats(0, 1), st.floats(0.02, 0.5), st.integers(2, 300)


@given(RISKS, ALPHAS, IMAGES)
def test_the_bound_is_the_better_of_two(risk, alpha, images):
    found = float(p_value(risk, alpha, images))
    bentkus = np.e * binom.cdf(np.ceil(images * risk - 1e-9), images, alpha)
    r = min(risk, alpha)
    relative = (r * np.log(r / alpha) if r else 0) + (1 - r) * np.log((1 - r) / (1 - alpha))
    assert found == pytest.approx(min(1, bentkus, np.exp(-images * relative)))
    assert 0 <= found <= 1 and (found == 1 or risk < alpha)


@given(st.integers(2, 200), ALPHAS)
def test_it_bounds_the_tail_of_the_binomial(images, alpha):
    """Of risks that are 0 or 1, the worst there are: no mean is less likely than the bound says."""
    counts = np.arange(images + 1)
    assert (binom.cdf(counts, images, alpha) <= p_value(counts / images, alpha, images) + 1e-12).all()


@given(st.floats(0, 0.09), st.integers(30, 300), st.floats(0.05, 0.3))
def test_the_p_value_is_the_upper_bound_the_other_way_round(risk, images, delta):
    """What is bounded below alpha has a p-value of alpha below delta: the two ways of the paper agree."""
    upper = brentq(lambda alpha: float(p_value(risk, alpha, images)) - delta, risk + 1e-9, 1 - 1e-9)
    assert (upper <= 0.1) == (float(p_value(risk, 0.1, images)) <= delta) or abs(upper - 0.1) < 1e-6


@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_the_risk_is_kept_as_often_as_promised(spread):
    """Images differ in how far their errors lie beyond the heads; the risk is known exactly for each widening."""
    rng = np.random.default_rng(0)
    scale = lambda count: np.exp(spread * rng.normal(size=(count, 1)))  # noqa: E731
    # The errors of an image are uniform in +- its scale, the heads are at +- 1.
    risk = np.maximum(0, 1 - WIDENINGS / scale(20_000)).mean(0)
    beyond = []
    for _ in range(400):
        shares = np.maximum(0, 1 - WIDENINGS / scale(60))
        at = widening(shares)
        beyond.append(np.interp(at, WIDENINGS, risk) > conformal.ALPHA)
    assert np.mean(beyond) <= conformal.DELTA + 3 * np.sqrt(0.09 / 400)


@given(st.integers(0, 10**6), st.floats(0.2, 3), st.floats(0, 2))
def test_shares_are_those_of_the_intervals(seed, factor, quantisation_step):
    rng = np.random.default_rng(seed)
    centre, truth = rng.normal(size=(2, 3, 5, 4))
    lower, upper = centre - rng.exponential(size=centre.shape), centre + rng.exponential(size=centre.shape)
    shares = missed(centre, lower, upper, truth, quantisation_step)
    assert shares[0] >= shares[-1] and (np.diff(shares) <= 0).all()
    at = int(np.searchsorted(WIDENINGS, factor))
    low, high = widened(centre, lower, upper, WIDENINGS[at], quantisation_step)
    assert shares[at] == pytest.approx(np.mean((truth < low) | (truth > high)))


def test_heads_that_cross_the_prediction_still_widen():
    zero, one = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    low, high = widened(zero, one, -one, 2.0)
    assert (low < 0).all() and (high > 0).all()


def test_too_few_images_are_refused():
    assert fewest() == 22 and fewest(0.5, 0.5) == 1
    nothing = np.zeros((22, len(WIDENINGS)))
    assert widening(nothing) == 0
    with pytest.raises(InvalidArgument, match="at least 22"):
        widening(nothing[:21])


def test_a_risk_that_returns_is_not_overlooked():
    """Only widenings from which on *all* larger ones are allowed count."""
    shares = np.zeros((200, len(WIDENINGS)))
    shares[:, :50] = 1
    shares[:, 100:110] = 1
    assert widening(shares) == WIDENINGS[110]
