import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

from bayesr import observe
from bayesr.errors import InvalidForwardOperator
from bayesr.observe import posteriors


def posterior(width=2.4, spread=0.0, noise=2.0, psf="gaussian", scale=4, draws=200):
    """A posterior of the form that `observe.fit` returns."""
    random = np.random.default_rng(1)
    widths = width + spread * random.standard_normal(draws).clip(-2, 2)
    found = xr.Dataset({"psf_width": ("draw", widths)}, attrs={"psf": psf, "scale": scale})
    return found if noise is None else found.assign(noise=("draw", np.full(draws, noise)))


@pytest.mark.parametrize("sigma", [1.2, 2.0, 4.0])
def test_the_width_of_a_gaussian_is_its_standard_deviation(sigma):
    operator = observe.gaussian(4, sigma=sigma, regularisation=0.01)
    assert posteriors.width_of(operator) == pytest.approx(sigma, rel=1e-3)


@pytest.mark.parametrize(
    "operator", [observe.bicubic(4), observe.box(2), observe.airy(2, na=0.5, wavelength=2, pixel=1)]
)
def test_squared_widths_add_up(operator):
    """Of the operator after a Gaussian blur, which is what models are trained with."""

    class Blurred(observe.Unconstrained):
        def observe(self, x):
            return super().observe(torch.from_numpy(gaussian_filter(x.numpy(), (0, 1.5, 1.5), mode="reflect")))

    own = posteriors.width_of(operator)
    assert posteriors.width_of(Blurred(operator)) == pytest.approx(math.hypot(own, 1.5), rel=2e-3)


def test_ranges_of_models():
    own, blind = posteriors.width_of(observe.bicubic(4)), observe.bicubic(4).unconstrained(blur=3.0, noise=0.1)
    assert posteriors.width_range(observe.bicubic(4), {}) == (own, own)
    assert posteriors.width_range(blind, {}) == pytest.approx((own, math.hypot(own, 3)))
    assert posteriors.width_range(blind, {"blur": [1.0, 3.0]})[0] == pytest.approx(math.hypot(own, 1))
    assert posteriors.width_range(blind, {"blur": [1.0, 3.0], "shares": {"blur": 0.5}})[0] == own
    assert posteriors.inside((1.0, 2.0), (1.0, 2.0)) and not posteriors.inside((1.0, 2.0), (0.9, 2.0))
    assert not posteriors.inside((1.0, 2.0), (1.0, 2.1))


def test_widths_of_posteriors_and_operators():
    narrow, wide = posteriors.widths(posterior(2.0, 0.2, draws=2000))
    assert narrow == pytest.approx(1.6, abs=0.01) and wide == pytest.approx(2.4, abs=0.01)
    given = [observe.gaussian(4, sigma=s) for s in (1.5, 2.0)]
    assert posteriors.widths(given) == pytest.approx((1.5, 2.0), rel=1e-3)
    radius = posteriors.widths(posterior(4.0, psf="airy"))
    assert radius[0] == radius[1] == posteriors.width_of(observe.fitted(posterior(4.0, psf="airy")))


def test_noise_of_posteriors():
    known = posterior(noise=5.0)
    model = observe.bicubic(4).unconstrained(noise=0.03, photon=0.02)
    assert posteriors.noise_of(known, 0, model, 250.0) == pytest.approx(0.02)
    assert posteriors.noise_of(posterior(noise=None), 0, model, 250.0) == pytest.approx(math.sqrt(0.0009 + 0.01))
    assert posteriors.noise_of(posterior(noise=None), 0, observe.bicubic(4), 250.0) == 0


def test_operators_of_draws():
    known = posterior(2.4, 0.3)
    for index in (0, 7):
        width = float(known["psf_width"][index])
        plain = observe.gaussian(4, sigma=width, regularisation=0.01)
        assert posteriors.drawn(known, index, 0.0) == plain
        assert posteriors.drawn(known, index, 0.1) == plain.unconstrained(noise=0.1)
    assert posteriors.drawn(posterior(3.0, psf="airy"), 0, 0.0) == observe.fitted(posterior(3.0, psf="airy"))
    measured = xr.Dataset({"kernel": (("v", "u"), np.ones((3, 3)))}, attrs={"psf": "measured", "scale": 1})
    assert posteriors.number_of_draws(measured) == 1 and posteriors.number_of_draws(known) == 200
    assert posteriors.drawn(measured, 0, 0.0) == observe.measured(np.ones((3, 3)), 1)


def test_what_is_no_posterior():
    for wrong in (
        xr.Dataset(),
        posterior(psf="disc"),
        posterior().drop_vars("psf_width"),
        posterior(math.nan),
        posterior(-1.0),
        posterior().isel(draw=0),
        xr.Dataset({"psf_width": ("draw", [1.0])}, attrs={"psf": "gaussian"}),
        posterior(scale="four"),
        posterior(scale=0),
        posterior(noise=-1.0),
        posterior(draws=0),
        xr.Dataset({"psf_width": ("draw", ["wide"])}, attrs={"psf": "gaussian", "scale": 4}),
        xr.Dataset({"kernel": ("u", [1.0])}, attrs={"psf": "measured", "scale": 1}),
    ):
        with pytest.raises(InvalidForwardOperator, match=r"no posterior.*observe\.fit"):
            posteriors.require_posterior(wrong)
    posteriors.require_posterior(posterior())
