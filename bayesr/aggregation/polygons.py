"""Polygons as sequences, mappings, GeoJSON or geometry objects, and the pixels inside them."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument

Ring = NDArray[np.float64]

_DEEPEST = 16
"""Largest number of levels of lists and collections around a ring; GeoJSON has four lists in a collection."""
_CROSSINGS = 2**22
"""Largest number of crossings of rows and edges that are computed at once."""


def named_polygons(regions: Any) -> Iterator[tuple[str | None, list[Ring]]]:
    """Yield the name, or None, and the rings of each region.

    Raises
    ------
    InvalidArgument
        When the regions have none of the supported forms.
    """
    regions = getattr(regions, "__geo_interface__", regions)
    if isinstance(regions, Mapping):
        if "type" not in regions:
            for name, polygon in regions.items():
                yield str(name), list(_rings(polygon))
        elif regions["type"] == "FeatureCollection":
            for feature in _members(regions, "features"):
                yield _named(feature)
        else:
            yield _named(regions)
        return
    if not isinstance(regions, Sequence) or isinstance(regions, str | bytes):
        raise InvalidArgument(
            f"Regions must be labels (y, x), a list or a mapping of polygons, GeoJSON, or the cell size of a grid, not "
            f"{type(regions).__name__}."
        )
    for polygon in regions:
        described = getattr(polygon, "__geo_interface__", polygon)
        yield _named(described) if isinstance(described, Mapping) else (None, list(_rings(polygon)))


def _members(described: Mapping[str, Any], key: str) -> Sequence[Any]:
    """Return a list of GeoJSON."""
    found = described.get(key)
    if not isinstance(found, list | tuple) or not all(isinstance(one, Mapping) for one in found):
        raise InvalidArgument(f"A {described['type']} of GeoJSON must have a list of objects as its {key!r}.")
    return found


def _named(described: Mapping[str, Any]) -> tuple[str | None, list[Ring]]:
    """Return the name, or None, and the rings of a feature or a geometry of GeoJSON."""
    properties = described.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise InvalidArgument(f"The 'properties' of a feature must be an object, not {reprlib.repr(properties)}.")
    name = properties.get("name", described.get("id"))
    return None if name is None else str(name), list(_rings(described))


def _rings(polygon: Any, depth: int = 0) -> Iterator[Ring]:
    """Yield the rings of a region: outlines and holes, in any order."""
    polygon = getattr(polygon, "__geo_interface__", polygon)
    if not isinstance(polygon, Mapping):
        yield from _nested(polygon, depth)
        return
    _check_depth(depth)
    kind = polygon.get("type")
    if kind == "Feature":
        yield from _rings(polygon.get("geometry"), depth + 1)
    elif kind == "GeometryCollection":
        for geometry in _members(polygon, "geometries"):
            yield from _rings(geometry, depth + 1)
    elif kind in ("Polygon", "MultiPolygon"):
        yield from _nested(polygon.get("coordinates"), depth)
    else:
        raise InvalidArgument(f"A region must be a Polygon or a MultiPolygon, not {reprlib.repr(kind)}.")


def _nested(coordinates: Any, depth: int) -> Iterator[Ring]:
    """Yield the rings in a ring or in nested lists of rings."""
    _check_depth(depth)
    try:
        ring = np.asarray(coordinates, np.float64)
    except (TypeError, ValueError, OverflowError):  # rings of different lengths, or no numbers
        ring = np.empty(0)
    if ring.ndim == 2 and ring.shape[0] >= 3 and ring.shape[1] in (2, 3) and np.isfinite(ring).all():
        yield ring[:, :2]
    elif ring.ndim > 2 or (ring.size == 0 and isinstance(coordinates, Sequence) and not isinstance(coordinates, str)):
        for part in coordinates:
            yield from _nested(part, depth + 1)
    else:
        raise InvalidArgument(
            f"A polygon must be a ring of at least three corners (x, y), or a list of rings, first the outline and "
            f"then the holes, not {reprlib.repr(coordinates)}."
        )


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidArgument(
            f"The polygons are nested more than {_DEEPEST} levels deep: give rings, or GeoJSON as other programs write "
            "it."
        )


def pixels_inside(rings: Sequence[Ring], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return ``row * width + column``, increasing, of pixels with centres inside by the even-odd rule, without holes.

    A centre on an edge belongs to the polygon at its right or below it, so polygons that share edges share no pixel and
    leave none out. Parts outside the image are cut off.

    Rings are corners ``k x 2`` as (column, row), where pixel centres lie at whole numbers. The last corner is connected
    to the first.
    """
    if not rings:  # an empty polygon, as of GeoJSON and shapely
        return np.empty(0, np.int64)
    height, width = shape
    edges = np.concatenate([np.stack([ring, np.roll(ring, -1, 0)], 1) for ring in rings])
    # All edges point downwards, so that an edge of two polygons is rounded alike for both.
    upward = edges[:, 0, 1] > edges[:, 1, 1]
    edges[upward] = edges[upward, ::-1]
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    first, last = (np.clip(np.ceil(end), 0, height).astype(np.int64) for end in (y0, y1))  # rows y0 <= r < y1
    count = last - first
    if not count.any():
        return np.empty(0, np.int64)
    ends = [int(np.clip(np.ceil(x), 0, width)) for x in (np.minimum(x0, x1)[count > 0].min(), np.maximum(x0, x1).max())]
    top, left, right = int(first[count > 0].min()), max(0, ends[0] - 1), min(width, ends[1] + 1)  # room for rounding
    # Crossing an edge switches between outside and inside. Only the parity counts, which overflow keeps.
    crossings = np.zeros((int(last.max()) - top, right - left + 1), np.int8)
    total = np.cumsum(count)
    for piece in np.split(np.arange(len(edges)), np.searchsorted(total, range(_CROSSINGS, int(total[-1]), _CROSSINGS))):
        edge = np.repeat(piece, count[piece])
        row = np.arange(edge.size) - np.repeat(np.cumsum(count[piece]) - count[piece], count[piece]) + first[edge]
        crossing = x0[edge] + (row - y0[edge]) / (y1 - y0)[edge] * (x1 - x0)[edge]
        column = np.clip(np.ceil(crossing), left, right).astype(np.int64)
        np.add.at(crossings, (row - top, column - left), 1)
    rows, columns = np.nonzero(np.cumsum(crossings, 1, dtype=np.int8)[:, : width - left] & 1)
    pixels: NDArray[np.int64] = (rows + top) * width + columns + left
    return pixels
