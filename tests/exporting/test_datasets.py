"""NetCDF and Zarr, opened by xarray, by GDAL, and by the validators of CF and of Zarr's conventions."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr_cm

import bayesr


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo, 4)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_datasets_hold_the_whole_product(ds, tmp_path, suffix):
    path = bayesr.export(ds, tmp_path / f"a{suffix}")
    with xr.open_dataset(path, engine="netcdf4" if suffix == ".nc" else "zarr") as found:
        xr.testing.assert_equal(found.load(), ds)
        assert found.attrs["model_sha256"] == ds.attrs["model_sha256"]
        assert "_FillValue" not in found["x"].encoding or np.isnan(found["x"].encoding["_FillValue"])


def test_parts_of_a_product(ds, tmp_path):
    path = bayesr.export(ds, tmp_path / "a.nc", variables=("mean", "std"))
    with xr.open_dataset(path) as found:
        assert set(found.data_vars) == {"mean", "std"}


def test_large_seeds_are_written(model, photo, tmp_path):
    ds = model.sample(photo[:8, :8], 2, seed=2**64 - 1)
    with xr.open_dataset(bayesr.export(ds, tmp_path / "a.nc")) as found:
        assert found.attrs["seed"] == str(2**64 - 1)


def findings(path, folder):
    """Return what the compliance checker of IOOS finds in a file, as lines."""
    runner = pytest.importorskip("compliance_checker.runner")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its other checkers
        runner.CheckSuite().load_all_available_checkers()
        runner.ComplianceChecker.run_checker(
            str(path), ["cf:1.11"], 0, "strict", output_filename=str(folder / "cf.json"), output_format="json"
        )
    found = json.loads((folder / "cf.json").read_text())["cf:1.11"]
    assert found["scored_points"] > 50  # it looked at something
    groups = [one for level in ("high", "medium", "low") for one in found[f"{level}_priorities"]]
    return [message for group in groups for message in group["msgs"]]


def beyond(messages):
    """Leave out the checker's view that cell methods name no standard names, which CF 7.3 allows."""
    return [message for message in messages if "cell_methods name component realization" not in message]


def test_netcdf_of_a_map_is_clean_cf(map_product, tmp_path):
    path = bayesr.export(map_product, tmp_path / "a.nc")
    assert beyond(findings(path, tmp_path)) == []
    xr.load_dataset(path).drop_attrs().to_netcdf(tmp_path / "bare.nc")
    assert beyond(findings(tmp_path / "bare.nc", tmp_path))  # the check can fail


def test_netcdf_of_a_part_of_a_picture_is_clean_cf(ds, tmp_path):
    ds = ds.isel(band=[1], x=slice(4, 40))
    assert beyond(findings(bayesr.export(ds, tmp_path / "a.nc"), tmp_path)) == []


def test_netcdf_of_stacks_is_cf(grey_model, tmp_path):
    """The checker recommends bands in front of times, which a product has not, and to state leap seconds, if known."""
    pixels = np.random.default_rng(0).integers(20, 230, (2, 2, 9, 8), dtype=np.uint8)
    times = np.array(["2020-01-01", "2020-01-03"], "M8[ns]")
    film = xr.DataArray(pixels, dims=("time", "z", "y", "x"), coords={"time": times, "label": ("time", ["a", "b"])})
    path = bayesr.export(grey_model.sample(film, 2), tmp_path / "a.nc")
    advice = ("recommended order", "units_metadata")
    assert [one for one in beyond(findings(path, tmp_path)) if not any(part in one for part in advice)] == []
    with xr.open_dataset(path) as found:
        np.testing.assert_array_equal(found["time"], times)
        assert found["time"].attrs["standard_name"] == "time" and found["z"].attrs["units"] == "1"


def test_gdal_reads_netcdf_and_zarr_where_they_lie(map_product, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    bayesr.export(map_product, tmp_path / "a.nc")
    bayesr.export(map_product, tmp_path / "a.zarr", zarr_format=2)  # version 3 takes GDAL 3.12
    for name in (f"netcdf:{tmp_path}/a.nc:mean", f'ZARR:"{tmp_path}/a.zarr":/mean'):
        with rasterio.open(name) as file:
            assert tuple(file.bounds) == (295, 4805, 535, 5005) and file.crs.to_epsg() == 32633, name
            assert np.isnan(file.nodata)
            np.testing.assert_array_equal(file.read(), map_product["mean"])


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_has_the_version_that_was_asked_for(map_product, tmp_path, version):
    path = bayesr.export(map_product, tmp_path / "a.zarr", zarr_format=version)
    assert (path / "zarr.json").exists() is (version == 3)
    with xr.open_zarr(path, decode_coords="all") as found:
        xr.testing.assert_equal(found.load(), map_product)
        assert found.rio.crs.to_epsg() == 32633 and tuple(found.rio.bounds()) == (295, 4805, 535, 5005)
        assert not any("_FillValue" in found[name].encoding for name in found.coords)
        declared = found["mean"].attrs.get("zarr_conventions", [])
        assert [one["name"] for one in declared] == (["spatial", "proj"] if version == 3 else [])
        if declared:
            assert zarr_cm.proj.extract(found["mean"].attrs)[1] == {"proj:code": "EPSG:32633"}


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_part_lies_where_it_was_cut_from(map_product, tmp_path, suffix):
    part = map_product.isel(y=slice(8, 40), x=slice(12, 60))
    path = bayesr.export(part, tmp_path / f"a{suffix}")
    with xr.open_dataset(path, decode_coords="all", engine="zarr" if suffix == ".zarr" else None) as found:
        assert found["spatial_ref"].attrs["GeoTransform"] == "325.0 2.5 0.0 4985.0 0.0 -2.5"
        if suffix == ".zarr":
            assert found["std"].attrs["spatial:bbox"] == [325, 4905, 445, 4985]


@pytest.mark.parametrize("shards", [True, False])
def test_stores_say_where_they_lie_and_products_do_not_keep_it(model, place, tmp_path, shards):
    """A product from a store is cut and written like one in memory."""
    options = {"dims": ("y", "x", "band"), "value_range": (0, 255), "shards": shards}
    ds = model.sample(place, 4, store=tmp_path / "a.zarr", **options)
    with xr.open_zarr(tmp_path / "a.zarr") as raw:
        assert raw["mean"].attrs["proj:code"] == "EPSG:32633" and raw["mean"].attrs["spatial:shape"] == [80, 96]
    assert not [key for name in ds.variables for key in ds[name].attrs if ":" in key or key == "zarr_conventions"]
    bayesr.export(ds, tmp_path / "a.nc")
    assert bayesr.check(tmp_path / "a.zarr").sound
