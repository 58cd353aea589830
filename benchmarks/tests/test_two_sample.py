"""The classifier two-sample test: equal images are indistinguishable and others are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bayesr_bench import two_sample
from bayesr_bench.two_sample import Pair, area, cut, distinguishability


@pytest.fixture
def short(monkeypatch):
    """A budget of a second."""
    monkeypatch.setattr(two_sample, "STEPS", 25)
    monkeypatch.setattr(two_sample, "BATCH", 8)
    monkeypatch.setattr(two_sample, "TESTED", 16)
    monkeypatch.setattr(two_sample, "SPLITS", 1)
    monkeypatch.setattr(two_sample, "RESAMPLED", 50)


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


@pytest.mark.parametrize("splits", [1, 3])
def test_each_image_is_tested_by_networks_that_have_not_seen_it(short, monkeypatch, splits):
    """Every split tests every image once, and trains on the others of its half only."""
    truth, events = noise(7), []

    def recording(chosen, random, augment):
        numbers = {next(k for k in range(7) if pair.truth is truth[k]) for pair in chosen}
        if augment:
            events.append((numbers, set()) if not events or events[-1][1] else (events.pop()[0] | numbers, set()))
        else:
            events[-1][1].update(numbers)
        return cut(chosen, random, augment)

    truth = list(truth)
    monkeypatch.setattr(two_sample, "cut", recording)
    distinguishability(pairs(noise(7, seed=1), truth), 0, splits)
    assert len(events) == 2 * splits
    for first, second in zip(events[::2], events[1::2], strict=True):
        assert not first[0] & first[1] and not second[0] & second[1]
        assert first[1] | second[1] == set(range(7)) and not first[1] & second[1]


def test_the_error_is_that_of_other_images(short, monkeypatch):
    """With logits that are known, the error is the spread of the AUC over other sets of images of the same kind."""

    def known(network, pair, random):
        signal = pair.context.flat[0]  # how distinguishable each image is
        return np.stack([random.normal(0, 1, 32), random.normal(signal, 1, 32)])

    monkeypatch.setattr(two_sample, "_trained", lambda *given: None)
    monkeypatch.setattr(two_sample, "_logits", known)

    def repeated(seed):
        signals = np.random.default_rng(seed).normal(0.5, 0.8, 40)
        images = [Pair(np.zeros((1, 1, 32, 32)), np.zeros((1, 32, 32)), np.full((1, 32, 32), s)) for s in signals]
        return distinguishability(images, seed, 2)

    values, errors = zip(*map(repeated, range(40)), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.35)
    assert np.mean(values) == pytest.approx(0.6, abs=0.05)
