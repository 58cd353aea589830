from dataclasses import replace

import numpy as np

import bayesr
from bayesr.calibration.input_rules import FEWEST, fit_inputs
from bayesr.training import calibrating
from tests.calibration.helpers import as_bytes, texture


def test_too_few_or_too_small_images_teach_nothing():
    assert fit_inputs([texture(seed, 1) for seed in range(FEWEST - 1)], 1) is None
    assert fit_inputs([texture(seed, 1, 31, 90) for seed in range(FEWEST)], 1) is None


def test_calibrate_learns_what_is_usual(model, monkeypatch):
    monkeypatch.setattr(calibrating, "MEMBER_COUNTS", (2, 32))  # the widths for others take time and are not looked at
    lows = [as_bytes(texture(seed, 3, 32, 44)) for seed in range(FEWEST)]
    pairs = [(low, low.repeat(4, 1).repeat(4, 2)) for low in lows]
    calibrated = bayesr.calibrate(model, pairs, levels=(0.5,), dims="byx", progress=False)
    assert calibrated.inputs.describe() == fit_inputs([low / np.float32(255) for low in lows], 3).describe()
    # Calibrating again is done without the check: its images are what is usual, whatever was before.
    again = bayesr.calibrate(replace(model, inputs=calibrated.inputs), pairs[:4], levels=(0.5,), dims="byx")
    assert again.inputs is None
