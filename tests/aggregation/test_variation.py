import dask.array
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.aggregation import variation
from bayesr.errors import BayesrError, InvalidArgument, InvalidProduct, TooLarge
from tests.aggregation.helpers import of_members


def of_rank(n, shape=(2, 9, 11), seed=0):
    rng = np.random.default_rng(seed)
    scale = np.geomspace(10, 1, n)[:, None]
    x = rng.standard_normal((n, n)) @ (scale * rng.standard_normal((n, np.prod(shape)))) + 50
    return x.reshape(n, *shape).astype(np.float32)


@pytest.fixture(scope="module")
def ds(model, photo):
    """Members of a float image, which are not clipped."""
    return model.sample(photo.astype(np.float32), 8, value_range=(0, 255))


@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_components_are_those_of_the_singular_value_decomposition(n, seed):
    x = of_rank(n, seed=seed)
    found = bayesr.components(of_members(x), k=n - 1)
    flat = x.reshape(n, -1).astype(np.float64)
    left, values, right = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    values, right, left = values[: n - 1], right[: n - 1], left[:, : n - 1]
    np.testing.assert_allclose(found["share"], values**2 / (values**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(found["standard_deviation"], values / np.sqrt(n - 1), rtol=1e-5)
    expected = right * values[:, None] / np.sqrt(n - 1)
    sign = np.sign([row[np.abs(row).argmax()] for row in expected])
    images = found["components"].values.reshape(n - 1, -1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(images, expected * sign[:, None], atol=1e-5 * scale)
    np.testing.assert_allclose(found["score"], left * sign * np.sqrt(n - 1), atol=1e-5)
    np.testing.assert_allclose(found["mean"], x.mean(0), rtol=1e-5)


@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_all_components_restore_the_members(n, seed):
    x = of_rank(n, seed=seed)
    found = bayesr.components(of_members(x), k=n - 1)
    again = found["mean"] + (found["score"] * found["components"]).sum("component")
    np.testing.assert_allclose(again.transpose("realization", ...), x, atol=1e-5 * np.abs(x).max())
    np.testing.assert_allclose(found["share"].sum(), 1)
    np.testing.assert_allclose(found["score"].mean("realization"), 0, atol=1e-12)
    np.testing.assert_allclose(found["score"].var("realization", ddof=1), 1)


def test_few_components_are_the_first_of_many():
    many, few = (bayesr.components(of_members(of_rank(7)), k) for k in (6, 2))
    xr.testing.assert_allclose(few, many.isel(component=slice(0, 2)))
    assert float(few["share"].sum()) < 1 and (np.diff(many["share"]) < 0).all()
    norm = np.sqrt((many["components"].astype(float) ** 2).sum(["band", "y", "x"]))
    np.testing.assert_allclose(norm, many["standard_deviation"], rtol=1e-5)


def test_order_of_members_does_not_matter():
    x = of_rank(6)
    order = np.random.default_rng(0).permutation(6)
    one, other = bayesr.components(of_members(x), 5), bayesr.components(of_members(x[order]), 5)
    np.testing.assert_allclose(one["components"], other["components"], atol=1e-4)
    np.testing.assert_allclose(one["score"].values[order], other["score"], atol=1e-5)


def test_members_that_differ_in_fewer_ways():
    """Six members vary in two ways: other components explain nothing, and scores stay standardised."""
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((6, 2)) @ rng.standard_normal((2, 60))).reshape(6, 1, 6, 10)
    found = bayesr.components(of_members(x), 5)
    np.testing.assert_allclose(found["share"].values[:2].sum(), 1)
    assert np.abs(found["components"].values[2:]).max() < 1e-6
    np.testing.assert_allclose(found["score"].mean("realization"), 0, atol=1e-6)


def test_components_vanish_under_the_forward_operator(ds, model):
    """All members have the same low-resolution image."""
    found = bayesr.components(ds, 7)
    images = torch.from_numpy(found["components"].values)
    seen = model.forward_operator.observe(images).numpy()
    assert np.abs(seen).max() < 1e-4 < 0.1 < images.abs().max()


@pytest.mark.parametrize("chunks", [(1, 1, 4, 5), (8, 2, 50, 7), (3, 3, 92, 120)])
def test_streamed_as_in_memory(ds, chunks, monkeypatch):
    monkeypatch.setattr(variation, "_BLOCK", 4000)
    monkeypatch.setattr(variation, "_SIDE", 33)
    lazy = ds.assign(samples=ds["samples"].copy(data=dask.array.from_array(ds["samples"].values, chunks)))
    few = slice(3, 40), slice(11, 77)
    xr.testing.assert_allclose(
        bayesr.components(lazy, 3, window=few).drop_attrs(),
        bayesr.components(ds.isel(y=few[0], x=few[1]), 3).drop_attrs(),
    )


def test_every_pixel_is_in_one_block(monkeypatch):
    monkeypatch.setattr(variation, "_BLOCK", 6 * 7 * 5)
    monkeypatch.setattr(variation, "_SIDE", 7)
    members = of_members(of_rank(6, (2, 23, 31)))["samples"].chunk(y=(9, 2, 12), x=(3, 28))
    count = np.zeros((2, 23, 31))
    for where, deviations, mean in variation._blocks(members):
        count[where] += 1
        assert deviations.shape == (6, mean.size) and mean.size <= 35
    assert (count == 1).all()


def test_members_of_a_store_are_drawn_again(model, photo, ds, tmp_path):
    y = photo.astype(np.float32)
    file = model.save(tmp_path / "tiny.safetensors")
    stored = bayesr.sample(y, 8, model=file, value_range=(0, 255), store=tmp_path / "a.zarr", tile=12)
    with pytest.raises(InvalidProduct, match="img="):
        bayesr.components(stored.drop_encoding(), model=file)
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.components(stored, img=y + 1, model=file)
    with pytest.raises(InvalidProduct, match="another version"):
        bayesr.components(stored, img=y, model="natural-x4")
    whole = bayesr.components(str(tmp_path / "a.zarr"), 3, img=y, model=file)
    kept = bayesr.components(bayesr.sample(y, 8, model=file, value_range=(0, 255)), 3)
    np.testing.assert_allclose(whole["share"], kept["share"], rtol=1e-3)
    np.testing.assert_allclose(whole["components"], kept["components"], atol=0.02)
    part = bayesr.components(stored.isel(band=slice(1, 2), y=slice(10, 30), x=slice(40, 70)), 3, img=y, model=file)
    np.testing.assert_allclose(part["mean"], kept["mean"][1:2, 10:30, 40:70], atol=1e-2)
    assert part["components"].shape == (3, 1, 20, 30)
    xr.testing.assert_equal(part["x"], kept["x"][40:70])
    np.testing.assert_array_equal(part["mask"], kept["mask"])
    with pytest.raises(InvalidProduct, match="unbroken"):
        bayesr.components(stored.isel(y=slice(0, 30, 2)), img=y, model=file)


def test_an_image_is_sampled_first(model, photo, ds):
    found = bayesr.components(photo.astype(np.float32), 3, model=model, n=8, value_range=(0, 255))
    xr.testing.assert_allclose(found.drop_attrs(), bayesr.components(ds, 3).drop_attrs())
    assert found.attrs["model"] == "tiny" and "components(k=3)" in found.attrs["history"]
    assert list(found["mask"].values) == list(ds["mask"].values)


def test_coordinates_and_units_stay(model):
    array = xr.DataArray(
        np.random.default_rng(0).integers(0, 99, (3, 10, 12), dtype=np.uint16), dims=("band", "y", "x"),
        coords={"x": 5.0 + 10 * np.arange(12), "y": 95.0 - 10 * np.arange(10),
                "spatial_ref": ((), 0, {"crs_wkt": "W"})},
        attrs={"units": "counts"},
    )  # fmt: skip
    found = bayesr.components(array, 2, model=model, n=4)
    assert found["components"].attrs["units"] == found["standard_deviation"].attrs["units"] == "counts"
    assert found["spatial_ref"].attrs["crs_wkt"] == "W" and found["components"].attrs["grid_mapping"] == "spatial_ref"
    assert float(found["x"][0]) == 1.25


def test_missing_pixels_are_left_out(model):
    y = np.random.default_rng(3).random((3, 12, 14)).astype(np.float32)
    y[0, 4, 5] = np.nan
    ds = model.sample(y, 4, nodata=np.nan)
    found = bayesr.components(ds, 3)
    np.testing.assert_array_equal(np.isnan(found["components"][0]), np.isnan(ds["mean"]))
    whole = bayesr.components(ds.assign(samples=ds["samples"].fillna(0)), 3)
    np.testing.assert_allclose(found["share"], whole["share"], rtol=1e-6)
    xr.testing.assert_allclose(found["components"].fillna(0), whole["components"], atol=1e-6)


@pytest.mark.parametrize("k", [0, 8, -1, 2.5, "2", True, None])
def test_invalid_numbers_of_components(ds, model, photo, k):
    with pytest.raises(InvalidArgument, match="between 1 and n - 1 = 7"):
        bayesr.components(ds, k)
    with pytest.raises(InvalidArgument, match="between 1 and n - 1 = 7"):
        bayesr.components(photo, k, model=model, n=8)


def test_refusals(ds, model, monkeypatch):
    with pytest.raises(InvalidArgument, match="drawn already"):
        bayesr.components(ds, n=4)
    with pytest.raises(InvalidArgument, match="larger window"):
        bayesr.components(ds, window=(slice(5, 5), slice(None)))
    with pytest.raises(InvalidArgument, match="members that differ"):
        bayesr.components(ds.isel(realization=slice(0, 1)), 1)
    with pytest.raises(InvalidProduct, match="do not differ"):
        bayesr.components(of_members(np.ones((3, 1, 4, 4))), 1)
    with pytest.raises(BayesrError):
        bayesr.components("absent.zarr")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(TooLarge, match="window="):
        bayesr.components(ds)
