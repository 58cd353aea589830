import numpy as np
import pytest
import xarray as xr

import bayesr

rasterio = pytest.importorskip("rasterio")
rioxarray = pytest.importorskip("rioxarray")


def test_a_geotiff_lies_where_the_product_does(model, place, tmp_path):
    y = place.copy()
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


def test_parts_lie_where_they_were_cut_from(map_product, tmp_path):
    part = map_product.isel(y=slice(8, 40), x=slice(12, 60))
    with rasterio.open(bayesr.export(part, tmp_path / "a.tif", variables="mean")) as file:
        assert tuple(file.bounds) == (325, 4905, 445, 4985)
        np.testing.assert_array_equal(file.read(), part["mean"])


def test_rotated_transforms_are_kept(model, photo, tmp_path):
    img = xr.DataArray(photo[:8, :8], dims=("y", "x", "band")).rio.write_crs("EPSG:32633")
    img = img.rio.write_transform(rasterio.Affine(8, 6, 500, 6, -8, 900))
    ds = model.sample(img, 2, dims=("y", "x", "band"))
    with rasterio.open(bayesr.export(ds.isel(y=slice(3, 20), x=slice(2, 20)), tmp_path / "a.tif")) as file:
        assert tuple(file.transform)[:6] == (2, 1.5, 500 + 2 * 2 + 3 * 1.5, 1.5, -2, 900 + 2 * 1.5 - 3 * 2)


def test_control_points_are_kept(model, photo, tmp_path):
    points = [rasterio.control.GroundControlPoint(r, c, 10 + c / 8, 50 - r / 8) for r in (0, 8) for c in (0, 8)]
    options = {"height": 8, "width": 8, "count": 3, "dtype": "uint8", "crs": "EPSG:4326", "gcps": points}
    with rasterio.open(tmp_path / "in.tif", "w", **options) as file:
        file.write(photo[:8, :8].transpose(2, 0, 1))
    ds = model.sample(tmp_path / "in.tif", 2)
    with rasterio.open(bayesr.export(ds, tmp_path / "a.tif", variables="mean")) as file:
        found, system = file.gcps
        assert system.to_epsg() == 4326
        assert [(p.row, p.col, p.x, p.y) for p in found] == [(4 * p.row, 4 * p.col, p.x, p.y) for p in points]
