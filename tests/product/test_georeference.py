import datetime
import json

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.grid import Axis
from bayesr.product.georeference import (
    Transform,
    anchored,
    axis_of,
    code_of,
    counts_pixels,
    high_resolution,
    storable,
    transform_of,
)

TURNED = Transform(500.0, 8.0, 6.0, 900.0, 6.0, -8.0)


def image(reference=None, shape=(1, 4, 5), **coords):
    array = xr.DataArray(np.zeros(shape), dims=("band", "y", "x"), coords=coords)
    return array if reference is None else array.assign_coords(spatial_ref=xr.DataArray(0, attrs=reference))


def test_outer_bounds_are_kept():
    y, x, coords = high_resolution(image(y=[95.0, 85, 75, 65], x=np.arange(5) * 2.0), 4)
    assert (y.start, y.stop, x.start, x.stop) == (100, 60, -1, 9) and (y.size, x.size) == (16, 20)
    assert coords["y"][0] == 98.75 and "spatial_ref" not in coords


def test_images_without_coordinates_count_their_pixels():
    *_, coords = high_resolution(image(), 4)
    assert counts_pixels(coords["x"]) and coords["x"].attrs["units"] == "1"
    assert coords["x"][0] == 0.125 and coords["y"][-1] == 3.875


def test_a_transform_gives_coordinates_where_there_are_none():
    *_, coords = high_resolution(image({"GeoTransform": "500 10 0 900 0 -20"}), 2)
    assert (coords["x"][0], coords["y"][0], coords["y"][-1]) == (502.5, 895, 825)
    assert coords["spatial_ref"].attrs["GeoTransform"] == "500.0 5.0 0.0 900.0 0.0 -10.0"


def test_coordinates_win_over_a_transform_that_they_were_cut_from():
    *_, coords = high_resolution(image({"GeoTransform": "500 10 0 900 0 -20"}, y=[850.0, 830, 810, 790]), 2)
    assert coords["y"][0] == 855 and coords["spatial_ref"].attrs["GeoTransform"].split()[3] == "860.0"


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rotated_transforms_are_refined(scale):
    *_, coords = high_resolution(image({"GeoTransform": str(TURNED), "crs_wkt": "W"}), scale)
    found = transform_of(coords["spatial_ref"].attrs)
    assert found == TURNED.refined(scale) and coords["spatial_ref"].attrs["crs_wkt"] == "W"
    assert counts_pixels(coords["x"])

    def at(t, column, row):
        return t.x + column * t.x_column + row * t.x_row, t.y + column * t.y_column + row * t.y_row

    assert at(found, 5 * scale, 4 * scale) == pytest.approx(at(TURNED, 5, 4))


def test_single_rows_and_columns_are_as_wide_as_the_transform_says():
    reference = {"GeoTransform": "500 10 0 900 0 -20"}
    y, x, _ = high_resolution(image(reference, (1, 1, 1), y=[850.0], x=[725.0]), 4)
    assert (y.start, y.stop, x.start, x.stop) == (860, 840, 720, 730)
    with pytest.raises(NotAnImage, match=r"'y' has the single value 850.*drop_vars"):
        high_resolution(image(None, (1, 1, 5), y=[850.0]), 4)
    y, _, _ = high_resolution(image(None, (1, 1, 5), y=[0.5]), 4)  # pixels that are counted
    assert (y.start, y.stop) == (0, 1)


@pytest.mark.parametrize("given", ["1 2 3", "a b c d e f", [1, 2, 3, 4, 5, np.inf], 7])
def test_damaged_transforms_are_refused(given):
    with pytest.raises(NotAnImage, match="GeoTransform"):
        transform_of({"GeoTransform": given})


def test_no_transform_and_the_identity_say_nothing():
    assert transform_of({}) is None and transform_of({"GeoTransform": "0 1 0 0 0 1"}) is None
    assert transform_of({"GeoTransform": (1, 2, 0, 3, 0, 4)}) == (1, 2, 0, 3, 0, 4)


def points(**properties):
    return {"type": "FeatureCollection", "features": [{"properties": {"row": 1, "col": 2.5} | properties}]}


@pytest.mark.parametrize("given", [json.dumps(points()), points()])
def test_control_points_are_scaled(given):
    *_, coords = high_resolution(image({"gcps": given, "GeoTransform": "0 1 0 0 0 1"}), 4)
    (found,) = json.loads(coords["spatial_ref"].attrs["gcps"])["features"]
    assert found["properties"] == {"row": 4, "col": 10} and "GeoTransform" not in coords["spatial_ref"].attrs


@pytest.mark.parametrize("given", ["no json", "{}", json.dumps(points(row="a"))])
def test_damaged_control_points_are_refused(given):
    with pytest.raises(NotAnImage, match="gcps"):
        high_resolution(image({"gcps": given}), 4)


def test_attributes_become_what_stores_hold():
    when = datetime.datetime(2026, 1, 2, 3, 4)
    found = storable(
        {
            "time": when, "date": when.date(), "stamp": np.datetime64("2026-01-02"), "scalar": np.float32(0.5),
            "array": np.arange(3), "flag": True, "none": None, "names": ("a", "b"), "mixed": ["a", 1],
            "nested": {"a": when}, "object": object, 3: b"x", "nan": float("nan"),
        }
    )  # fmt: skip
    assert found["time"] == "2026-01-02T03:04:00" and found["date"] == "2026-01-02" and found["stamp"] == "2026-01-02"
    assert (found["scalar"], found["array"], found["flag"]) == (0.5, [0, 1, 2], True)
    assert found["names"] == ["a", "b"] and found["mixed"] == ["a", "1"] and found["3"] == "x" and "none" not in found
    assert json.loads(found["nested"]) == {"a": "2026-01-02 03:04:00"} and found["nan"] == "nan"
    json.dumps(found, allow_nan=False)


def test_a_single_row_of_a_product_has_the_size_of_its_pixels():
    *_, coords = high_resolution(image({"GeoTransform": "500 10 0 900 0 -20"}), 2)
    ds = xr.Dataset(coords=coords)
    assert axis_of(ds["y"]) == Axis(900.0, 820.0, 8)
    assert axis_of(ds.isel(y=[2])["y"]).step == -10 and axis_of(ds.isel(x=[2])["x"]).start == 510


def product_on(reference, scale=2, **coords):
    *_, placed = high_resolution(image(reference, **coords), scale)
    values = np.zeros((1, placed["y"].size, placed["x"].size))
    return xr.Dataset({"mean": (("band", "y", "x"), values)}, placed, {"scale": scale})


PART = {"y": slice(3, 7), "x": slice(2, 9)}


def test_the_grid_mapping_of_a_part_is_that_of_its_pixels():
    whole = product_on({"GeoTransform": "500 10 0 900 0 -20", "crs_wkt": "W"})
    assert anchored(whole)["spatial_ref"].attrs == whole["spatial_ref"].attrs
    part = anchored(whole.isel(PART))
    assert part["spatial_ref"].attrs == {"GeoTransform": "510.0 5.0 0.0 870.0 0.0 -10.0", "crs_wkt": "W"}
    assert whole["spatial_ref"].attrs["GeoTransform"].split()[0] == "500.0"
    pixel = anchored(whole.isel(y=[3], x=[2]))
    assert pixel["spatial_ref"].attrs["GeoTransform"] == part["spatial_ref"].attrs["GeoTransform"]


def test_rotated_parts_begin_where_their_first_pixel_does():
    whole = product_on({"GeoTransform": str(TURNED)})
    t, found = TURNED.refined(2), transform_of(anchored(whole.isel(PART))["spatial_ref"].attrs)
    assert (found.x, found.y) == (t.x + 2 * t.x_column + 3 * t.x_row, t.y + 2 * t.y_column + 3 * t.y_row)
    assert found[1:3] + found[4:] == t[1:3] + t[4:]


def test_control_points_of_a_part_count_from_its_first_pixel():
    points = {"features": [{"properties": {"row": 2.0, "col": 4.0}, "geometry": {"coordinates": [1.0, 2.0]}}]}
    whole = product_on({"gcps": json.dumps(points)})
    (point,) = json.loads(anchored(whole.isel(PART))["spatial_ref"].attrs["gcps"])["features"]
    assert (point["properties"]["row"], point["properties"]["col"]) == (4 - 3, 8 - 2)


def test_products_without_a_grid_mapping_stay_as_they_are():
    ds = product_on(None)
    assert anchored(ds) is ds


def test_pixels_are_counted_in_products_of_before_too():
    before = xr.DataArray([0.25, 0.75], dims="x", attrs={"units": "input pixels"})
    assert counts_pixels(before) and not counts_pixels(before.assign_attrs(units="m"))


def test_codes_of_reference_systems():
    assert code_of('PROJCS["a",GEOGCS["b",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32633"]]') == "EPSG:32633"
    assert code_of('PROJCRS["a",BASEGEOGCRS["b",ID["EPSG",4326]],ID["EPSG",32633]]') == "EPSG:32633"
    assert code_of('PROJCS["a",GEOGCS["b",AUTHORITY["EPSG","4326"]]]') is None
