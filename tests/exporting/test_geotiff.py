import numpy as np
import pytest
import xarray as xr

import bayesr

rasterio = pytest.importorskip("rasterio")
rioxarray = pytest.importorskip("rioxarray")


@pytest.fixture
def placed(photo):
    y = xr.DataArray(
        photo[:20, :24].astype(np.float32), dims=("y", "x", "band"),
        coords={"y": 5000.0 - 10 * np.arange(20), "x": 300.0 + 10 * np.arange(24)},
    )  # fmt: skip
    return y.rio.write_crs("EPSG:32633")


def test_a_geotiff_lies_where_the_product_does(model, placed, tmp_path):
    y = placed.copy()
    y[3:6, 4:8] = np.nan
    ds = model.sample(y, 4, dims=("y", "x", "band"), value_range=(0, 255), nodata=np.nan)
    path = bayesr.export(ds, tmp_path / "a.tif", variables=("mean", "std"))
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32633 and file.count == 6 and file.descriptions[:2] == ("mean 0", "mean 1")
        assert np.isnan(file.nodata) and file.tags()["model"] == ds.attrs["model"]
        assert tuple(file.bounds) == pytest.approx((295, 4805, 535, 5005))
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(file.read([1, 2, 3]), ds["mean"])
    with rioxarray.open_rasterio(path) as again:
        np.testing.assert_allclose(again["x"], ds["x"])
        np.testing.assert_allclose(again["y"], ds["y"])


def test_a_member_and_all_maps(model, photo, tmp_path):
    """By default the maps alone; members one by one."""
    ds = model.sample(photo, 4)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        with rasterio.open(bayesr.export(ds, tmp_path / "m.tif", member=2)) as file:
            np.testing.assert_array_equal(file.read(), ds["samples"][2])
        with rasterio.open(bayesr.export(ds, tmp_path / "a.tif")) as file:
            assert file.count == 3 * len(set(ds.data_vars) - {"samples"})


def test_an_image_without_a_place_has_none(model, photo, tmp_path):
    path = bayesr.export(model.sample(photo, 2), tmp_path / "a.tif")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as file:
        assert file.crs is None


def test_large_products_have_overviews(grey_model, tmp_path):
    y = np.random.default_rng(0).random((300, 160)).astype(np.float32)
    path = bayesr.export(grey_model.sample(y, 1, variables=("mean",)), tmp_path / "a.tif")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as file:
        assert file.overviews(1) and file.shape == (1200, 640)
