"""Polygons as sequences, mappings, GeoJSON or geometry objects, and the pixels inside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument

Ring = NDArray[np.float64]


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
            for feature in regions.get("features", ()):
                yield from named_polygons(feature)
        else:
            properties = regions.get("properties") or {}
            name = properties.get("name", regions.get("id"))
            yield None if name is None else str(name), list(_rings(regions))
        return
    if not isinstance(regions, Sequence) or isinstance(regions, str | bytes):
        raise InvalidArgument(
            f"Regions must be labels (y, x), a list or a mapping of polygons, GeoJSON, or the cell size of a grid, not "
            f"{type(regions).__name__}."
        )
    for polygon in regions:
        described = getattr(polygon, "__geo_interface__", polygon)
        yield from named_polygons(described) if isinstance(described, Mapping) else [(None, list(_rings(polygon)))]


def _rings(polygon: Any) -> Iterator[Ring]:
    """Yield the rings of a region: outlines and holes, in any order."""
    polygon = getattr(polygon, "__geo_interface__", polygon)
    if isinstance(polygon, Mapping):
        kind = polygon.get("type")
        if kind == "Feature":
            yield from _rings(polygon.get("geometry"))
        elif kind == "GeometryCollection":
            for geometry in polygon.get("geometries", ()):
                yield from _rings(geometry)
        elif kind in ("Polygon", "MultiPolygon"):
            yield from _nested(polygon.get("coordinates"))
        else:
            raise InvalidArgument(f"A region must be a Polygon or a MultiPolygon, not {kind!r}.")
        return
    yield from _nested(polygon)


def _nested(coordinates: Any) -> Iterator[Ring]:
    """Yield the rings in a ring or in nested lists of rings."""
    try:
        ring = np.asarray(coordinates, np.float64)
    except (TypeError, ValueError):  # rings of different lengths
        ring = np.empty(0)
    if ring.ndim == 2 and ring.shape[0] >= 3 and ring.shape[1] in (2, 3) and np.isfinite(ring).all():
        yield ring[:, :2]
    elif ring.ndim > 2 or (ring.size == 0 and isinstance(coordinates, Sequence) and not isinstance(coordinates, str)):
        for part in coordinates:
            yield from _nested(part)
    else:
        raise InvalidArgument(
            f"A polygon must be a ring of at least three corners (x, y), or a list of rings, first the outline and "
            f"then the holes, not {str(coordinates)[:60]!r}."
        )


def pixels_inside(rings: Sequence[Ring], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return ``row * width + column``, increasing, of pixels with centres inside by the even-odd rule, without holes.

    A centre on an edge belongs to the polygon at its right or below it, so polygons that share edges share no pixel and
    leave none out. Parts outside the image are cut off.

    Rings are corners ``k x 2`` as (column, row), where pixel centres lie at whole numbers. The last corner is connected
    to the first.
    """
    height, width = shape
    edges = np.concatenate([np.stack([ring, np.roll(ring, -1, 0)], 1) for ring in rings])
    # All edges point downwards, so that an edge of two polygons is rounded alike for both.
    upward = edges[:, 0, 1] > edges[:, 1, 1]
    edges[upward] = edges[upward, ::-1]
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    first, last = (np.clip(np.ceil(end), 0, height).astype(np.int64) for end in (y0, y1))  # rows y0 <= r < y1
    count = last - first
    edge = np.repeat(np.arange(len(edges)), count)
    if not edge.size:
        return np.empty(0, np.int64)
    row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    crossing = x0[edge] + (row - y0[edge]) / (y1 - y0)[edge] * (x1 - x0)[edge]
    column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
    top, left = row.min(), column.min()
    # Crossing an edge switches between outside and inside. Only the parity counts, which overflow keeps.
    crossings = np.zeros((row.max() - top + 1, column.max() - left + 1), np.int8)
    np.add.at(crossings, (row - top, column - left), 1)
    rows, columns = np.nonzero(np.cumsum(crossings, 1, dtype=np.int8)[:, : width - left] & 1)
    pixels: NDArray[np.int64] = (rows + top) * width + columns + left
    return pixels
