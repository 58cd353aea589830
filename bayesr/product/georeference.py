"""Where a product lies: coordinates, transform and control points of the high-resolution grid.

The outer bounds of a product are those of the image: ``T_hr = T_lr * scale(1/s)`` for an affine transform ``T``, and
rows and columns of ground control points are multiplied by the scale factor ``s``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.grid import Axis

REFERENCE = "spatial_ref"
"""The coordinate that holds the reference system, as rioxarray names it."""


PIXELS = {"y": "row, in pixels of the input", "x": "column, in pixels of the input"}
"""``long_name`` of the coordinates of images that have none: low-resolution pixels, with the first centre at 0.5."""

_OF_BEFORE = "input pixels"
"""Units of such coordinates in products of before, which UDUNITS does not know."""


def counts_pixels(centres: xr.DataArray) -> bool:
    """Whether a coordinate ``y`` or ``x`` of a product counts pixels of the input, and has no other place."""
    attrs = centres.attrs
    return attrs.get("units") == _OF_BEFORE or attrs.get("long_name") in PIXELS.values()


class Transform(NamedTuple):
    """An affine transform from columns and rows to coordinates, in GDAL's order."""

    x: float
    x_column: float
    x_row: float
    y: float
    y_column: float
    y_row: float

    @property
    def rotated(self) -> bool:
        return bool(self.x_row or self.y_column)

    def refined(self, scale: int) -> Transform:
        """Return the transform of pixels that are `scale` times smaller along both axes."""
        x, x_column, x_row, y, y_column, y_row = self
        return Transform(x, x_column / scale, x_row / scale, y, y_column / scale, y_row / scale)

    def moved(self, row: int, column: int) -> Transform:
        """Return the transform of a part whose first pixel is at a row and a column."""
        x, x_column, x_row, y, y_column, y_row = self
        start = x + column * x_column + row * x_row, y + column * y_column + row * y_row
        return Transform(start[0], x_column, x_row, start[1], y_column, y_row)

    def __str__(self) -> str:
        return " ".join(map(repr, self))


def transform_of(attrs: Mapping[str, Any]) -> Transform | None:
    """Return the transform of a grid mapping; None where it states none, or the identity.

    Raises
    ------
    NotAnImage
        When it is not six finite numbers.
    """
    given = attrs.get("GeoTransform")
    if given is None:
        return None
    try:
        numbers = [float(number) for number in (given.split() if isinstance(given, str) else given)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise NotAnImage(f"The attribute 'GeoTransform' must be six numbers, not {given!r}: correct it, or remove it.")
    found = Transform(*numbers)
    return None if found == (0, 1, 0, 0, 0, 1) else found


def high_resolution(image: xr.DataArray, scale: int) -> tuple[Axis, Axis, dict[str, xr.DataArray]]:
    """Return the axes y and x of the grid with `scale` times as many pixels as an image, and its coordinates.

    They are the image's one-dimensional coordinates, else those of its transform, else input pixels, with the first
    centre at 0.5.

    Raises
    ------
    NotAnImage
        When coordinates are not evenly spaced, or the extent of a single row or column is unknown.
    """
    reference = dict(image[REFERENCE].attrs) if REFERENCE in image.coords else None
    transform = transform_of(reference or {})
    rotated = transform is not None and transform.rotated
    starts, steps = ((transform.y, transform.x), (transform.y_row, transform.x_column)) if transform else ((), ())
    axes, coords = [], {}
    for place, dim in enumerate(("y", "x")):
        size, attrs = image.sizes[dim], {"units": "1", "long_name": PIXELS[dim]}
        low = Axis(0.0, float(size), size)
        if dim in image.coords and image[dim].dims == (dim,) and image[dim].dtype.kind in "uif" and not rotated:
            low = Axis.of_centres(image[dim].to_numpy(), dim, steps[place] if steps else None)
            attrs = storable(image[dim].attrs)
        elif transform is not None and not rotated:
            low, attrs = Axis(starts[place], starts[place] + size * steps[place], size), {}
        axes.append(low.refined(scale))
        coords[dim] = xr.DataArray(axes[-1].centres(), dims=dim, attrs=attrs)
    if reference is not None:
        coords[REFERENCE] = xr.DataArray(0, attrs=storable(_refined(reference, transform, axes[0], axes[1], scale)))
    return axes[0], axes[1], coords


def axis_of(centres: xr.DataArray) -> Axis:
    """Return the axis of a product's coordinate, also where only one of its pixels is left.

    The size of a single pixel is that of the transform, else 1.
    """
    dim, reference = str(centres.dims[0]), centres.coords.get(REFERENCE)
    transform = None if reference is None else transform_of(reference.attrs)
    step = None if transform is None or transform.rotated else (transform.y_row if dim == "y" else transform.x_column)
    return Axis.of_centres(centres.to_numpy(), dim, step or 1.0)


def _refined(attrs: dict[str, Any], transform: Transform | None, y: Axis, x: Axis, scale: int) -> dict[str, Any]:
    """Return the attributes of a grid mapping for the high-resolution grid."""
    kept = {key: value for key, value in attrs.items() if key not in ("GeoTransform", "gcps")}
    if transform is not None and transform.rotated:
        kept["GeoTransform"] = str(transform.refined(scale))
    elif "gcps" in attrs and transform is None:
        kept["gcps"] = _control_points(attrs["gcps"], scale)
    else:
        kept["GeoTransform"] = str(Transform(x.start, x.step, 0.0, y.start, 0.0, y.step))
    return kept


def _control_points(given: Any, scale: int, first: tuple[int, int] = (0, 0)) -> str:
    """Return ground control points, GeoJSON of rioxarray, with rows and columns times `scale`, counted from `first`."""
    try:
        points = json.loads(given) if isinstance(given, str) else json.loads(json.dumps(given))
        for point in points["features"]:
            for name, start in zip(("row", "col"), first, strict=True):
                point["properties"][name] = float(point["properties"][name]) * scale - start
    except (TypeError, ValueError, KeyError) as error:
        raise NotAnImage(
            "The ground control points of the image are not GeoJSON with rows and columns, as rioxarray writes them: "
            "correct the attribute 'gcps', or remove it."
        ) from error
    return json.dumps(points)


def storable(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as strings, numbers and lists of numbers, which Zarr and NetCDF can store.

    Times become ISO strings and other objects their text; None is left out.
    """
    found: dict[str, Any] = {}
    for key, value in attrs.items():
        if isinstance(value, np.datetime64 | np.timedelta64):
            value = str(value)
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        if plain is None:
            continue
        if isinstance(plain, Mapping):
            plain = json.dumps(plain, default=str)
        elif isinstance(plain, tuple | list | set | frozenset):
            items = list(plain)
            same = all(isinstance(item, str) for item in items) or all(_is_number(item) for item in items)
            plain = items if same else [str(item) for item in items]
        elif hasattr(plain, "isoformat"):
            plain = plain.isoformat()
        elif isinstance(plain, bytes):
            plain = plain.decode(errors="replace")
        elif not (isinstance(plain, str) or _is_number(plain)):
            plain = str(plain)
        found[str(key)] = plain
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and (isinstance(value, int) or math.isfinite(value))


def anchored(ds: xr.Dataset) -> xr.Dataset:
    """Return a product, or a part of one, whose grid mapping describes the pixels that it holds.

    xarray cuts coordinates, but not the attributes of the grid mapping: after ``ds.isel(y=slice(64, 128))`` transform
    and control points are still those of the whole.
    """
    if REFERENCE not in ds.coords:
        return ds
    attrs = dict(ds[REFERENCE].attrs)
    transform = transform_of(attrs)
    if "gcps" in attrs and transform is None:
        row, column = (_first_pixel(ds, dim) for dim in ("y", "x"))
        attrs["gcps"] = _control_points(attrs["gcps"], 1, (row, column))
    elif transform is not None and counts_pixels(ds["x"]) and counts_pixels(ds["y"]):
        attrs["GeoTransform"] = str(transform.moved(_first_pixel(ds, "y"), _first_pixel(ds, "x")))
    else:
        y, x = axis_of(ds["y"]), axis_of(ds["x"])
        attrs["GeoTransform"] = str(Transform(x.start, x.step, 0.0, y.start, 0.0, y.step))
    return ds.assign_coords({REFERENCE: ds[REFERENCE].copy(deep=False).assign_attrs(attrs)})


def _first_pixel(ds: xr.Dataset, dim: str) -> int:
    """Return the number, in the whole product, of the first row or column, whose coordinates count input pixels."""
    return round(float(ds[dim][0]) * float(ds.attrs.get("scale", 1)) - 0.5)


def code_of(text: str) -> str | None:
    """Return the code of a reference system, such as ``EPSG:32633``; None where its WKT states none.

    It stands last: ``AUTHORITY["EPSG","32632"]`` or ``ID["EPSG",32632]``.
    """
    found = re.search(r'(?:AUTHORITY|ID)\["(\w+)",\s*"?(\w+)"?\]\s*\]\s*$', text)
    return ":".join(found.groups()) if found else None
