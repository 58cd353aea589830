import numpy as np

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.factor import FactorFit


def test_factor_finds_the_misfit():
    """The spread is too small by a known, varying factor."""
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


def test_pixels_that_are_clipped_in_every_member_do_not_stop_a_fit():
    """On a dark background all members are zero, so a third of all pixels has no spread."""
    rng = np.random.default_rng(0)
    raw = rng.uniform(1e-4, 1e-2, 6000)
    raw[:2000] = 0
    fit = FactorFit()
    fit.add(raw, rng.standard_normal(6000) * np.sqrt(raw), 32)
    spread, factor = fit.fit()
    assert spread[0] > 0 and np.isfinite(factor).all()
    assert np.abs(factor - 1).max() < 0.3
