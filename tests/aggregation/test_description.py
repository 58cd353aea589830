import numpy as np
import xarray as xr

from bayesr.aggregation.workflow import aggregate


def test_polygons_on_a_map(model):
    array = xr.DataArray(
        np.random.default_rng(0).integers(0, 99, (3, 10, 12), dtype=np.uint16), dims=("band", "y", "x"),
        coords={"x": 5.0 + 10 * np.arange(12), "y": 95.0 - 10 * np.arange(10),
                "spatial_ref": ((), 0, {"crs_wkt": "W"})},
        attrs={"units": "counts"},
    )  # fmt: skip
    array["x"].attrs["units"] = "m"
    field = {"type": "Feature", "properties": {"name": "field"},
             "geometry": {"type": "Polygon", "coordinates": [[(20, 20), (60, 20), (60, 80), (20, 80)]]}}  # fmt: skip
    ds = model.sample(array, 20)
    found = aggregate(ds, field, exceed=50)
    one = found.sel(region="field")
    assert (float(one["centroid_x"]), float(one["centroid_y"])) == (40, 50) and int(one["pixels"]) == 16 * 24
    assert found["value"].attrs["units"] == found["std"].attrs["units"] == "counts"
    assert found["value"].attrs["cell_methods"] == "area: mean realization: mean"
    assert found["exceedance"].attrs["units"] == "1" and found["centroid_x"].attrs["units"] == "m"
    assert found["spatial_ref"].attrs["crs_wkt"] == "W" and found.attrs["Conventions"].startswith("CF")
    assert aggregate(ds, 20, "share", threshold=1)["value"].attrs["units"] == "1"


def test_results_are_stored(ds, tmp_path):
    found = aggregate(ds, {"left": [(0, 0), (5, 0), (5, 9)], "right": [(9, 9), (5, 5), (5, 9)]}, exceed=100)
    found.to_zarr(tmp_path / "a.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "a.zarr", consolidated=False).load()
    again["region"] = again["region"].astype(object)
    xr.testing.assert_identical(found, again)
    found.to_netcdf(tmp_path / "a.nc")
    xr.testing.assert_allclose(found.drop_vars("region"), xr.load_dataset(tmp_path / "a.nc").drop_vars("region"))
    table = found.drop_vars(["members", "realization", "mask"]).to_dataframe()
    assert len(table) == 6 and {"value", "lower", "upper", "pixels", "centroid_x"} <= set(table.columns)
