import sys

import numpy as np
import pytest
import xarray as xr

from bayesr.product import covers, difference, half_placed
from bayesr.product.frame import frame
from bayesr.product.placement import reference_system, same_system

Y = xr.DataArray(100.0 - np.arange(4), dims="y")
X = xr.DataArray(20.0 + np.arange(5), dims="x")
INPUT = {"units": "input pixels"}

UTM32, UTM33 = (
    f'PROJCS["WGS 84 / UTM zone {zone}N",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","326{zone}"]]'
    for zone in (32, 33)
)
NEW32 = 'PROJCRS["WGS 84 / UTM zone 32N",BASEGEOGCRS["WGS 84",ID["EPSG",4326]],ID["EPSG",32632]]'


def axis(centres, crs=None, **attrs):
    coords = {centres.dims[0]: centres.values}
    if crs is not None:
        coords["spatial_ref"] = xr.DataArray(0, attrs={"crs_wkt": crs})
    return xr.DataArray(centres.values, dims=centres.dims, coords=coords, attrs=attrs)


def image(y=Y, x=X, crs=None):
    coords = {"y": y, "x": x}
    if crs is not None:
        coords["spatial_ref"] = xr.DataArray(0, attrs={"crs_wkt": crs})
    return xr.DataArray(np.zeros((4, 5)), dims=("y", "x"), coords=coords)


def differs(given, y=Y, x=X, crs=None, attrs=None):
    attrs = attrs or {}
    return difference(given, axis(y, crs, **attrs), axis(x, crs, **attrs))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (image(), None),
        (image(Y + 0.009), None),
        (image(Y + 0.011), "its y runs from 100.011 to 97.011, the product's from 100 to 97"),
        (image(Y, X[::-1].values), "its x runs from 24 to 20"),
        (image(Y, X.where(X != 22)), "its x runs"),
        (image(Y * np.nan), "its y runs from nan"),
        (image(Y, list("abcde")), "no coordinate of numbers"),
        (image().drop_vars("y"), None),
        (image().drop_vars(["y", "x"]), None),
        (image(Y.astype(int)), None),
    ],
)
def test_coordinates_are_compared(given, expected):
    found = differs(given)
    assert found is None if expected is None else expected in found


def test_coordinates_that_are_rounded_to_their_type_agree():
    north = xr.DataArray(5_000_000.1 + 0.5 * np.arange(4), dims="y")  # single precision resolves half a metre here
    assert differs(image(north.astype(np.float32)), north) is None
    assert "its y" in differs(image(north.astype(np.float32) + 2), north)


def test_input_pixels_are_compared_with_input_pixels_only():
    assert differs(image(Y + 50), attrs=INPUT) is None
    own = image().assign_coords(y=axis(Y + 50, **INPUT))
    assert "its y" in differs(own, attrs=INPUT) and differs(own) is None
    assert half_placed(image().drop_vars("y"), axis(Y), axis(X)) == "y"
    assert half_placed(image().drop_vars("y"), axis(Y, **INPUT), axis(X, **INPUT)) is None
    assert half_placed(image(), axis(Y), axis(X)) is None
    assert half_placed(image().drop_vars(["y", "x"]), axis(Y), axis(X)) is None


def test_reference_systems_are_compared_where_both_have_one():
    assert differs(image(crs=UTM32), crs=UTM32) is None
    assert differs(image(crs=UTM32)) is None and differs(image(), crs=UTM32) is None
    assert "zone 33N, the product's WGS 84 / UTM zone 32N" in differs(image(crs=UTM33), crs=UTM32)
    renamed = image(crs=UTM33).rename(spatial_ref="crs").assign_attrs(grid_mapping="crs")
    assert "zone 33N" in differs(renamed, crs=UTM32)
    assert reference_system(image()) is None and reference_system(renamed) == UTM33


@pytest.mark.parametrize("installed", [True, False])
def test_one_system_has_several_texts(installed, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "rasterio.crs", None)
    else:
        crs = pytest.importorskip("rasterio.crs").CRS
        texts = [crs.from_epsg(32632).to_wkt(version=version) for version in ("WKT1_GDAL", "WKT2_2019")]
        assert same_system(*texts) and not same_system(texts[0], crs.from_epsg(32633).to_wkt())
    assert same_system(UTM32, UTM32.replace(",", ", "))
    assert not same_system('LOCAL_CS["here"]', 'LOCAL_CS["there"]') and not same_system("no WKT", "another")
    if not installed:
        assert same_system(UTM32, NEW32) and not same_system(UTM33, NEW32)
        assert same_system('LOCAL_CS["here"]', 'LOCAL_CS["here",UNIT["m",1]]')


def test_a_product_covers_an_image_or_a_part_of_it():
    low = xr.DataArray(np.zeros((1, 3, 4)), dims=("band", "y", "x"), coords={"y": [3.0, 2.0, 1.0], "x": np.arange(4.0)})
    ds = xr.Dataset(coords=frame(low, 2).coords)
    assert covers(ds, low, 2) and covers(ds, low.drop_vars(["y", "x"]), 2)
    for part in (ds.isel(y=slice(0, 4)), ds.sortby("y"), ds.assign_coords(x=ds["x"] + 1)):
        assert not covers(part, low, 2)
