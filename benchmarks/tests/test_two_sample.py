"""The classifier two-sample test: equal images are indistinguishable and others are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bayesr_bench import two_sample
from bayesr_bench.two_sample import Pair, area, distinguishability


@pytest.fixture
def short(monkeypatch):
    """A budget of a second."""
    monkeypatch.setattr(two_sample, "STEPS", 25)
    monkeypatch.setattr(two_sample, "BATCH", 8)
    monkeypatch.setattr(two_sample, "TESTED", 16)


def noise(count, sigma=0.0, bands=1, seed=0):
    random = np.random.default_rng(seed)
    images = random.normal(128, 20, (count, bands, 64, 48))
    return gaussian_filter(images, (0, 0, sigma, sigma)).clip(0, 255).round().astype(np.uint8)


def pairs(shown, truth):
    return [Pair(a[None], b, np.full(b.shape, 128, np.float32)) for a, b in zip(shown, truth, strict=True)]


def test_area():
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, 400), random.normal(1, 1, 300)
    assert area(a, b) == pytest.approx(np.mean(b[:, None] > a), abs=1e-12)
    assert area(a, a) == 0.5 and area(a, a + 100) == 1 and area(b, a) == pytest.approx(1 - area(a, b))


def test_equal_images_are_indistinguishable_and_others_are_not(short):
    truth = noise(16)
    same, error = distinguishability(pairs(noise(16, seed=1), truth), 0)
    assert abs(same - 0.5) < max(4 * error, 0.1)
    assert distinguishability(pairs(noise(16, 0.7, seed=1), truth), 0)[0] > 0.9
    assert distinguishability(pairs(noise(16, seed=1), truth), 0) == (same, error)
    assert np.isnan(distinguishability(pairs(noise(3), truth[:3]), 0)).all()
