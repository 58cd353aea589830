import numpy as np
import pytest
import torch

from bayesr import observe
from bayesr.errors import InvalidArgument, InvalidPixels


def beads(seed, width=1.4, noise=1.0, gain=0.0, size=128, apart=26, profile=None):
    """Draw an image of beads at random positions between pixels."""
    random, grid = np.random.default_rng(seed), np.arange(float(size))
    y = np.full((size, size), 100.0)
    cells = np.mgrid[14 : size - 10 : apart, 14 : size - 10 : apart].reshape(2, -1).T
    for cy, cx in cells + random.uniform(-4, 4, cells.shape):
        squared = (grid[:, None] - cy) ** 2 + (grid - cx) ** 2
        y += random.uniform(60, 200) * (np.exp(-0.5 * squared / width**2) if profile is None else profile(squared))
    if gain:
        y = 100 + gain * random.poisson((y - 100) / gain)
    return y + random.normal(0, noise, y.shape)


@pytest.mark.parametrize(("noise", "gain"), [(0.5, 0), (2, 0), (5, 0), (2, 1), (5, 3)])
def test_the_width_is_right_and_so_is_its_interval(noise, gain):
    """20 of the 100 images that the documented run takes; 90% intervals miss 6 of 20 with probability 0.01."""
    found = [observe.fit_beads(beads(seed, noise=noise, gain=gain), scale=4) for seed in range(20)]
    widths = np.array([one.attrs["psf_width"] for one in found])
    assert np.abs(widths / 5.6 - 1).max() < 0.05
    inside = [one.attrs["psf_width_interval"][0] <= 5.6 <= one.attrs["psf_width_interval"][1] for one in found]
    assert sum(inside) >= 15
    draws = found[0]["psf_width"].to_numpy()
    assert np.quantile(draws, [0.05, 0.95]) == pytest.approx(found[0].attrs["psf_width_interval"], rel=0.01)


def test_beads_that_touch_are_left_out():
    y = beads(3, noise=1.0)
    grid = np.arange(128.0)
    y += 150 * np.exp(-0.5 * ((grid[:, None] - 40) ** 2 + (grid - 40) ** 2) / 4**2)  # a clump
    assert observe.fit_beads(y).attrs["psf_width"] == pytest.approx(1.4, rel=0.03)


def test_an_airy_disc_has_its_radius():
    def profile(squared):
        from scipy.special import j1

        v = np.maximum(3.8317 * np.sqrt(squared) / 4.0, 1e-6)
        return (2 * j1(v) / v) ** 2

    found = observe.fit_beads(beads(0, profile=profile, noise=0.5, size=160, apart=40), scale=2, psf="airy")
    assert found.attrs["psf_width"] == pytest.approx(8.0, rel=0.03)
    assert isinstance(observe.fitted(found), observe.Airy)


def test_fitted_makes_an_operator():
    gaussian = observe.fitted(observe.fit_beads(beads(0, width=0.5, apart=20), scale=4))
    assert isinstance(gaussian, observe.Separable) and gaussian.sigma == pytest.approx(2.0, rel=0.1)
    found = observe.fit_beads(beads(0, size=256), psf="measured")
    kernel = found["kernel"].to_numpy()
    t = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1) and (kernel * t[:, None] ** 2).sum() ** 0.5 == pytest.approx(1.4, rel=0.05)
    expected = np.exp(-0.5 * (t[:, None] ** 2 + t**2) / 1.4**2)
    assert np.abs(kernel - expected / expected.sum()).max() < 0.05 * kernel.max()
    assert (np.abs(kernel - expected / expected.sum()) < 5 * found["kernel_error"] + 2e-3).all()
    measured = observe.fitted(found, regularisation=0.05)
    assert isinstance(measured, observe.Measured) and measured.regularisation == 0.05
    assert measured.observe(torch.rand(1, 40, 40)).shape == (1, 40, 40)


def test_images_that_cannot_be_fitted_are_refused():
    with pytest.raises(InvalidArgument, match="0 isolated beads were found"):
        observe.fit_beads(np.random.default_rng(0).normal(0, 1, (64, 64)))
    with pytest.raises(InvalidArgument, match=r"shape \(3, 64, 64\)"):
        observe.fit_beads(np.zeros((3, 64, 64)))
    with pytest.raises(InvalidPixels):
        observe.fit_beads(np.full((64, 64), np.nan))
    for bad in (dict(psf="lorentz"), dict(level=1), dict(scale=0), dict(scale=2.5), dict(psf="measured", scale=2)):
        with pytest.raises(InvalidArgument):
            observe.fit_beads(beads(0), **bad)
    saturated = np.clip(beads(0) * 2, 0, 255).astype(np.uint8)
    saturated[saturated > 210] = 255
    with pytest.raises(InvalidArgument, match="not saturated"):
        observe.fit_beads(saturated)
