import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayesr import product
from bayesr.errors import InvalidProduct
from bayesr.product import MAPS, MASK_MEANS, SAMPLES, VARIABLES
from bayesr.product.georeference import counts_pixels


def image(height=3, width=4, bands=2, **attrs):
    return xr.DataArray(np.zeros((bands, height, width)), dims=("band", "y", "x"), attrs=attrs)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_a_frame_has_more_pixels_in_the_same_extent(height, width, bands, scale):
    low = image(height, width, bands)
    frame = product.frame(low, scale)
    assert frame.shape == (bands, scale * height, scale * width) and frame.bands == bands
    for dim, size in (("y", height), ("x", width)):
        values = frame.coords[dim].to_numpy()
        np.testing.assert_allclose(values, (np.arange(scale * size) + 0.5) / scale)
        assert frame.coords[dim].attrs["units"] == "1" and counts_pixels(frame.coords[dim])
    assert frame.shape_of("mean", 8, 2) == frame.shape
    assert frame.shape_of(SAMPLES, 8, 2) == (8, *frame.shape) and frame.shape_of(MASK_MEANS, 8, 2) == (1, *frame.shape)


@pytest.mark.parametrize("step", [10.0, -2.5])
def test_coordinates_of_the_image_are_refined(step):
    low = image().assign_coords(x=100 + step * np.arange(4), band=["r", "g"])
    frame = product.frame(low, 2)
    centres = frame.coords["x"].to_numpy()
    np.testing.assert_allclose(centres.reshape(4, 2).mean(1), low["x"])
    np.testing.assert_allclose(np.diff(centres), step / 2)
    assert list(frame.coords["band"].to_numpy()) == ["r", "g"]


def test_variables_have_names_units_and_methods():
    frame = product.frame(image(units="counts"), 2)
    arrays = {name: np.zeros(frame.shape, np.float32) for name in MAPS} | {
        SAMPLES: np.zeros((4, *frame.shape), np.float32),
        MASK_MEANS: np.zeros((1, *frame.shape), np.float32),
    }
    ds = product.dataset(frame, arrays, {"model": "tiny"}, 4, 2)
    assert list(ds.data_vars) == [*MAPS, SAMPLES]
    for name, (power, long_name, methods) in VARIABLES.items():
        assert ds[name].attrs["long_name"] == long_name and ds[name].attrs.get("cell_methods") == methods
        assert ds[name].attrs["units"] == {0: "1", 1: "counts", 2: "counts2"}[power]
    assert list(ds["mask"].to_numpy()) == [0, 1, 0, 1] and ds.attrs["model"] == "tiny"
    few = product.dataset(frame, {"std": arrays["std"]}, {}, 4, 2)
    assert list(few.data_vars) == ["std"] and "realization" not in few.coords


@pytest.mark.parametrize(
    ("units", "power", "expected"),
    [
        ("K", 1, "K"),
        ("K", 2, "K2"),
        ("m2", 2, "(m2)2"),
        ("%", 2, "(%)2"),
        ("degree_C", 2, "degree_C2"),
        ("1", 2, "1"),
        ("m s-1", 2, "(m s-1)2"),
        ("K", 0, "1"),
        (None, 0, "1"),
    ],
)
def test_units_of_powers(units, power, expected):
    assert product.units_of(units, power) == {"units": expected}


@pytest.mark.parametrize("power", [1, 2])
def test_unknown_units_have_no_powers(power):
    assert product.units_of(None, power) == {}


def test_what_a_product_lacks_is_named():
    ds = xr.Dataset({"mean": ("x", [1.0])}, attrs={"value_range": [0, 255]})
    product.require(ds, "mean")
    with pytest.raises(InvalidProduct, match="lacks std, lower"):
        product.require(ds, "mean", "std", "lower")
    assert product.value_range_of(ds) == (0.0, 255.0) and product.attribute(ds, "value_range") == [0, 255]
    with pytest.raises(InvalidProduct, match="keep_attrs"):
        product.value_range_of(xr.Dataset())


def test_the_quantisation_step_may_be_missing_or_have_its_former_name():
    steps = [product.quantisation_step_of(xr.Dataset(attrs=a)) for a in ({}, {"quantum": 1}, {"quantisation_step": 0})]
    assert steps == [0.0, 1.0, 0.0]
    assert product.attribute(xr.Dataset(attrs={"observation": "{}"}), "forward_operator") == "{}"
    assert product.attribute(xr.Dataset(), "forward_operator", None) is None
