import dataclasses
import json

import numpy as np
import pytest
import scipy.ndimage
import torch

from bayesr.errors import InvalidForwardOperator
from bayesr.observe import Separable, bicubic, gaussian
from bayesr.training.data import load_images
from bayesr.training.degradation import Degradation, blurred, effective_operator
from bayesr.training.jpeg import compressed
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


@pytest.mark.parametrize(
    "bad",
    [
        dict(noise=(0.1, 0.05)), dict(blur=(-1, 1)), dict(photon=(0, float("inf"))), dict(anisotropy=(0.5, 1)),
        dict(bits=(0, 8)), dict(bits=(8, 17)), dict(jpeg=(0, 50)), dict(jpeg=(50, 101)), dict(chroma="quarter"),
        dict(shares={"jpeg": 1.5}), dict(shares={"operator": 0.5}), dict(order=("blur", "noise")),
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(bad):
    with pytest.raises(InvalidForwardOperator, match=next(iter(bad))):
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


def test_anisotropic_blur_has_its_widths_and_a_random_direction():
    point = torch.zeros(60, 1, 65, 65)
    point[..., 32, 32] = 1
    how = Degradation(blur=(2.0, 2.0), anisotropy=(2.0, 2.0), rounded=False)
    found, drawn = how.observe(Separable("box", 1), point, generator())
    t = torch.arange(65.0) - 32
    xx, yy, xy = (
        (found[:, 0] * weight).sum((1, 2)) for weight in (t[None] ** 2, t[:, None] ** 2, t[:, None] * t[None])
    )
    torch.testing.assert_close(found.sum((1, 2, 3)), torch.ones(60))
    torch.testing.assert_close(xx + yy, torch.full((60,), 4.0 + 16.0), rtol=0.02, atol=0)
    torch.testing.assert_close(xx * yy - xy**2, torch.full((60,), 4.0 * 16.0), rtol=0.05, atol=0)
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    assert angle.min() < -1 and angle.max() > 1 and float(drawn["anisotropy"][0]) == 2


def test_defocus_is_a_disc():
    point = torch.zeros(2, 1, 33, 33)
    point[..., 16, 16] = 1
    found, _ = Degradation(defocus=(5.0, 5.0), rounded=False).observe(Separable("box", 1), point, generator())
    t = torch.arange(33.0) - 16
    radius = torch.hypot(t[:, None], t[None])
    inside = found[0, 0][radius < 4.5]
    assert inside.std() < 1e-6 and found[0, 0][radius > 5.5].max() == 0
    torch.testing.assert_close(1 / inside[0], torch.tensor(torch.pi * 25), rtol=0.02, atol=0)
    sharp, _ = Degradation(defocus=(0.0, 1e-9), rounded=False).observe(Separable("box", 1), point, generator())
    torch.testing.assert_close(sharp, point)


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_values_have_so_many_bits(bits):
    low, _ = Degradation(bits=(bits, bits)).observe(
        bicubic(4), torch.rand(2, 1, 32, 32, generator=generator()), generator()
    )
    steps = low * (2**bits - 1)
    assert (steps - steps.round()).abs().max() < 2e-2 * min(1, 2**bits / 65536 * 4) + 1e-4
    assert (low.flatten().unique().numel() > 2) == (bits > 1)
    assert Degradation(bits=(bits, bits)).exact and Degradation(bits=(bits, bits)).eight_bits == (bits == 8)


def test_jpeg_comes_last_with_its_quality():
    high = torch.rand(4, 3, 64, 64, generator=generator())
    how = Degradation(jpeg=(30, 90), chroma="half")
    low, drawn = how.observe(bicubic(4), high, generator())
    plain, _ = Degradation().observe(bicubic(4), high, generator())
    assert torch.equal(low, compressed(plain, drawn["jpeg"], torch.ones(4, dtype=torch.bool)))
    assert drawn["jpeg"].min() >= 30 and not how.exact and how.eight_bits
    assert effective_operator(bicubic(4), how).recorded == {"blur": 0.0, "noise": 0.0, "photon": 0.0}


def test_shares_leave_steps_out():
    high = torch.full((800, 1, 8, 8), 0.5)
    how = Degradation(noise=(0.1, 0.1), rounded=False, shares={"noise": 0.3})
    low, drawn = how.observe(bicubic(4), high, generator())
    left = drawn["noise"] == 0
    assert 0.63 < left.float().mean() < 0.77
    torch.testing.assert_close(low[left], torch.full_like(low[left], 0.5))
    assert (low[~left] - 0.5).std().item() == pytest.approx(0.1, rel=0.1)


def test_steps_may_have_another_order():
    """Blur after the operator has the same width in the scene."""
    high = torch.rand(3, 1, 64, 64, generator=generator())
    order = ("operator", "rounding", "noise", "blur", "defocus", "jpeg")
    how = Degradation(blur=(4.0, 4.0), order=order)
    low, _ = how.observe(bicubic(4), high, generator())
    rounded, _ = Degradation().observe(bicubic(4), high, generator())
    torch.testing.assert_close(low, blurred(rounded, torch.ones(3), 1.0))


def test_what_is_not_as_by_default_is_described():
    assert Degradation().describe() == {} and hash(Degradation()) == hash(Degradation())
    how = Degradation(blur=(0, 2), jpeg=(40, 100), chroma="half", shares={"jpeg": 0.4}, rounded=True)
    assert how.describe() == {"blur": [0, 2], "jpeg": [40, 100], "chroma": "half", "shares": {"jpeg": 0.4}}
    assert json.loads(json.dumps(how.describe())) == how.describe()
