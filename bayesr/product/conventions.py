"""Where a product lies, as conventions say it: CF for its coordinates, `spatial` and `proj` of Zarr for its arrays.

In memory, and in NetCDF, the coordinates and the grid mapping of CF place a product. The arrays of Zarr v3 say it a
second time, in attributes that other programs than those of the CF conventions read.

References
----------
https://cfconventions.org, chapters 4 and 5. https://github.com/zarr-conventions, spatial and proj, version 0.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayesr.product.georeference import REFERENCE, Transform, axis_of, code_of, counts_pixels, transform_of

_PROJECTED = ("PROJCS", "PROJCRS")
_GEOGRAPHIC = ("GEOGCS", "GEOGCRS", "GEODCRS", "GEODETICCRS", "GEOGRAPHICCRS")

_LENGTHS = {1.0: "m", 1000.0: "km", 0.3048: "foot", 0.304800609601: "US_survey_foot"}
"""Names of UDUNITS for units of projected systems, by their length in metres."""

_UNIT = re.compile(r'\b(?:LENGTH)?UNIT\["[^"]*",\s*([0-9.eE+-]+)')

_NAMES = {
    "y": ("projection_y_coordinate", "y coordinate of projection", "latitude", "degrees_north"),
    "x": ("projection_x_coordinate", "x coordinate of projection", "longitude", "degrees_east"),
}

_SPATIAL = {
    "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
    "name": "spatial",
    "description": "Spatial coordinate information",
}
_PROJ = {
    "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
    "name": "proj",
    "description": "Coordinate reference system information for geospatial data",
}
_DECLARED = "zarr_conventions"


def axis_attributes(dim: str, attrs: Mapping[str, Any], reference: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes of the coordinate ``y`` or ``x`` as CF asks for them.

    Those that the image states are kept. A projected system adds the standard name ``projection_x_coordinate`` and its
    unit of length, a geographic one ``longitude`` and ``degrees_east``, and likewise for ``y``.

    Parameters
    ----------
    dim : {"y", "x"}
    attrs : mapping
        What is known of the coordinate already.
    reference : mapping, optional
        Attributes of the grid mapping.
    """
    wkt = _wkt(reference or {})
    projected, title, geographic, degrees = _NAMES[dim]
    known = {"long_name": f"{dim} coordinate"}
    if wkt.startswith(_PROJECTED):
        known = {"axis": dim.upper(), "standard_name": projected, "long_name": title} | _length(wkt)
    elif wkt.startswith(_GEOGRAPHIC):
        known = {"axis": dim.upper(), "standard_name": geographic, "long_name": geographic, "units": degrees}
    return known | dict(attrs)


def _length(wkt: str) -> dict[str, str]:
    """Return the attribute ``units`` of a projected system, which states its unit after those of its parts."""
    metres = float((_UNIT.findall(wkt) or ["nan"])[-1])
    found = [name for length, name in _LENGTHS.items() if abs(metres - length) <= 1e-9 * length]
    return {"units": found[0]} if found else {}


def _wkt(reference: Mapping[str, Any]) -> str:
    return str(reference.get("crs_wkt") or reference.get("spatial_ref") or "").lstrip()


def with_zarr_attributes(ds: xr.Dataset) -> xr.Dataset:
    """Return a product whose variables have the attributes of `spatial` and `proj`, where it has a place.

    `ds` is as `bayesr.product.georeference.anchored` returns it. Ground control points have no place in these
    conventions.
    """
    transform = _transform(ds)
    if transform is None:
        return ds
    x, x_column, x_row, y, y_column, y_row = transform
    height, width = ds.sizes["y"], ds.sizes["x"]
    corners = [
        (x + column * x_column + row * x_row, y + column * y_column + row * y_row)
        for row in (0, height)
        for column in (0, width)
    ]
    lows, highs = ([float(end(part)) for part in zip(*corners, strict=True)] for end in (min, max))
    system = _system(_wkt(ds[REFERENCE].attrs)) if REFERENCE in ds.coords else {}
    place = {
        _DECLARED: [_SPATIAL, *([_PROJ] if system else [])],
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": [float(part) for part in (x_column, x_row, x, y_column, y_row, y)],
        "spatial:bbox": [*lows, *highs],
        "spatial:shape": [height, width],
    } | system
    return ds.assign({name: values.assign_attrs(place) for name, values in ds.data_vars.items()})


def without_zarr_attributes(ds: xr.Dataset) -> xr.Dataset:
    """Return a product without these attributes, which are wrong for a part of it and which NetCDF cannot hold."""
    named = [name for name, values in ds.data_vars.items() if _DECLARED in values.attrs]
    result = ds.copy(deep=False)
    for name in named:
        attrs = result[name].attrs
        result[name].attrs = {k: v for k, v in attrs.items() if not _of_conventions(str(k))}
    return result


def _of_conventions(key: str) -> bool:
    return key == _DECLARED or key.startswith(("spatial:", "proj:"))


def _transform(ds: xr.Dataset) -> Transform | None:
    """Return the transform of a product that has a place; coordinates that count pixels are none."""
    reference = ds[REFERENCE].attrs if REFERENCE in ds.coords else {}
    stated = transform_of(reference)
    if stated is not None or counts_pixels(ds["x"]) or counts_pixels(ds["y"]):
        return stated
    y, x = axis_of(ds["y"]), axis_of(ds["x"])
    return Transform(x.start, x.step, 0.0, y.start, 0.0, y.step)


def _system(wkt: str) -> dict[str, str]:
    """Return the reference system: by its code, else as WKT2, which takes rasterio where it is not WKT2 already."""
    if code := code_of(wkt):
        return {"proj:code": code}
    if re.match(r"\w+CRS\[", wkt):
        return {"proj:wkt2": wkt}
    try:
        from rasterio.crs import CRS  # optional
        from rasterio.errors import CRSError  # optional
    except ImportError:
        return {}
    try:
        return {"proj:wkt2": str(CRS.from_wkt(wkt).to_wkt(version="WKT2_2019"))} if wkt else {}
    except CRSError:
        return {}
