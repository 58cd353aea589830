"""Whether an image lies where a product lies: coordinates and coordinate reference systems."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from bayesr.product.frame import frame
from bayesr.product.georeference import code_of, counts_pixels

_TOLERANCE = 0.01
"""Largest difference of coordinates, in pixels, beside the rounding of the type that stores them."""


def difference(image: xr.DataArray | xr.Dataset, y: xr.DataArray, x: xr.DataArray) -> str | None:
    """Return how the place of an image ``(..., y, x)`` differs from that of a product; None if it does not.

    The text goes on after "The image lies on another grid:". An axis without coordinates in either is not compared, and
    neither is one whose coordinates are input pixels in one of both only. Reference systems are compared where both
    have one.

    Parameters
    ----------
    image : DataArray or Dataset
        Of the size of the product.
    y, x : DataArray
        The product's coordinates, which hold its ``spatial_ref``, if any.
    """
    for centres in (y, x):
        dim = str(centres.dims[0])
        if dim not in image.coords or image.sizes[dim] != centres.size or not _comparable(image[dim], centres):
            continue
        ours, theirs = centres.to_numpy().astype(np.float64), image[dim].to_numpy()
        if theirs.dtype.kind not in "fiu":
            return f"its {dim} is no coordinate of numbers"
        pixel = abs(ours[-1] - ours[0]) / (ours.size - 1) if ours.size > 1 else 1.0
        rounding = np.spacing(np.abs(theirs).max()) if theirs.dtype.kind == "f" else 0
        # NaN compares as False, and must not pass.
        if not (np.abs(theirs.astype(np.float64) - ours) <= _TOLERANCE * pixel + float(rounding)).all():
            return (
                f"its {dim} runs from {theirs[0]:g} to {theirs[-1]:g}, the product's from {ours[0]:g} to {ours[-1]:g}"
            )
    one, other = reference_system(image), reference_system(y)
    if one is not None and other is not None and not same_system(one, other):
        return f"its reference system is {_name(one)}, the product's {_name(other)}"
    return None


def half_placed(image: xr.DataArray, y: xr.DataArray, x: xr.DataArray) -> str | None:
    """Return the axis without coordinates of an image that has them on the other axis, as the product has on both."""
    comparable = [str(c.dims[0]) for c in (y, x) if not counts_pixels(c)]
    lacking = [dim for dim in comparable if dim not in image.coords]
    return lacking[0] if len(comparable) == 2 and len(lacking) == 1 else None


def covers(ds: xr.Dataset, image: xr.DataArray, scale: int) -> bool:
    """Return whether a product lies, pixel by pixel, on the high-resolution grid of a whole image ``(band, y, x)``.

    A part of the product does not, nor does one whose axis runs backwards.
    """
    whole = frame(image, scale).coords
    if any(ds.sizes[dim] != whole[dim].size for dim in ("y", "x")):
        return False
    return difference(ds, whole["y"], whole["x"]) is None


def _comparable(one: xr.DataArray, other: xr.DataArray) -> bool:
    return counts_pixels(one) == counts_pixels(other)


def reference_system(array: xr.DataArray | xr.Dataset) -> str | None:
    """Return the coordinate reference system as WKT, from the array's grid mapping; None if it has none."""
    name = array.attrs.get("grid_mapping", array.encoding.get("grid_mapping", "spatial_ref"))
    if name not in array.coords:
        return None
    attrs = array.coords[name].attrs
    text = attrs.get("crs_wkt") or attrs.get("spatial_ref")
    return str(text) if text else None


def same_system(one: str, other: str) -> bool:
    """Return whether two texts of WKT describe one reference system, as far as can be told without other packages.

    Without rasterio, systems of different texts are compared by their code or, where they have none, their name.
    """
    if "".join(one.split()) == "".join(other.split()):
        return True
    if one.lstrip().startswith(("LOCAL_CS", "ENGCRS")):  # for GDAL, all local systems are one
        return _name(one) == _name(other)
    try:
        from rasterio.crs import CRS  # optional
        from rasterio.errors import CRSError  # optional
    except ImportError:
        codes = code_of(one), code_of(other)
        return codes[0] == codes[1] if None not in codes else _name(one) == _name(other)
    try:
        return bool(CRS.from_wkt(one) == CRS.from_wkt(other))
    except CRSError:
        return _name(one) == _name(other)


def _name(text: str) -> str:
    """Return the name of a system."""
    found = re.search(r'"([^"]*)"', text)
    return found.group(1) if found else text[:40]
