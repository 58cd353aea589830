import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bayesr.observe import bicubic, gaussian
from bayesr.observe.agreement import agree_, reach_of

NOISE = 0.02


def scene(size=192, seed=0):
    """Discs and texture, `1 x 1 x y x x`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = 0.5 + 0.1 * gaussian_filter(random.normal(0, 1, (size, size)), 2) * 5
    for _ in range(40):
        (cy, cx), radius = random.uniform(0, size, 2), random.uniform(4, 16)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = random.uniform(0.1, 0.9)
    return torch.from_numpy(image)[None, None]


def implying(x, width, true, noise=NOISE):
    """An image that explains what `x` looks like under the width `true` by another one, and a noisy input."""
    clear = gaussian(4, sigma=true).observe(x)
    image = gaussian(4, sigma=width, regularisation=1e-3).project_onto_data_(x.clone(), clear)
    return image, (clear + noise * torch.from_numpy(np.random.default_rng(1).normal(size=clear.shape)))[0]


def error(x, truth):
    return float(((x - truth)[..., 24:-24, 24:-24] ** 2).mean().sqrt())


@pytest.mark.parametrize(("width", "true"), [(2.4, 1.9), (1.7, 2.2), (3.0, 2.3)])
def test_an_image_of_a_wrong_width_comes_near_the_truth_and_keeps_its_noise(width, true):
    truth = scene()
    x, y = implying(truth, width, true)
    operator = gaussian(4, sigma=true, regularisation=0.01)
    moved = agree_(operator.unconstrained(noise=NOISE), x.clone(), y)
    assert error(moved, truth) < 0.5 * error(x, truth)
    assert float(((y - operator.observe(moved)) ** 2).mean()) / NOISE**2 == pytest.approx(1, abs=0.15)
    projected = operator.project_onto_data_(x.clone(), y)
    assert error(projected, truth) > 2 * error(moved, truth), "which reproduces the noise"


def test_an_image_of_the_right_width_hardly_changes():
    truth = scene()
    _, y = implying(truth, 2.0, 2.0)
    operator = gaussian(4, sigma=2.0, regularisation=0.01).unconstrained(noise=NOISE)
    assert error(agree_(operator, truth.clone(), y), truth) < 0.2 * NOISE


def test_noise_alone_is_no_blur():
    flat = torch.full((1, 1, 96, 96), 0.5, dtype=torch.float64)
    y = 0.5 + NOISE * torch.randn(1, 24, 24, dtype=torch.float64)
    operator = gaussian(4, sigma=2.0, regularisation=0.01).unconstrained(noise=NOISE)
    assert agree_(operator, flat.clone(), y).equal(flat)


def test_without_noise_images_agree_exactly():
    x, y = torch.rand(2, 3, 48, 52, dtype=torch.float64), torch.rand(3, 12, 13, dtype=torch.float64)
    moved = agree_(gaussian(4, sigma=1.8), x, y)
    assert moved is x and gaussian(4, sigma=1.8).observe(x).numpy() == pytest.approx(np.stack([y, y]))
    regularised = gaussian(4, sigma=1.8, regularisation=0.01)
    assert agree_(regularised, x.clone(), y).equal(regularised.project_onto_data_(x.clone(), y))


def test_all_bands_have_one_blur():
    truth = scene()
    x, y = implying(truth, 2.4, 1.9)
    flat = torch.full_like(x, 0.5)
    operator = gaussian(4, sigma=1.9, regularisation=0.01).unconstrained(noise=NOISE)
    both = agree_(operator, torch.cat([x, flat], 1), torch.cat([y, torch.full_like(y, 0.5)]))
    assert both[:, :1].numpy() == pytest.approx(agree_(operator, x.clone(), y).numpy(), abs=1e-12)
    assert both[:, 1:].equal(flat)
    members = agree_(operator, torch.cat([x, truth]), y)
    assert members[1:].numpy() == pytest.approx(agree_(operator, truth.clone(), y).numpy(), abs=1e-12)


def test_the_influence_of_a_pixel_ends_at_the_reach():
    operator = gaussian(4, sigma=2.0, regularisation=0.01).unconstrained(noise=NOISE)
    reach = reach_of(operator)
    assert reach > operator.reach == reach_of(operator.of)
    truth = scene(512)
    x, y = implying(truth, 2.4, 2.0)
    other = x.clone()
    other[..., :4, :] += 0.3
    changed = (agree_(operator, other, y) - agree_(operator, x.clone(), y)).abs().amax((0, 1, 3))
    assert changed[: 4 * operator.reach].max() > 1e-3 and changed[4 * (1 + reach) :].max() < 1e-6


def test_small_images():
    operator = bicubic(2).unconstrained(noise=NOISE)
    x = torch.rand(1, 1, 4, 6, dtype=torch.float64)
    assert agree_(operator, x, torch.rand(1, 2, 3, dtype=torch.float64)).isfinite().all()
