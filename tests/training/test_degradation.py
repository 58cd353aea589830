import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import torch

from bayesr.errors import InvalidObservation
from bayesr.observe import Separable, bicubic, gaussian
from bayesr.training.data import load_images
from bayesr.training.degradation import Degradation, blurred, effective_operator
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs, PairSource
from bayesr.training.validation import Validation
from tests.conftest import TINY

NOISY = Degradation(blur=(0.3, 1.5), noise=(0.01, 0.05), photon=(0.0, 0.01))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("operator", [bicubic(4), gaussian(2, sigma=1.0), Separable("box", 3)])
def test_by_default_observations_are_rounded_and_nothing_is_drawn(operator):
    high, random = torch.rand(3, 2, 24, 36), generator()
    low, _ = Degradation().observe(operator, high, random)
    assert torch.equal(low, (operator.observe(high).clamp(0, 1) * 255).round() / 255)
    assert torch.equal(random.get_state(), generator().get_state())
    assert effective_operator(operator, Degradation()) is operator
    bare, _ = Degradation(rounded=False).observe(operator, high * 3 - 1, random)
    assert torch.equal(bare, operator.observe(high * 3 - 1))


def test_blur_is_that_of_scipy_and_each_image_has_its_own():
    x, sigma = torch.rand(3, 2, 20, 30), torch.tensor([0.0, 0.7, 2.0])
    found = blurred(x, sigma, 2.0)
    torch.testing.assert_close(found[0], x[0], rtol=0, atol=1e-6)
    for i in (1, 2):
        expected = scipy.ndimage.gaussian_filter(
            x[i].double().numpy(), float(sigma[i]), axes=(1, 2), mode="reflect", radius=8
        )
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-6)
    tiny = torch.rand(1, 1, 2, 3)  # narrower than the kernel: mirrored more than once, the mean stays
    torch.testing.assert_close(blurred(tiny, torch.tensor([3.0]), 3.0).mean(), tiny.mean(), rtol=1e-5, atol=0)


def test_noise_has_the_declared_variance():
    high = torch.full((64, 1, 64, 64), 0.4)
    how = Degradation(noise=(0.02, 0.02), photon=(0.003, 0.003), rounded=False)
    low, drawn = how.observe(bicubic(4), high, generator())
    assert (low - 0.4).var().item() == pytest.approx(0.02**2 + 0.003 * 0.4, rel=0.05)
    assert abs((low - 0.4).mean().item()) < 1e-3 and float(drawn["noise"][0]) == pytest.approx(0.02)
    dark, _ = Degradation(photon=(0.003, 0.003), rounded=False).observe(bicubic(4), 0 * high, generator())
    assert dark.abs().max() == 0, "no photons, no noise"


def test_ranges_are_covered_and_drawn_per_image():
    high = torch.full((400, 1, 16, 16), 0.5)
    low, drawn = Degradation(noise=(0.0, 0.1), rounded=False).observe(bicubic(4), high, generator())
    assert drawn["noise"].min() < 0.003 and 0.097 < drawn["noise"].max() <= 0.1
    spread = (low - 0.5).std((1, 2, 3))
    assert np.corrcoef(spread, drawn["noise"])[0, 1] > 0.9


@pytest.mark.parametrize("bad", [dict(noise=(0.1, 0.05)), dict(blur=(-1, 1)), dict(photon=(0, float("inf")))])
def test_invalid_ranges_are_refused(bad):
    with pytest.raises(InvalidObservation, match=next(iter(bad))):
        Degradation(**bad)


def test_noise_is_not_reproduced_by_members(folder):
    """Members are not projected onto noisy data, so that residuals can be as large as the noise."""
    pairs = Pairs(load_images([folder]), bicubic(4), 8, degradation=NOISY)
    trainer = Trainer(TINY, pairs)
    low, _ = pairs.batch(2, generator())
    with torch.no_grad():
        _, x = trainer.members(low, 3)
        shifted = pairs.operator.project_onto_data_(x[:, 0] * 0 + 0.1, low)
    torch.testing.assert_close(bicubic(4).observe(shifted), low + 0.1)
    assert pairs.operator.clip_consistently_(torch.tensor([[[[-1.0, 2.0]]]]), low, 0.0, 1.0).tolist() == [
        [[[0.0, 1.0]]]
    ]
    assert pairs.operator != bicubic(4) and pairs.operator.describe()["noise"] == 0.05


def test_a_network_learns_to_leave_noise_out(folder):
    """A network that is trained on constant, noisy images has residuals of the size of the noise."""

    class Grey(PairSource):
        degradation = Degradation(noise=(0.1, 0.1), rounded=False)
        operator, bands, low_pixels = effective_operator(bicubic(4), degradation), 1, np.inf

        def draw_pairs(self, count, random):
            high = torch.rand(count, 1, 1, 1, generator=random).expand(-1, -1, 32, 32)
            return self.degradation.observe(self.operator, high, random)[0], high

    what = dataclasses.replace(TINY, network=TINY.network | {"blocks": 2})
    fidelity = dataclasses.replace(what.stages[0], steps=250, batch=8, rate=4e-3)
    trainer = Trainer(dataclasses.replace(what, stages=(fidelity,)), Grey())
    while trainer.step < trainer.steps:
        trainer.advance()
    low, _ = Grey().batch(64, generator(1))
    with torch.no_grad():
        _, x = trainer.members(low, 0, trainer.average)
    residual = (low - bicubic(4).observe(x[:, 0])).std().item()
    assert 0.8 < residual / 0.1 < 1.1


def test_resumed_training_draws_the_same_noise(folder, tmp_path):
    images = load_images([folder])
    make = lambda: Trainer(TINY, Pairs(images, bicubic(4), 8, degradation=NOISY))  # noqa: E731
    straight, first, second = make(), make(), make()
    expected = [straight.advance() for _ in range(8)]
    found = [first.advance() for _ in range(4)]
    first.save(tmp_path / "c.npz")
    second.load(tmp_path / "c.npz")
    assert found + [second.advance() for _ in range(4)] == expected


def test_validation_sees_the_same_noise_every_time(folder):
    images = load_images([folder])
    one, two = (Validation(images, bicubic(4), degradation=NOISY) for _ in range(2))
    assert torch.equal(one.low, two.low) and not torch.equal(one.low, Validation(images, bicubic(4)).low)


def test_pair_of_a_whole_image():
    image = np.random.default_rng(0).integers(0, 255, (22, 33, 3), np.uint8)
    low, high = NOISY.pair(image, bicubic(4), generator())
    assert low.dtype == high.dtype == np.uint8 and low.shape == (5, 8, 3)
    np.testing.assert_array_equal(high, image[:20, :32])
    low, high = dataclasses.replace(NOISY, rounded=False).pair(image, bicubic(4), generator())
    assert low.dtype == high.dtype == np.float32 and high.max() <= 1
