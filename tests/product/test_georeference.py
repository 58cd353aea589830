import datetime
import json

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.grid import Axis
from bayesr.product.georeference import Transform, axis_of, high_resolution, storable, transform_of

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
    assert coords["x"].attrs == {"units": "input pixels"} and coords["x"][0] == 0.125 and coords["y"][-1] == 3.875


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
    assert coords["x"].attrs["units"] == "input pixels"

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
