import json

import dask.array
import numpy as np
import PIL.Image
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.aggregation import regions
from bayesr.aggregation.polygons import pixels_inside
from bayesr.aggregation.regions import find
from bayesr.errors import BayesrError, ImageNotFound, InvalidArgument

SHAPE = (9, 12)


def axis(dim, size, start=0.0, step=1.0, **attrs):
    """Pixel centres of an axis whose first pixel begins at `start`."""
    centres = start + step * (np.arange(size) + 0.5)
    return xr.DataArray(centres, dims=dim, coords={dim: centres}, attrs=attrs)


Y, X = axis("y", SHAPE[0]), axis("x", SHAPE[1])


def masks(found):
    """Every region as a mask."""
    flat = np.zeros((found.counts.size, found.shape[0] * found.shape[1]), bool)
    flat[np.repeat(np.arange(found.counts.size), found.counts), found.pixels] = True
    return flat.reshape(-1, *found.shape)


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


def crossings(ring, row, column):
    """The even-odd rule by definition: the number of edges that a ray to the left crosses."""
    count = 0
    for (xa, ya), (xb, yb) in zip(ring, np.roll(ring, -1, 0), strict=True):
        if (ya <= row) != (yb <= row):
            (xa, ya), (xb, yb) = sorted([(xa, ya), (xb, yb)], key=lambda corner: corner[1])
            count += xa + (row - ya) / (yb - ya) * (xb - xa) <= column
    return count % 2 == 1


corners = st.tuples(st.floats(-4, 16), st.floats(-4, 13))


@given(st.lists(corners, min_size=3, max_size=8))
def test_pixels_inside_by_the_even_odd_rule(ring):
    ring = np.array(ring)
    found = np.zeros(SHAPE, bool)
    found.reshape(-1)[pixels_inside([ring], SHAPE)] = True
    expected = [[crossings(ring, row, column) for column in range(SHAPE[1])] for row in range(SHAPE[0])]
    np.testing.assert_array_equal(found, expected)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), min_size=1, max_size=6))
def test_polygons_that_share_edges_share_no_pixels(points):
    """Triangulate random points: each pixel centre, of which many lie on edges, belongs to one triangle."""
    from scipy.spatial import Delaunay

    frame = [(0, 0), (12, 0), (0, 9), (12, 9)]
    places = np.array(sorted({*frame, *points}), float)
    triangles = [places[t] for t in Delaunay(places).simplices]
    y, x = axis("y", 9, -0.5), axis("x", 12, -0.5)  # centres at whole numbers
    assert (masks(find(triangles, y, x)).sum(0) == 1).all()


def test_holes_are_excluded_and_orientation_does_not_matter():
    outline, hole = [(1, 1), (9, 1), (9, 8), (1, 8)], [(3, 3), (6, 3), (6, 5), (3, 5)]
    expected = np.zeros(SHAPE, bool)
    expected[1:8, 1:9] = True
    expected[3:5, 3:6] = False
    geojson = {"type": "Polygon", "coordinates": [[*outline, outline[0]], [*hole, hole[0]]]}
    several = {"type": "MultiPolygon", "coordinates": [geojson["coordinates"]]}
    forms = [[[outline, hole]], [[outline, hole[::-1]]], [np.array(outline[::-1]), hole], geojson, [several]]
    forms[2] = [[forms[2][0].tolist(), forms[2][1]]]
    for form in forms:
        np.testing.assert_array_equal(masks(find(form, Y, X))[0], expected)
    assert find([np.array(outline)], Y, X).counts == [56]


@pytest.mark.parametrize("step", [(10.0, 10.0), (-10.0, 10.0), (2.5, -4.0)])
def test_polygons_are_in_the_coordinates_of_the_product(step):
    y, x = axis("y", 9, 500.0, step[0]), axis("x", 12, -70.0, step[1])
    corner = np.array([(2, 3), (7, 3), (7, 6), (2, 6)])  # pixel edges: columns 2 to 7, rows 3 to 6
    ring = corner * (step[1], step[0]) + (-70.0, 500.0)
    expected = np.zeros(SHAPE, bool)
    expected[3:6, 2:7] = True
    np.testing.assert_array_equal(masks(find([ring], y, x))[0], expected)


def test_polygons_may_overlap_and_be_empty():
    square, tiny = [(0, 0), (4, 0), (4, 4), (0, 4)], [(5.6, 5.6), (5.9, 5.6), (5.9, 5.9)]
    found = find({"whole": square, "same": square, "tiny": tiny, "far": [(90, 90), (91, 90), (91, 91)]}, Y, X)
    assert list(found.names) == ["whole", "same", "tiny", "far"]
    assert list(found.counts) == [16, 16, 0, 0]
    assert np.isnan(found.centroids()[0][2])


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
    with pytest.raises(InvalidArgument, match=r"dimensions \(y, x\)"):
        find(labels.expand_dims("band"), Y, X)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((3, 4), int), r"repeat each label, np.kron\(labels, np.ones\(\(3, 3\)"),
        (np.ones((5, 5), int), "shape \\(5, 5\\) and the product is 9 x 12"),
        (np.ones(SHAPE), "astype"),
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
