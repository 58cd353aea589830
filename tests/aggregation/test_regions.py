import json
import os

import dask.array
import numpy as np
import PIL.Image
import pytest
import tifffile
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.aggregation import regions
from bayesr.aggregation.regions import find
from bayesr.errors import BayesrError, ImageNotFound, InvalidArgument, NotAnImage
from tests.aggregation.helpers import SHAPE, X, Y, axis, masks


@given(hnp.arrays(np.int16, SHAPE, elements=st.integers(0, 5)))
def test_labels_are_lists_of_their_pixels(labels):
    if not labels.any():
        with pytest.raises(InvalidArgument, match="no region"):
            find(labels, Y, X)
        return
    found = find(labels, Y, X)
    names = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(found.names, names)
    np.testing.assert_array_equal(masks(found), labels == names[:, None, None])
    rows, columns = found.centroids()
    for i, name in enumerate(names):
        assert np.argwhere(labels == name).mean(0) == pytest.approx((rows[i], columns[i]))


@given(st.integers(1, 14), st.integers(1, 14))
def test_a_grid_covers_all_once(height, width):
    found = find((height, width), Y, X)
    assert (masks(found).sum(0) == 1).all()
    assert found.counts[0] == min(height, 9) * min(width, 12)
    assert found.counts.size == -(-9 // height) * -(-12 // width)
    if height == width:
        np.testing.assert_array_equal(found.pixels, find(height, Y, X).pixels)


def test_geojson(tmp_path):
    def feature(left, **others):
        ring = [[left, 0], [left + 2, 0], [left + 2, 3], [left, 3], [left, 0]]
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, **others}

    class Shape:  # as shapely's objects
        __geo_interface__ = feature(4)["geometry"]

    named = [feature(0, properties={"name": "pond"}), feature(4, id="wood", properties=None)]
    collection = {"type": "FeatureCollection", "features": named}
    file = tmp_path / "map.geojson"
    file.write_text(json.dumps(collection))
    for form in (collection, file, str(file), named):
        found = find(form, Y, X)
        assert list(found.names) == ["pond", "wood"] and list(found.counts) == [6, 6]
    np.testing.assert_array_equal(masks(find({"a": Shape()}, Y, X)), masks(find([Shape()], Y, X)))
    np.testing.assert_array_equal(masks(find(Shape(), Y, X))[0], masks(find(named, Y, X))[1])
    alike = {"type": "FeatureCollection", "features": [named[0], named[0]]}
    assert list(find(alike, Y, X).names) == [1, 2]
    both = {"type": "GeometryCollection", "geometries": [f["geometry"] for f in named]}
    assert find(both, Y, X).counts == [12]


def test_label_files(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 3:6] = 7
    PIL.Image.fromarray(labels).save(tmp_path / "labels.png")
    found = find(tmp_path / "labels.png", Y, X)
    assert list(found.names) == [7] and list(found.counts) == [9]
    PIL.Image.fromarray(np.stack([labels] * 3, -1)).save(tmp_path / "colour.png")
    with pytest.raises(InvalidArgument, match="3 bands"):
        find(tmp_path / "colour.png", Y, X)


@settings(max_examples=6)
@given(st.integers(0, 99), st.integers(2, 9), st.integers(2, 12), st.integers(1, 8))
def test_values_of_lazy_planes(seed, tall, wide, side):
    rng = np.random.default_rng(seed)
    plane = rng.random(SHAPE, np.float32)
    found = find([rng.uniform(-2, 14, (4, 2)), np.array([(0, 0), (12, 0), (12, 9), (0, 9)])], Y, X)
    lazy = xr.DataArray(dask.array.from_array(plane, (tall, wide)), dims=("y", "x"))
    before, regions._BLOCK = regions._BLOCK, side
    try:
        np.testing.assert_array_equal(found.read(lazy), plane.reshape(-1)[found.pixels])
    finally:
        regions._BLOCK = before
    np.testing.assert_array_equal(found.read(xr.DataArray(plane, dims=("y", "x"))), plane.reshape(-1)[found.pixels])


def test_only_blocks_that_regions_touch_are_read():
    read = []

    def block(block_info=None):
        read.append(tuple(block_info[None]["chunk-location"]))
        return np.ones((3, 4), np.float32)

    plane = xr.DataArray(
        dask.array.map_blocks(block, chunks=((3, 3, 3), (4, 4, 4)), dtype=np.float32, meta=np.empty((0, 0))),
        dims=("y", "x"),
    )
    labels = np.zeros(SHAPE, int)
    labels[0, 0] = labels[8, 5] = 1
    regions_found, regions._BLOCK, before = find(labels, Y, X), 1, regions._BLOCK
    try:
        assert regions_found.read(plane).sum() == 2
    finally:
        regions._BLOCK = before
    assert sorted(read) == [(0, 0), (2, 1)]


def test_coordinates_of_labels_must_agree_with_the_product():
    labels = xr.DataArray(np.ones(SHAPE, int), dims=("y", "x"), coords={"y": Y, "x": X})
    assert find(labels.transpose("x", "y"), Y, X).counts == [108]
    with pytest.raises(InvalidArgument, match=r"another grid.*method='nearest'"):
        find(labels, Y, axis("x", 12, 5.0))
    assert find(labels, Y, axis("x", 12, 5.0, units="input pixels")).counts == [108]
    assert find(labels.drop_vars("x"), Y, axis("x", 12, 5.0)).counts == [108]
    for wrong in (np.nan, labels["y"][::-1].values):
        with pytest.raises(InvalidArgument, match="another grid: its y runs"):
            find(labels.assign_coords(y=("y", np.broadcast_to(wrong, 9))), Y, X)
    placed, elsewhere = (xr.DataArray(0, attrs={"crs_wkt": f'LOCAL_CS["{name}"]'}) for name in ("here", "there"))
    product_y = Y.assign_coords(spatial_ref=placed)
    assert find(labels.assign_coords(spatial_ref=placed), product_y, X).counts == [108]
    with pytest.raises(InvalidArgument, match="its reference system is there"):
        find(labels.assign_coords(spatial_ref=elsewhere), product_y, X)


def test_labels_may_have_the_axes_of_any_image():
    labels = np.zeros(SHAPE, np.int32)
    labels[:4, 1:3], labels[5, 7:] = 1, 6
    expected = find(labels, Y, X)
    plain = xr.DataArray(labels, dims=("y", "x"))
    for names in (
        ("lat", "lon"),
        ("latitude", "longitude"),
        ("row", "col"),
        ("northing", "easting"),
        ("height", "width"),
    ):
        named = plain.rename(dict(zip(("y", "x"), names, strict=True)))
        for form in (named, named.T, named.expand_dims("band"), named.expand_dims(channel=["a"]).T):
            same(find(form, Y, X), expected)
    placed = plain.assign_coords(y=Y, x=X).rename(y="lat", x="lon")
    for form in (
        labels[None], labels[..., None], labels.astype(float), labels.astype(np.float16), labels.astype(np.uint64),
        labels.astype(">i2"), np.asfortranarray(labels), placed, placed.T.astype(np.float32), placed.chunk({"lat": 2}),
        placed.where(placed > 0).assign_attrs(_FillValue=np.nan), placed.to_dataset(name="labels"),
        plain.where(plain != 0, -1).assign_attrs(_FillValue=-1),
    ):  # fmt: skip
        same(find(form, Y, X), expected)
    with pytest.raises(InvalidArgument, match="another grid"):
        find(placed, Y + 1, X)


def test_booleans_are_one_region():
    mask = np.zeros(SHAPE, bool)
    mask[2:4, 5:9] = True
    for form in (mask, xr.DataArray(mask, dims=("lat", "lon")), xr.DataArray(mask.T, dims=("x", "y")), mask * 1.0):
        found = find(form, Y, X)
        assert list(found.names) == [1]
        np.testing.assert_array_equal(masks(found)[0], mask)


def test_label_files_of_any_layout(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 3:6], labels[7, :] = 7, 1
    expected = find(labels, Y, X)
    placed = xr.DataArray(labels, dims=("lat", "lon"), coords={"lat": Y.values, "lon": X.values}, name="zones")
    placed.to_netcdf(tmp_path / "zones.nc")
    placed.T.to_dataset(name="zones").to_zarr(tmp_path / "zones.zarr", consolidated=False)
    tifffile.imwrite(tmp_path / "float.tif", labels.astype(np.float32))
    tifffile.imwrite(tmp_path / "plane.tif", labels[None, :, :, None])
    for name in ("zones.nc", "zones.zarr", "float.tif", "plane.tif"):
        same(find(tmp_path / name, Y, X), expected)
    with pytest.raises(InvalidArgument, match="another grid"):
        find(tmp_path / "zones.nc", Y, X + 3)
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((7, *SHAPE), np.uint8), photometric="minisblack")
    with pytest.raises(BayesrError):
        find(tmp_path / "stack.tif", Y, X)


def same(found, expected):
    np.testing.assert_array_equal(found.names, expected.names)
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(masks(found), masks(expected))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((3, 4), int), r"repeat each label, np.kron\(labels, np.ones\(\(3, 3\)"),
        (np.ones((5, 5), int), "shape \\(5, 5\\) and the product is 9 x 12"),
        (np.full(SHAPE, 1.5), r"one is 1\.5: use labels\.round\(\)"),
        (np.full(SHAPE, np.nan), r"labels\.fillna\(0\)"),
        (np.where(np.eye(*SHAPE), np.nan, 1.0), r"labels\.fillna\(0\)"),
        (np.where(np.eye(*SHAPE), np.inf, 1.0), r"labels\.fillna\(0\)"),
        (np.full(SHAPE, 2.0**24, np.float32), "float32 must be less than 16777216"),
        (np.full(SHAPE, 2**63, np.uint64), "uint64 must be less than"),
        (np.full(SHAPE, "a"), "not <U1"),
        (np.ones(SHAPE, complex), "not complex128"),
        (np.ones((2, *SHAPE), int), "2 bands"),
        (np.ones((4, 2)), r"shape \(4, 2\).*Give a single polygon in a list"),
        (np.ones(9, int), r"of the sizes \(9,\)"),
        (xr.DataArray(np.ones(SHAPE, int), dims=("i", "j")), r"have \(i, j\): rename them"),
        (xr.DataArray(np.ones((2, *SHAPE), int), dims=("time", "y", "x")), r"labels\.isel\(time=0\)"),
        (-np.ones(SHAPE, int), "smallest is -1"),
        (0, "1 high-resolution pixel or more"),
        ((4, -1), "1 high-resolution pixel or more"),
        ([], "no region"),
        ({}, "no region"),
        (3.5, "not float"),
        ([[(0, 0), (1, 1)]], "at least three corners"),
        ([[(0, 0), (1, np.nan), (2, 2)]], "at least three corners"),
        (["ring"], "at least three corners"),
        ({"type": "Point", "coordinates": [1, 2]}, "not 'Point'"),
        ([[(100, 100), (120, 100), (120, 130)]], "x = 100 to 120 .* the product from x = 0 to 12 .* reference system"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(InvalidArgument, match=message):
        find(given, Y, X, scale=3)


def test_invalid_files(tmp_path):
    with pytest.raises(ImageNotFound):
        find(tmp_path / "absent.geojson", Y, X)
    with pytest.raises(BayesrError):
        find("absent.tif", Y, X)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InvalidArgument, match="GeoJSON"):
        find(tmp_path / "broken.json", Y, X)


def test_labels_that_no_signed_integer_holds_are_refused():
    labels = np.zeros(SHAPE, np.uint64)
    labels[0, 0] = 2**63
    with pytest.raises(InvalidArgument, match="must be less than 9223372036854775808"):
        find(labels, Y, X)
    labels[0, 0] = 2**63 - 1
    assert find(labels, Y, X).names.tolist() == [2**63 - 1]


def test_cells_larger_than_any_image_are_one_cell():
    assert find(10**30, Y, X).counts.tolist() == [Y.size * X.size]


def test_files_of_regions_are_checked_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.geojson")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("pipe.geojson", "pipe.png"):
        with pytest.raises(NotAnImage, match="named pipe"):
            find(tmp_path / name, Y, X)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        find(tmp_path / "deep.json", Y, X)
    (tmp_path / "digits.json").write_text("1" * 5000)
    with pytest.raises(InvalidArgument, match="cannot be read as GeoJSON"):
        find(tmp_path / "digits.json", Y, X)
    zarr.create_array(tmp_path / "huge.zarr", shape=(10**7, 10**7), chunks=(1000, 1000), dtype="uint8")
    with pytest.raises(InvalidArgument, match=r"shape \(10000000, 10000000\) and the product is 9 x 12"):
        find(tmp_path / "huge.zarr", Y, X)
