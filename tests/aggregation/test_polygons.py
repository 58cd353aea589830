import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.aggregation import polygons
from bayesr.aggregation.polygons import pixels_inside
from bayesr.aggregation.regions import find
from bayesr.errors import BayesrError
from tests.aggregation.helpers import SHAPE, X, Y, axis, masks


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


NESTED = [[1, 1], [5, 1], [5, 5]]
for _ in range(900):
    NESTED = [NESTED]
COLLECTION = {"type": "Polygon", "coordinates": [[[1, 1], [5, 1], [5, 5]]]}
for _ in range(100):
    COLLECTION = {"type": "GeometryCollection", "geometries": [COLLECTION]}
RING = {"type": "Polygon", "coordinates": [[[1, 1], [5, 1], [5, 5]]]}


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ({"type": "FeatureCollection", "features": None}, "list of objects as its 'features'"),
        ({"type": "FeatureCollection"}, "list of objects as its 'features'"),
        ({"type": "FeatureCollection", "features": 5}, "list of objects as its 'features'"),
        ({"type": "FeatureCollection", "features": [RING, "x"]}, "list of objects as its 'features'"),
        ({"type": "GeometryCollection", "geometries": None}, "list of objects as its 'geometries'"),
        ({"type": "Feature", "properties": "x", "geometry": RING}, "'properties' of a feature"),
        ({"type": "Feature", "properties": [1], "geometry": RING}, "'properties' of a feature"),
        ({"type": "Feature", "properties": {}, "geometry": None}, "ring of at least three corners"),
        ({"type": None}, "must be a Polygon"),
        ({"type": {}}, "must be a Polygon"),
        ([[(0, 0), (1e308, 1e308), (-1e308, 5)]], "too far"),
        ([[(0, 0), (1e30, 5), (5, 5)]], "too far"),
        ([[(0, 0), (10**400, 5), (5, 5)]], "at least three corners"),
        ([[(0, 0), ("x", 5), (5, 5)]], "at least three corners"),
        ([NESTED], "nested more than 16 levels"),
        (COLLECTION, "nested more than 16 levels"),
        ([{"a": 1}], "must be a Polygon"),
        ("x", "There is no file|list or a mapping"),
        (None, "not NoneType"),
        (5.5, "not float"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_damaged_regions_are_refused(regions, said):
    y, x = axis("y", 9, -0.5), axis("x", 12, -0.5)
    with pytest.raises(BayesrError, match=said):
        find(regions, y, x)


def test_long_polygons_are_computed_piece_by_piece(monkeypatch):
    y, x = axis("y", 9, -0.5), axis("x", 12, -0.5)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.stack([6 + 5 * np.cos(angles), 4 + 4 * np.sin(angles)], 1)
    whole = masks(find([ring], y, x))
    monkeypatch.setattr(polygons, "_CROSSINGS", 5)
    np.testing.assert_array_equal(masks(find([ring], y, x)), whole)
    assert whole.sum() > 40


def test_an_empty_polygon_has_no_pixels():
    left, right, top, bottom = (float(v) for v in (X[0], X[-1], Y[0], Y[-1]))
    empty = {"type": "Polygon", "coordinates": []}
    whole = {"type": "Polygon", "coordinates": [[(left, top), (right, top), (right, bottom), (left, bottom)]]}
    found = find([empty, whole], Y, X)
    assert found.counts[0] == 0 < found.counts[1]
    with pytest.raises(BayesrError, match="empty"):
        find([empty], Y, X)
