"""The coordinate reference system of an image, whatever the name of the variable that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayesr.errors import NotUsed, warn

REFERENCE = "spatial_ref"
"""The coordinate of an opened image that holds its reference system, as rioxarray names it."""

_MARKS = ("crs_wkt", "spatial_ref", "grid_mapping_name", "GeoTransform", "gcps")


def with_reference_system(array: xr.DataArray, variables: Mapping[Any, xr.DataArray] | None = None) -> xr.DataArray:
    """Return an image whose grid mapping is the coordinate `REFERENCE`.

    The grid mapping is the variable that the attribute ``grid_mapping`` names, as CF defines it; without this
    attribute, it is a variable without dimensions that has the attributes of a reference system.

    Parameters
    ----------
    array : DataArray
    variables : mapping, optional
        Further variables of the image's Dataset, among which the grid mapping may be.

    Warns
    -----
    NotUsed
        When the named variable is missing.
    """
    known: dict[Any, xr.DataArray] = dict(variables or {}) | dict(array.coords.items())
    stated = array.attrs.get("grid_mapping", array.encoding.get("grid_mapping"))
    result = array.copy(deep=False)
    result.attrs = {key: value for key, value in array.attrs.items() if key != "grid_mapping"}
    result.encoding = {key: value for key, value in array.encoding.items() if key != "grid_mapping"}
    if isinstance(stated, str) and stated.split():
        name = stated.split()[0].rstrip(":")  # CF also allows "name: coordinate coordinate"
        if name not in known:
            if REFERENCE not in known:
                warn(
                    f"The image names the grid mapping {name!r}, which it does not hold, so the product has no "
                    "reference system: open the file with decode_coords='all', or give its path.",
                    NotUsed,
                )
            return result
    else:
        candidates = [name for name, held in known.items() if not held.dims and set(_MARKS) & set(held.attrs)]
        if REFERENCE in known or not candidates:
            return result
        name = candidates[0]
    mapping = xr.DataArray(0, attrs=dict(known[name].attrs))
    return result.drop_vars([name, REFERENCE], errors="ignore").assign_coords({REFERENCE: mapping})


def warn_of_unused(given: xr.DataArray, array: xr.DataArray) -> None:
    """Warn where coordinates of a given image are two-dimensional, and no others place it as ``(band, y, x)``.

    Warns
    -----
    NotUsed
    """
    axes = [dim for dim in ("y", "x") if dim in array.coords]
    curved = [str(name) for name, coord in given.coords.items() if coord.ndim == 2 and coord.dtype.kind in "uif"]
    if curved and not axes and "GeoTransform" not in array.coords.get(REFERENCE, xr.DataArray(0)).attrs:
        warn(
            f"The coordinates {', '.join(curved)} are two-dimensional and not used: the product's coordinates count "
            "input pixels. Resample the image to a regular grid to keep its place.",
            NotUsed,
        )
