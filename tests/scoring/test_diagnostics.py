import math

import numpy as np
import pytest

from bayesr.scoring import diagnostics


def test_coverage_and_width():
    truth, lower, upper = np.array([1.0, 2.0, 3.0, 9.0]), np.array([0.0, 2.0, 4.0, 5.0]), np.array([1.0, 5.0, 6.0, 6.0])
    np.testing.assert_array_equal(diagnostics.inside(truth, lower, upper), [1, 1, 0, 0])
    assert diagnostics.coverage(truth, lower, upper) == 0.5
    assert diagnostics.interval_width(lower, upper) == 1.75
    assert math.isnan(diagnostics.coverage(truth, lower, np.where(truth == 9, np.nan, upper)))


def test_spread_skill():
    assert diagnostics.spread_skill(2.0, 3.0, 4) == pytest.approx(math.sqrt(5 / 4 * 2 / 3))
    assert diagnostics.spread_skill(0.0, 3.0, 4) == 0
    assert math.isnan(diagnostics.spread_skill(0.0, 0.0, 4))


def test_psnr_is_of_the_worst_member():
    assert diagnostics.psnr(1.0, 10.0) == pytest.approx(20) and diagnostics.psnr(0.0, 10.0) == math.inf
    assert diagnostics.lr_psnr(np.array([0.0, 1.0, 0.5]), 10.0) == diagnostics.psnr(1.0, 10.0)


def test_diversity_equals_the_definition_of_the_challenge():
    d = np.random.default_rng(0).random((4, 9))
    best_member = min(sum(row) / 9 for row in d)
    best_places = sum(min(d[i][k] for i in range(4)) for k in range(9)) / 9
    assert diagnostics.diversity(d) == pytest.approx(100 * (best_member - best_places) / best_member)
    assert diagnostics.diversity(np.repeat(d[:1], 4, 0)) == 0
    assert math.isnan(diagnostics.diversity(np.zeros((4, 9))))


def test_calibration_error_by_spread():
    rng, n = np.random.default_rng(0), 4
    std = rng.uniform(1, 5, 100_000)
    error = rng.normal(0, std * math.sqrt(1 + 1 / n))
    assert diagnostics.by_spread(std, error, n)[2] < 0.02
    predicted, found, ence = diagnostics.by_spread(2 * std, error, n)
    assert abs(ence - 0.5) < 0.02 and (np.diff(predicted) > 0).all()
    one = np.sort(std)[:5000]
    np.testing.assert_allclose(predicted[0], 2 * np.sqrt((one**2).mean() * (n + 1) / n), rtol=1e-9)
    np.testing.assert_allclose((found**2).mean(), (error**2).mean(), rtol=1e-9)


def test_sparsification_by_hand():
    std, loss = np.array([3.0, 1, 2, 4]), np.array([5.0, 1, 2, 8])
    np.testing.assert_allclose(
        diagnostics.sparsification(std, loss, np.array([0, 0.25, 0.5, 0.75])), [4, 8 / 3, 1.5, 1]
    )
    # If all keys are equal, the loss is constant, whatever the order in memory.
    np.testing.assert_allclose(diagnostics.sparsification(np.ones(4), loss, np.array([0, 0.5])), 4)


def test_activity_is_the_standard_deviation_in_windows():
    rng = np.random.default_rng(0)
    image, valid = rng.normal(1000, 3, (2, 20, 20)), np.ones((20, 20), bool)
    valid[:4] = False
    found = diagnostics.activity(np.where(valid, image, np.nan), valid)
    assert found[10, 9] == pytest.approx(image.mean(0)[7:14, 6:13].std(), rel=1e-6)
    assert found[5, 9] == pytest.approx(image.mean(0)[4:9, 6:13].std(), rel=1e-6)


def test_spectrum_of_a_wave_and_of_noise():
    y, _ = np.mgrid[:64, :48]
    whole = np.ones((64, 48), bool)
    frequency, power = diagnostics.spectrum(np.sin(2 * np.pi * y / 8), whole)
    assert frequency[power.argmax()] == 1 / 8 and frequency[-1] == 0.5
    noise = np.random.default_rng(0).normal(50, 3, (64, 48))
    assert abs(diagnostics.spectrum(noise, whole)[1][3:].mean() - 9) < 0.6
    np.testing.assert_array_equal(diagnostics.spectrum(np.full((64, 48), 0.1), whole)[1], 0)
