from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.calibration.input_rules import FEWEST, compress_jpeg, fit_inputs
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


@given(st.integers(1, 5), st.integers(5, 95))
def test_compression_keeps_bands_and_range(bands, quality):
    x = texture(3, bands, 40, 48)
    found = compress_jpeg(x, quality)
    assert found.shape == x.shape and found.min() >= 0 and found.max() <= 1
    assert np.abs(compress_jpeg(x, 95) - x).mean() <= np.abs(compress_jpeg(x, 5) - x).mean()


def test_rules_do_not_depend_on_anything_but_the_images_and_the_seed():
    images = [texture(seed, 1, 33, 48) for seed in range(FEWEST)]
    first, again, other = (fit_inputs(images, 1, seed).describe() for seed in (0, 0, 1))
    assert first == again != other
