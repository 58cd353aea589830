import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayesr.observe import airy, bicubic, box, gaussian
from bayesr.scoring.null_space import null_share, open_share, split_variance

EXACT = [bicubic(2), bicubic(4), box(3), gaussian(2, sigma=1.0)]
REGULARISED = [gaussian(2, sigma=1.2, regularisation=0.1), airy(2, na=0.5, wavelength=2.0, pixel=1.0)]
PARTS = ("range_variance", "null_variance", "range_null_covariance")


def split(operator, values, valid=None):
    members = xr.DataArray(values, dims=("realization", "band", "y", "x"))
    return split_variance(
        operator, members, np.ones(values.shape[-2:], bool) if valid is None else valid, lambda n: None
    )


def members(operator, n=5, bands=2, seed=0):
    return np.random.default_rng(seed).normal(100, 5, (n, bands, 8 * operator.scale, 9 * operator.scale))


@given(st.sampled_from([*EXACT, *REGULARISED]), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_parts_and_twice_their_covariance_are_the_variance_of_every_pixel(operator, n, seed):
    values = members(operator, n, 1, seed)
    range_part, null_part, covariance = (split(operator, values)[name] for name in PARTS)
    assert range_part + null_part + 2 * covariance == pytest.approx(values.var(0, ddof=1), rel=1e-4, abs=1e-4)
    assert range_part.min() >= 0 and null_part.min() >= 0


@pytest.mark.parametrize("operator", EXACT, ids=str)
def test_of_exact_operators_the_covariances_add_up_to_zero_and_the_parts_to_the_total(operator):
    values = members(operator)
    found = {name: split(operator, values)[name].astype(float).sum() for name in PARTS}
    total = values.var(0, ddof=1).sum()
    assert abs(found["range_null_covariance"]) < 1e-5 * total
    assert found["range_variance"] + found["null_variance"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("operator", EXACT, ids=str)
def test_members_that_reproduce_the_input_vary_in_the_null_space_alone(operator):
    y = torch.full((2, 8, 9), 100.0, dtype=torch.float64)
    values = operator.project_onto_data_(torch.from_numpy(members(operator)), y).numpy()
    found = split(operator, values)
    assert found["range_variance"].max() < 1e-12 * values.var(0, ddof=1).max()
    assert np.abs(found["range_null_covariance"]).max() < 1e-6 and null_share(found) == pytest.approx(1)


@pytest.mark.parametrize("operator", EXACT, ids=str)
def test_what_the_input_shows_is_in_the_range_alone(operator):
    low = torch.from_numpy(np.random.default_rng(0).normal(100, 5, (4, 2, 8, 9)))
    found = split(operator, operator.invert(low).numpy())
    assert found["null_variance"].max() < 1e-12 * found["range_variance"].max() and null_share(found) < 1e-12


def test_of_white_members_the_open_share_is_the_null_variance():
    operator = bicubic(2)
    found = split(operator, members(operator, n=3000, bands=1))
    assert found["null_variance"][0] / 25 == pytest.approx(found["open_share"], abs=0.12)
    assert found["open_share"].mean() == pytest.approx(1 - 1 / 4, abs=1e-6), "the rank of A is that of the input"


@pytest.mark.parametrize(
    "operator", [airy(2, na=0.5, wavelength=2.0, pixel=1.0), gaussian(2, sigma=1.2, regularisation=0.1)]
)
def test_the_open_share_is_the_diagonal_of_the_projection(operator):
    size = 2 * operator.reach + 8
    share, middle = open_share(operator, size, size), size  # in high-resolution pixels
    for row, column in ((middle, middle), (middle + 1, middle)):
        impulse = torch.zeros(1, 2 * size, 2 * size, dtype=torch.float64)
        impulse[0, row, column] = 1
        assert float(operator.project(impulse)[0, row, column]) == pytest.approx(share[row, column], abs=1e-4)


def test_what_cannot_be_split():
    operator, values = bicubic(2), members(bicubic(2))
    assert all(np.isnan(split(operator, values[..., :-1])[name]).all() for name in (*PARTS, "open_share"))
    alone = split(operator, values[:1])
    assert np.isnan(alone["null_variance"]).all() and np.isfinite(alone["open_share"]).all()
    assert np.isnan(null_share(alone))
    valid = np.ones(values.shape[-2:], bool)
    valid[:3] = False
    values[..., :3, :] = np.nan
    found = split(operator, values, valid)
    assert np.isnan(found["null_variance"][:, :3]).all() and np.isfinite(found["null_variance"][:, 3:]).all()
