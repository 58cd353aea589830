import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr import observe
from bayesr.errors import InvalidForwardOperator

SCALES = st.integers(1, 4)


@given(SCALES, st.floats(0.3, 0.6))
def test_operators_have_the_scale_that_was_asked_for(scale, sigma):
    for operator in (observe.bicubic(scale), observe.box(scale), observe.gaussian(scale, sigma=sigma)):
        x = torch.rand(1, 4 * scale, 5 * scale, dtype=torch.float64)
        assert operator.scale == scale and operator.observe(x).shape == (1, 4, 5)


@given(SCALES, st.floats(0.4, 1.2), st.floats(0.4, 0.6))
def test_apertures_are_numbers_of_any_kind(scale, na, wavelength):
    made = observe.airy(scale, na=np.float32(na), wavelength=wavelength, pixel=0.1)
    assert made == observe.airy(scale, na=float(np.float32(na)), wavelength=wavelength, pixel=0.1)
    assert isinstance(made.describe()["na"], float)


PSF = np.outer([1, 2, 1], [1, 3, 1]) / 20


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_a_point_spread_function_may_be_any_array(kind):
    made = observe.measured(kind(PSF), 2)
    assert made == observe.measured(PSF, 2)
    assert np.sum(made.describe()["psf"]) == pytest.approx(1)


@pytest.mark.parametrize("psf", ["a", [[1, 2], [3]], np.ones((3, 3, 3)), np.ones(3), np.ones((2, 3)), -np.ones((3, 3))])
def test_other_arrays_are_refused(psf):
    with pytest.raises(InvalidForwardOperator):
        observe.measured(psf)


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), "auto", [1.0], {}, 10**400])
def test_what_is_no_number_is_refused_by_its_name(wrong):
    with pytest.raises(InvalidForwardOperator, match="wavelength must be a number"):
        observe.airy(na=0.5, wavelength=wrong, pixel=0.1)
