"""Intervals of systems that have none of their own."""

import numpy as np
import pytest

from bayesr.calibration.calibration import Calibration
from bayesr_bench.intervals import case_of, fit_calibration, interval_of
from bayesr_bench.training import LEVEL


@pytest.mark.parametrize("spread", [0.4, 1.0, 2.5])
def test_calibration_mends_a_spread_that_is_wrong(spread):
    """Members that are too close together, right, or too far apart: intervals hold what they say all the same."""
    random = np.random.default_rng(0)

    def scene():
        deviation = random.uniform(3, 9, (1, 24, 24))
        truth = 128 + deviation * random.normal(size=deviation.shape)
        return 128 + spread * deviation * random.normal(size=(16, *deviation.shape)), truth

    found = fit_calibration([case_of(*scene()) for _ in range(30)], [case_of(*scene()) for _ in range(60)], 16)
    covered, raw = [], []
    for members, truth in (scene() for _ in range(60)):
        for calibration, shares in ((found, covered), (Calibration(), raw)):
            std, lower, upper = interval_of(members, calibration)
            assert std.shape == truth.shape
            shares.append(np.mean((truth >= lower) & (truth <= upper)))
    assert np.mean(covered) == pytest.approx(LEVEL, abs=0.02)
    assert (np.mean(raw) > LEVEL) == (spread >= 1), "uncalibrated, what is too narrow covers too little"
