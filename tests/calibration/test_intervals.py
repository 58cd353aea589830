import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.intervals import LAMBDAS, bounds, images_for, largest_level, missed_curve


def test_intervals_cover_on_average():
    """Conformal risk control on exchangeable images: over many splits the expected miss rate stays below alpha."""
    rng = np.random.default_rng(2)
    level, missed = 0.9, []
    for _ in range(200):
        sharpness = rng.lognormal(0, 0.3, 31)  # images differ in how wrong their spread is
        error = rng.standard_normal((31, 400)) * sharpness[:, None]
        curves = [missed_curve(np.ones(400), e, 0.0) for e in error[:30]]
        calibration = Calibration(missed={32: np.mean(curves, 0)}, images=30)
        missed.append((np.abs(error[30]) > calibration.half_width(level, 32)).mean())
    standard_error = np.std(missed) / np.sqrt(len(missed))
    assert np.mean(missed) < 1 - level + 2 * standard_error
    assert np.mean(missed) > 0.04, "bounds that cover everything would be no use"


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_intervals_cover_over_random_splits(level):
    """Images whose errors are correlated inside an image, and whose spread is wrong by an image's own factor.

    Every image is exchangeable with the rest by the split alone, so that the bound holds for this one pool.
    """
    rng = np.random.default_rng(4)
    images, kept, splits = 120, 40, 400
    error = gaussian_filter(rng.standard_normal((images, 24, 24)), (0, 2, 2))
    error *= rng.lognormal(0, 0.5, (images, 1, 1)) * np.exp(
        gaussian_filter(rng.standard_normal(error.shape), (0, 4, 4))
    )
    std = rng.lognormal(0, 0.2, error.shape) * error.std()
    curves = np.array([missed_curve(s, e, 0.0) for s, e in zip(std, error, strict=True)])
    ratio = np.abs(error / std).reshape(images, -1)
    covered = []
    for _ in range(splits):
        order = rng.permutation(images)
        calibration = Calibration(missed={32: curves[order[:kept]].mean(0)}, images=kept)
        covered.append((ratio[order[kept:]] <= calibration.half_width(level, 32)).mean())
    binomial = np.std(covered) / np.sqrt(splits)
    assert np.mean(covered) > level - 3 * binomial
    assert np.mean(covered) < level + 2 / (kept + 1) + 3 * binomial, "wider than they must be"


def test_missed_curve_counts():
    error, std = np.array([0.0, 0.5, 1.0, 3.0]), np.array([0.0, 1.0, 1.0, 1.0])
    curve = missed_curve(std, error, 0.0)
    assert curve[0] == 0.75 and curve[-1] == 0
    np.testing.assert_array_equal(curve, [(error > lam * std).mean() for lam in LAMBDAS])
    assert missed_curve(std, error, 2.0)[0] == 0.25, "half a quantisation step is inside"


@given(level=st.floats(0.01, 0.99))
def test_images_that_a_level_needs(level):
    needed = images_for(level)
    assert largest_level(needed) >= level - 1e-9
    assert needed == 1 or largest_level(needed - 1) < level


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("step", "limits"), [(0.0, None), (1.0, (0.0, 255.0))])
def test_bounds_are_the_half_width_and_half_a_step_away(kind, step, limits):
    rng = np.random.default_rng(7)
    mean, std = rng.uniform(0, 255, (2, 3, 20, 20)).astype(kind)
    lower, upper = bounds(mean, std, 1.7, step, limits)
    assert lower.dtype == upper.dtype == kind
    half = kind(1.7) * std + kind(step / 2)
    least, most = limits or (-np.inf, np.inf)
    np.testing.assert_array_equal(lower, np.maximum(mean - half, kind(least)))
    np.testing.assert_array_equal(upper, np.minimum(mean + half, kind(most)))
    missed = missed_curve(std, np.full_like(std, 40.0), step)
    assert missed[0] == 1 and (np.diff(missed) <= 0).all()
