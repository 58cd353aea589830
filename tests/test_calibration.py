import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.calibration import LAMBDAS, Calibration, FactorFit, missed_curve
from bayesr.errors import InvalidArgument


def test_factor_finds_the_misfit():
    """Spread that is too small by a known, varying factor."""
    rng = np.random.default_rng(0)
    fit = FactorFit()
    for _ in range(20):
        spread = rng.uniform(0.003, 0.1, (50, 50))
        error = rng.standard_normal((50, 50)) * spread * (1 + spread * 10) * np.sqrt(1 + 1 / 8)
        fit.add(spread**2, error, 8)
    calibration = Calibration(*fit.fit())
    at = np.array([0.01, 0.03, 0.08])
    np.testing.assert_allclose(calibration.factors(at), 1 + 10 * at, rtol=0.05)


def test_calibrated_spread_is_continuous_increasing_and_floored():
    rng = np.random.default_rng(1)
    fit = FactorFit()
    spread = np.exp(rng.normal(-4, 1, (200, 200)))
    fit.add(spread**2, rng.standard_normal((200, 200)) * np.maximum(spread, 0.01), 32)
    calibration = Calibration(*fit.fit())
    at = np.geomspace(1e-6, 1, 20_000)
    calibrated = calibration.factors(at) * at
    assert (np.diff(calibrated) > -1e-6 * calibrated[1:]).all()
    assert np.abs(np.diff(np.log(calibrated))).max() < 0.01
    assert np.isfinite(calibration.factors(np.array([0.0]))).all()
    assert np.isnan(calibration.factors(np.array([np.nan]))).all()


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


@given(level=st.floats(0.05, 0.95), n=st.integers(2, 300))
def test_wider_for_higher_levels_and_fewer_members(level, n):
    calibration = Calibration(missed={k: np.exp(-LAMBDAS * (1 - 1 / k)) for k in (2, 8, 32)}, images=99)
    width = calibration.half_width(level, n)
    assert calibration.half_width(min(level + 0.02, 0.97), n) > width >= 0
    assert calibration.half_width(level, n + 1) <= width


def test_levels_beyond_the_images_are_refused():
    calibration = Calibration(missed={32: np.exp(-LAMBDAS)}, images=60)
    assert calibration.half_width(60 / 61, 32) > 0
    with pytest.raises(InvalidArgument, match="99 calibration images"):
        calibration.half_width(0.99, 32)


def test_uncalibrated_intervals_are_gaussian():
    rng = np.random.default_rng(3)
    for n in (4, 32):
        x = rng.standard_normal((n + 1, 100_000))
        inside = np.abs(x[n] - x[:n].mean(0)) < Calibration().half_width(0.9, n) * x[:n].std(0, ddof=1)
        assert abs(inside.mean() - 0.9) < 0.005


def test_missed_curve_counts():
    error, std = np.array([0.0, 0.5, 1.0, 3.0]), np.array([0.0, 1.0, 1.0, 1.0])
    curve = missed_curve(std, error, 0.0)
    assert curve[0] == 0.75 and curve[-1] == 0
    np.testing.assert_array_equal(curve, [(error > lam * std).mean() for lam in LAMBDAS])
    assert missed_curve(std, error, 2.0)[0] == 0.25, "half a quantum is inside"
