from dataclasses import replace

import numpy as np
import pytest
import torch

import bayesr
from bayesr import observe
from bayesr.errors import InvalidForwardOperator
from bayesr.observe.aperture import transfer_function
from tests.conftest import make_model

SEEN = dict(na=0.3, wavelength=0.5, pixel=0.25)
RANDOM = np.random.default_rng(0).random((7, 5))


def test_the_point_spread_is_airys():
    """The first zero and the half width are those of the Airy function, and frequencies are cut off."""
    operator = observe.airy(1, na=0.3, wavelength=0.5, pixel=0.1, regularisation=0.1)
    kernel = operator.kernel()
    centre = len(kernel) // 2
    profile = kernel[centre, centre:] / kernel[centre, centre]
    pixels = np.arange(len(profile))
    assert operator.radius == pytest.approx(0.61 * 0.5 / 0.3 / 0.1)
    assert abs(np.interp(operator.radius, pixels, profile)) < 1e-3
    assert np.interp(0.257 * 0.5 / 0.3 / 0.1, pixels, profile) == pytest.approx(0.5, abs=0.01)
    transfer = np.fft.fft2(kernel, (256, 256))
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256, 0.1)] * 2))
    np.testing.assert_allclose(np.abs(transfer), transfer_function(frequency * 0.5 / 0.6), atol=0.065)


def test_apertures_in_a_row():
    """NA 0.7, followed by the operator from NA 0.7 to NA 0.3, is NA 0.3, except for the tapers."""
    where = dict(wavelength=0.5, pixel=0.15)
    scene = torch.zeros(96, 96, dtype=torch.float64)
    scene[40:44, 30:60] = scene[60, 20] = 1
    sharp = observe.airy(1, na=0.7, **where, regularisation=0.5).observe(scene)
    found = observe.airy(4, na=0.3, **where, sharp_na=0.7).observe(sharp)
    expected = observe.airy(4, na=0.3, **where).observe(scene)
    assert (found - expected).abs().max() < 0.05 * expected.max()
    assert (found - observe.airy(4, na=0.3, **where).observe(sharp)).abs().max() > 0.08 * expected.max()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: observe.airy(4, na=0, wavelength=0.5, pixel=0.1), "na must be above 0"),
        (lambda: observe.airy(4, na=0.3, wavelength=float("nan"), pixel=0.1), "wavelength must"),
        (lambda: observe.airy(4, na=0.3, wavelength=500, pixel=0.1), "same unit"),
        (lambda: observe.airy(4, **SEEN, sharp_na=0.2), "Swap"),
        (lambda: observe.airy(0, **SEEN), "at least 1"),
        (lambda: observe.airy(4, **SEEN, regularisation=0), "above 0"),
        (lambda: observe.airy(1, na=0.3, wavelength=0.5, pixel=0.1, regularisation=1e-9), "ten times"),
        (lambda: observe.measured(np.ones((67, 3))), "65x65"),
        (lambda: observe.measured(np.ones((4, 3))), "odd sides"),
        (lambda: observe.measured(np.ones(3)), "two dimensions"),
        (lambda: observe.measured([[0.0, np.nan, 1.0]]), "finite"),
        (lambda: observe.measured([[-1.0]]), "positive sum"),
        (lambda: observe.measured("psf"), "numbers"),
    ],
)
def test_bad_operators_say_what_to_do(make, says):
    with pytest.raises(InvalidForwardOperator, match=says):
        make()


def test_a_model_file_keeps_the_operator(tmp_path):
    operator = observe.measured(RANDOM, 4)
    model = bayesr.load(replace(make_model(bands=1), forward_operator=operator).save(tmp_path / "m.safetensors"))
    assert model.forward_operator == operator and not model.promises["consistency"] and model.promises["one_image"]
