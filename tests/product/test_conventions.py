"""CF for coordinates, and the conventions of Zarr, which `zarr_cm`, the validator of their authors, reads."""

import sys

import numpy as np
import pytest
import xarray as xr
import zarr_cm

from bayesr import product
from bayesr.product.conventions import axis_attributes, with_zarr_attributes, without_zarr_attributes

GEOGRAPHIC = 'GEOGCS["WGS 84",DATUM["WGS_1984"],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
UTM = f'PROJCS["UTM 33N",{GEOGRAPHIC},UNIT["metre",1,AUTHORITY["EPSG","9001"]],AUTHORITY["EPSG","32633"]]'
FEET = f'PROJCS["Florida",{GEOGRAPHIC},UNIT["US survey foot",0.304800609601219]]'
NEW = 'PROJCRS["local",BASEGEOGCRS["WGS 84"],CS[Cartesian,2],AXIS["east",east],LENGTHUNIT["metre",1]]'


def made(wkt=None, transform=None, **coords):
    low = xr.DataArray(np.zeros((1, 4, 5), np.float32), dims=("band", "y", "x"), coords=coords)
    attrs = {key: value for key, value in {"crs_wkt": wkt, "GeoTransform": transform}.items() if value}
    if attrs:
        low = low.assign_coords(spatial_ref=xr.DataArray(0, attrs=attrs))
    frame = product.frame(low, 2)
    arrays = {"mean": np.zeros(frame.shape, np.float32), "samples": np.zeros((2, *frame.shape), np.float32)}
    return product.dataset(frame, arrays, {"scale": 2}, 2, 1)


@pytest.mark.parametrize(
    ("wkt", "name", "units"),
    [
        (UTM, "projection_x_coordinate", "m"),
        (FEET, "projection_x_coordinate", "US_survey_foot"),
        (NEW, "projection_x_coordinate", "m"),
        (GEOGRAPHIC, "longitude", "degrees_east"),
    ],
)
def test_coordinates_have_the_names_and_units_of_cf(wkt, name, units):
    cf_units = pytest.importorskip("cf_units")
    found = axis_attributes("x", {}, {"crs_wkt": wkt})
    assert (found["standard_name"], found["units"], found["axis"]) == (name, units, "X")
    cf_units.Unit(found["units"])  # raises for units that UDUNITS does not know
    y = axis_attributes("y", {}, {"crs_wkt": wkt})
    assert y["standard_name"] == name.replace("_x_", "_y_").replace("longitude", "latitude")


def test_what_an_image_states_is_kept():
    stated = {"units": "km", "long_name": "easting", "comment": "c"}
    found = axis_attributes("x", stated, {"crs_wkt": UTM})
    assert found | stated == found and found["standard_name"] == "projection_x_coordinate"
    assert "units" not in axis_attributes("x", {}, {"crs_wkt": 'PROJCS["a",UNIT["chain",20.1]]'})
    assert "standard_name" not in axis_attributes("x", {"units": "micrometer"}, None)


def test_every_coordinate_is_described():
    ds = made(UTM, "500 10 0 900 0 -20")
    assert all(ds[name].attrs.get("long_name") for name in ds.variables)
    assert ds["realization"].attrs["units"] == "1" and ds.attrs["title"]
    assert {ds[name].attrs["grid_mapping"] for name in ds.data_vars} == {"spatial_ref"}


def declared(ds, name="mean"):
    """Return what the validator finds in the attributes of a variable."""
    attrs = with_zarr_attributes(ds)[name].attrs
    names = {convention["name"]: convention for convention in attrs["zarr_conventions"]}
    for convention, module in (("spatial", zarr_cm.spatial), ("proj", zarr_cm.proj)):
        if convention in names:
            rest, found = module.extract(attrs)
            module.validate(found)
            assert names[convention] == module.insert({}, found)["zarr_conventions"][0]
            assert not [key for key in rest if key.startswith(f"{convention}:")]
    return attrs, set(names)


def test_arrays_say_where_they_lie():
    attrs, names = declared(made(UTM, "500 10 0 900 0 -20"), "samples")
    assert names == {"spatial", "proj"} and attrs["proj:code"] == "EPSG:32633"
    assert attrs["spatial:transform"] == [5, 0, 500, 0, -10, 900] and attrs["spatial:bbox"] == [500, 820, 550, 900]
    assert attrs["spatial:shape"] == [8, 10] and attrs["spatial:dimensions"] == ["y", "x"]


def test_rotated_images_have_the_box_of_their_corners():
    attrs, _ = declared(made(UTM, "500 8 6 900 6 -8"))
    assert attrs["spatial:transform"] == [4, 3, 500, 3, -4, 900] and attrs["spatial:bbox"] == [500, 868, 564, 930]


def test_systems_without_a_code_are_texts():
    rasterio = pytest.importorskip("rasterio")
    attrs, _ = declared(made(NEW, "500 10 0 900 0 -20"))
    assert attrs["proj:wkt2"] == NEW
    own = rasterio.crs.CRS.from_proj4("+proj=tmerc +lon_0=14.3 +ellps=WGS84 +units=m").to_wkt()
    assert own.startswith("PROJCS[")
    attrs, names = declared(made(own, "500 10 0 900 0 -20"))
    assert names == {"spatial", "proj"} and attrs["proj:wkt2"].startswith("PROJCRS[")


def test_without_rasterio_old_texts_are_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    monkeypatch.setitem(sys.modules, "rasterio.crs", None)
    assert declared(made(FEET, "500 10 0 900 0 -20"))[1] == {"spatial"}


def test_micrographs_have_a_place_and_no_system():
    x = xr.DataArray(np.arange(5) + 0.5, dims="x", attrs={"units": "micrometer"})
    y = xr.DataArray(np.arange(4) + 0.5, dims="y", attrs={"units": "micrometer"})
    attrs, names = declared(made(y=y, x=x))
    assert names == {"spatial"} and attrs["spatial:transform"] == [0.5, 0, 0, 0, 0.5, 0]


def test_images_without_a_place_have_no_attributes():
    ds = made()
    assert with_zarr_attributes(ds) is ds


def test_the_attributes_are_taken_away_again():
    ds = made(UTM, "500 10 0 900 0 -20")
    placed = with_zarr_attributes(ds)
    xr.testing.assert_identical(without_zarr_attributes(placed), ds)
    assert "zarr_conventions" in placed["mean"].attrs and "zarr_conventions" not in ds["mean"].attrs
