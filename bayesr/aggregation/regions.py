"""Regions of an image as lists of pixels, from labels, polygons or a grid of cells."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.aggregation.labels import labels_of
from bayesr.aggregation.polygons import named_polygons, pixels_inside
from bayesr.errors import ImageNotFound, InvalidArgument, NotAnImage
from bayesr.grid import Axis

Array = NDArray[Any]
Pixels = NDArray[np.int64]

_BLOCK = 2048
"""Longest side of a block that is read at once, unless a chunk is longer."""
_FARTHEST = 2.0**40
"""Distance in pixels at which corners of polygons may lie, so that edges are computed to a thousandth of a pixel."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Lists of pixels by region. Regions may overlap or be empty.

    `names` are labels, numbers or names, all different. `counts` are numbers of pixels. `pixels` are indices
    ``y * width + x``, region by region. `shape` is the height and width of the image.
    """

    names: Array
    counts: Pixels
    pixels: Pixels
    shape: tuple[int, int]

    @property
    def starts(self) -> Pixels:
        """Index of the first pixel of each region in `pixels`."""
        return np.cumsum(self.counts) - self.counts

    def centroids(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean row and column of each region; NaN if it is empty."""
        owner = np.repeat(np.arange(self.counts.size), self.counts)
        with np.errstate(invalid="ignore"):
            row, column = (
                np.bincount(owner, place, self.counts.size) / self.counts
                for place in divmod(self.pixels, self.shape[1])
            )
        return row, column

    def read(self, array: xr.DataArray) -> NDArray[np.floating]:
        """Return the values ``(..., pixel)`` of an array ``(..., y, x)``; only blocks that overlap regions are read."""
        chunks, lead = array.variable.chunks, array.shape[:-2]
        dtype = np.result_type(array.dtype, np.float32)
        if chunks is None:
            return array.to_numpy().reshape(*lead, -1)[..., self.pixels].astype(dtype, copy=False)
        found: NDArray[np.floating] = np.empty((*lead, self.pixels.size), dtype)
        for rows, columns, places, here in self._blocks(max(chunks[-2]), max(chunks[-1])):
            found[..., places] = array[..., rows, columns].to_numpy().reshape(*lead, -1)[..., here]
        return found

    @property
    def window(self) -> int:
        """Largest number of pixels of a plane that are read at once."""
        return min(self.shape[0] * self.shape[1], _BLOCK**2)

    def _blocks(self, height: int, width: int) -> list[tuple[slice, slice, Pixels, Pixels]]:
        if (height, width) not in self._plans:
            self._plans[height, width] = list(self._plan(*(side * max(1, _BLOCK // side) for side in (height, width))))
        return self._plans[height, width]

    @cached_property
    def _plans(self) -> dict[tuple[int, int], list[tuple[slice, slice, Pixels, Pixels]]]:
        return {}

    def _plan(self, height: int, width: int) -> Iterator[tuple[slice, slice, Pixels, Pixels]]:
        """Yield rows, columns, indices into `pixels` and into the block, for each block, cropped to its regions."""
        row, column = divmod(self.pixels, self.shape[1])
        block = row // height * (self.shape[1] // width + 1) + column // width
        order = np.argsort(block, kind="stable")
        ends = [0, *(np.flatnonzero(np.diff(block[order])) + 1), order.size]
        for places in (order[a:b] for a, b in pairwise(ends) if b > a):
            r, c = row[places], column[places]
            top, left, right = r.min(), c.min(), c.max() + 1
            yield (
                slice(int(top), int(r.max()) + 1),
                slice(int(left), int(right)),
                places,
                ((r - top) * (right - left) + c - left),
            )


def find(regions: Any, y: xr.DataArray, x: xr.DataArray, scale: int | None = None) -> Regions:
    """Return the regions of an image; see `bayesr.aggregate` for the forms of `regions`.

    `y` and `x` are the pixel centres. `scale`, the scale factor, serves to recognise labels of the low-resolution
    image.

    Raises
    ------
    InvalidArgument
        When `regions` has none of these forms, has another size, or contains no pixel.
    ImageNotFound
        When a file does not exist.
    """
    shape = (int(y.size), int(x.size))
    check = partial(_check_shape, shape, scale)
    if isinstance(regions, str | os.PathLike):
        path = Path(regions)
        regions = _geojson(path) if path.suffix.lower() in (".geojson", ".json") else labels_of(path, check)
    elif isinstance(regions, np.ndarray | xr.DataArray | xr.Dataset):
        regions = labels_of(regions, check)
    if _is_grid(regions):
        found = _cells(regions, shape)
    elif isinstance(regions, xr.DataArray):
        found = _of_labels(regions, y, x)
    else:
        found = _of_polygons(regions, y, x)
    if not found.counts.sum():
        raise InvalidArgument("There is no region: all labels are 0. Give regions numbers from 1 on.")
    return found


def _geojson(path: Path) -> Any:
    try:
        return json.loads(images.existing(path).read_text(encoding="utf-8"))
    except (ImageNotFound, NotAnImage):
        raise
    except RecursionError:
        raise InvalidArgument(f"{path} cannot be read as GeoJSON: it is nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} cannot be read as GeoJSON ({error}).") from error


def _is_grid(regions: Any) -> bool:
    """Whether regions are the side, or (height, width), of the cells of a grid."""
    if isinstance(regions, int | np.integer):
        return not isinstance(regions, bool)
    pair = isinstance(regions, tuple | list) and len(regions) == 2
    return pair and all(isinstance(side, int | np.integer) for side in regions)


def _cells(sides: int | Sequence[int], shape: tuple[int, int]) -> Regions:
    """Return the cells of a grid, numbered from 1 row by row; the last ones may be smaller."""
    height, width = (sides, sides) if isinstance(sides, int | np.integer) else sides
    if min(height, width) < 1:
        raise InvalidArgument(
            f"The cells of a grid must have a side of 1 high-resolution pixel or more, not {sides!r}."
        )
    height, width = min(int(height), shape[0]), min(int(width), shape[1])
    across = -(-shape[1] // width)
    labels = (np.arange(shape[0]) // height * across)[:, None] + np.arange(shape[1]) // width + 1
    return _sorted(labels)


def _check_shape(shape: tuple[int, int], scale: int | None, labels: tuple[int, ...]) -> None:
    if labels == shape:
        return
    advice = "label the pixels of the product"
    if scale and tuple(side * scale for side in labels) == shape:
        advice = f"repeat each label, np.kron(labels, np.ones(({scale}, {scale}), int))"
    raise InvalidArgument(
        f"Labels have the shape {tuple(labels)} and the product is {shape[0]} x {shape[1]} pixels (y x x): {advice}. "
        "Give a single polygon in a list: [ring]."
    )


def _of_labels(labels: xr.DataArray, y: xr.DataArray, x: xr.DataArray) -> Regions:
    different = product.difference(labels, y, x)
    if different is not None:
        raise InvalidArgument(
            f"The labels lie on another grid: {different}. Resample them to the product's grid, "
            "labels.sel(y=ds.y, x=ds.x, method='nearest'), or drop their coordinates if these are wrong."
        )
    return _sorted(labels.to_numpy())


def _sorted(labels: Array) -> Regions:
    """Sort pixels by label, and leave out label 0."""
    flat = labels.reshape(-1)
    order = np.argsort(flat, kind="stable")
    order = order[np.searchsorted(flat, 1, sorter=order) :]
    names, counts = np.unique(flat[order], return_counts=True)
    if names.dtype.kind != "i":
        names = names.astype(np.int64)
    return Regions(names, counts.astype(np.int64), order, (labels.shape[0], labels.shape[1]))


def _of_polygons(regions: Any, y: xr.DataArray, x: xr.DataArray) -> Regions:
    given = list(named_polygons(regions))
    if not given:
        raise InvalidArgument("There is no region: give one polygon or more.")
    names = [name for name, _ in given]
    axes = [product.axis_of(centres) for centres in (y, x)]
    shape = (axes[0].size, axes[1].size)
    pixels = [pixels_inside([_to_pixels(ring, *axes) for ring in rings], shape) for _, rings in given]
    if not any(p.size for p in pixels):
        corners = np.concatenate([np.empty((0, 2)), *(ring for _, rings in given for ring in rings)])
        if not corners.size:
            raise InvalidArgument("All polygons are empty: give corners as (x, y) in the product's coordinates.")
        (left, low), (right, high) = corners.min(0), corners.max(0)
        raise InvalidArgument(
            f"No pixel centre lies in a polygon: the polygons reach from x = {left:g} to {right:g} and y = {low:g} to "
            f"{high:g}, the product from x = {axes[1].start:g} to {axes[1].stop:g} and y = {axes[0].start:g} to "
            f"{axes[0].stop:g}. Give corners as (x, y) in the product's coordinates and reference system."
        )
    unnamed = any(name is None for name in names) or len(set(names)) < len(names)
    return Regions(
        np.arange(1, len(names) + 1) if unnamed else np.array(names, object),
        np.array([p.size for p in pixels], np.int64),
        np.concatenate(pixels),
        shape,
    )


def _to_pixels(ring: NDArray[np.float64], y: Axis, x: Axis) -> NDArray[np.float64]:
    """Convert corners to (column, row), where pixel centres lie at whole numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        corners: NDArray[np.float64] = (ring - (x.start, y.start)) / (x.step, y.step) - 0.5
    far = ~(np.abs(corners) < _FARTHEST).all(1)
    if far.any():
        raise InvalidArgument(
            f"A polygon has the corner ({ring[far][0, 0]:g}, {ring[far][0, 1]:g}), too far from the product for "
            "double precision: give corners as (x, y) in the product's coordinates."
        )
    return corners
