import numpy as np
import pytest
import xarray as xr

from bayesr import product
from bayesr.errors import InvalidProduct, NotAnImage
from bayesr.product import MAPS, SAMPLES, stacks
from tests.store import helpers


def image(**coords):
    return xr.DataArray(np.zeros((2, 3, 1, 6, 5), np.float32), dims=("time", "z", *product.DIMS), coords=coords)


def stack():
    """Return the product of a stack of six slices."""
    frame, rng = product.frame(image(z=[0.5, 1.0, 4.0]), 2), np.random.default_rng(0)
    arrays = {name: rng.random(frame.shape_of(name, 4, 2), np.float32) for name in (*MAPS, SAMPLES)}
    ds = product.dataset(frame, arrays, helpers.provenance(4, "whole").attrs(), 4, 2)
    return stacks.described(ds, [f"sha{i}" for i in range(6)], [f"check {i}" for i in range(6)])


def test_leading_dimensions_are_in_front():
    frame = product.frame(image(), 2)
    assert frame.leading == {"time": 2, "z": 3} and frame.shape == (2, 3, 1, 12, 10)
    assert frame.shape_of("mean", 4, 2) == frame.shape and frame.shape_of(SAMPLES, 4, 2) == (2, 3, 4, 1, 12, 10)
    ds = stack()
    assert ds[SAMPLES].dims == ("time", "z", "realization", *product.DIMS) and stacks.leading(ds) == ("time", "z")
    assert list(ds["z"].values) == [0.5, 1, 4] and list(ds["time"].values) == [0, 1]  # numbered, where it has none
    assert stacks.along(ds) == ("time", "z") and stacks.along(ds.isel(z=1)) == ("time",)
    assert stacks.along(ds.isel(z=1, time=0)) == () == stacks.along("no Dataset")


def test_a_slice_is_a_product_by_itself():
    ds = stack()
    one = product.canonical(ds.isel(time=1, z=2))
    assert one["mean"].dims == product.DIMS and one[SAMPLES].dims == ("realization", *product.DIMS)
    assert one.attrs["input_sha256"] == "sha5" and one.attrs["input_check"] == "check 5"
    assert stacks.SHA256 not in one.variables and ds.attrs["input_sha256"] == "whole"
    assert product.canonical(one) is one
    lost = ds.reset_coords(["slice_sha256", "slice_check"]).isel(time=1, z=2, band=0).transpose()
    xr.testing.assert_identical(product.canonical(lost), one)
    cut = product.canonical(ds.isel(time=slice(1, 2)).sel(z=4.0).isel(time=0, y=slice(2, 6)))
    np.testing.assert_array_equal(cut["mean"], one["mean"][:, 2:6])


def test_a_whole_stack_is_refused_by_name():
    ds = stack()
    with pytest.raises(InvalidProduct, match=r"stack along time \(2\), z \(3\).*ds.isel\(time=0, z=0\)"):
        product.canonical(ds)
    with pytest.raises(InvalidProduct, match=r"ds.isel\(z=0\)"):
        product.canonical(ds.isel(time=0))
    kept = product.canonical(ds.transpose("x", "time", "realization", "z", "y", "band"), stack=True)
    xr.testing.assert_identical(kept, ds)
    assert product.canonical(ds.isel(band=0), stack=True)["mean"].dims == ("time", "z", *product.DIMS)


def test_coordinates_that_stores_can_hold():
    times = np.array(["2020-01-01", "2021-01-01"], "M8[ns]")
    found = product.frame(image(time=times, label=("time", ["a", "b"]), both=(("time", "z"), np.eye(2, 3))), 2).coords
    np.testing.assert_array_equal(found["time"], times)
    assert found["label"].dtype == object and found["both"].dims == ("time", "z")
    assert "depth" not in product.frame(image(depth=(("time", "y"), np.zeros((2, 6)))), 2).coords
    strange = np.empty(2, object)
    strange[:] = [object(), object()]
    with pytest.raises(NotAnImage, match="'what' of the stack"):
        product.frame(image(what=("time", strange)), 2)


def test_images_are_no_stacks():
    ds = xr.Dataset()
    assert stacks.described(ds, [], []) is ds and stacks.of_slice(ds) is ds
    stacks.require_slice(xr.Dataset({"mean": ("y", [0.0])}))
    assert {"realization", "mean", "band"} <= stacks.RESERVED
