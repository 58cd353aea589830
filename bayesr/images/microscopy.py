"""Physical pixel sizes of microscopy formats (OME-TIFF, ImageJ, OME-Zarr), as coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage

Sizes = Mapping[str, tuple[float, str]]
"""Pixel size and its unit, of the axes ``y`` and ``x``."""

_UNITS = {
    "µm": "micrometer", "μm": "micrometer", "um": "micrometer", "micron": "micrometer", "microns": "micrometer",
    "micrometer": "micrometer", "micrometre": "micrometer", "nm": "nanometer", "nanometer": "nanometer",
    "mm": "millimeter", "millimeter": "millimeter", "cm": "centimeter", "centimeter": "centimeter", "m": "meter",
    "meter": "meter", "km": "kilometer", "kilometer": "kilometer", "inch": "inch", "in": "inch", "pm": "picometer",
    "picometer": "picometer", "å": "angstrom", "Å": "angstrom", "angstrom": "angstrom", "ft": "foot", "foot": "foot",
}  # fmt: skip
"""Names of units in UDUNITS, by the names in files."""
_NOT_PHYSICAL = ("", "pixel", "pixels", "reference frame")
"""Units that state no physical size."""


def with_pixel_sizes(file: Any, series: Any, array: xr.DataArray) -> xr.DataArray:
    """Return the image of a TIFF series with the physical coordinates that OME or ImageJ metadata state.

    The centre of pixel i lies at (i + 1/2) pixel sizes, so that the image begins at 0.

    Parameters
    ----------
    file : tifffile.TiffFile
    series : tifffile.TiffPageSeries
    array : DataArray
        With the dimensions ``y`` and ``x``.
    """
    if file.is_ome:
        number = next(i for i, other in enumerate(file.series) if other is series)
        sizes = _ome_sizes(file.ome_metadata, number)
    elif file.is_imagej:
        sizes = _imagej_sizes(file.imagej_metadata or {}, series.keyframe.tags)
    else:
        return array
    if sizes.keys() != {"y", "x"}:
        return array
    return array.assign_coords(
        {dim: _coordinate(dim, (np.arange(array.sizes[dim]) + 0.5) * size, unit) for dim, (size, unit) in sizes.items()}
    )


def _coordinate(dim: str, centres: Any, unit: str) -> xr.DataArray:
    return xr.DataArray(centres, dims=dim, attrs={"units": unit} if unit else {})


def udunits(unit: str) -> str:
    """Return the UDUNITS name of a unit of length; unknown ones stay as they are."""
    unit = unit.strip()
    if "\\u" in unit:  # ImageJ escapes characters beyond ASCII
        unit = unit.encode("ascii", "ignore").decode("unicode_escape")
    return _UNITS.get(unit, _UNITS.get(unit.lower(), unit))


def _ome_sizes(text: str, number: int) -> Sizes:
    """Return the pixel sizes of one image of OME-XML; the unit is micrometres where it states none."""
    pixels = [element for element in ElementTree.fromstring(text).iter() if element.tag.rpartition("}")[2] == "Pixels"]
    stated = pixels[min(number, len(pixels) - 1)].attrib if pixels else {}
    sizes = {}
    for dim, axis in (("y", "Y"), ("x", "X")):
        size, unit = stated.get(f"PhysicalSize{axis}"), stated.get(f"PhysicalSize{axis}Unit", "µm")
        if size is not None and _is_usable(size) and unit not in _NOT_PHYSICAL:
            sizes[dim] = float(size), udunits(unit)
    return sizes


def _imagej_sizes(metadata: Mapping[str, Any], tags: Any) -> Sizes:
    """Return the pixel sizes of ImageJ: the resolution is in pixels per unit."""
    unit = udunits(str(metadata.get("unit", "")))
    if unit in _NOT_PHYSICAL:
        return {}
    sizes = {}
    for dim, tag in (("y", "YResolution"), ("x", "XResolution")):
        top, bottom = tags.valueof(tag, (0, 1))
        if top and bottom:
            sizes[dim] = bottom / top, unit
    return sizes


def _is_usable(size: Any) -> bool:
    try:
        return math.isfinite(float(size)) and float(size) > 0
    except (TypeError, ValueError):
        return False


def multiscales(attributes: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the multiscale images that a group's attributes describe, as NGFF 0.4 and 0.5 store them."""
    ome = attributes.get("ome")
    found = (ome if isinstance(ome, Mapping) else attributes).get("multiscales", ())
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def level_path(image: Mapping[str, Any], name: str) -> str:
    """Return the path of a multiscale image's full resolution.

    Raises
    ------
    NotAnImage
        When it names none.
    """
    try:
        return str(image["datasets"][0]["path"])
    except (KeyError, IndexError, TypeError) as error:
        raise NotAnImage(
            f"The OME-Zarr metadata of {name} names no resolution level: give the array itself."
        ) from error


def with_multiscale_axes(image: Mapping[str, Any], array: xr.DataArray) -> xr.DataArray:
    """Name the axes of a multiscale image's full resolution, and add its physical coordinates.

    The centre of pixel i lies at ``scale i + translation``.
    """
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in image.get("axes", "tczyx"[-array.ndim :])]
    if len(axes) != array.ndim:
        raise NotAnImage(f"The OME-Zarr metadata names {len(axes)} axes of an array of {array.ndim}: correct them.")
    names = {"c": "band", "t": "time"}
    dims = [names.get(str(axis.get("name")), str(axis.get("name"))) for axis in axes]
    array = array.rename(dict(zip(array.dims, dims, strict=True)))
    array.encoding["preferred_chunks"] = dict(zip(dims, array.encoding["preferred_chunks"].values(), strict=True))
    factor, offset = np.ones(array.ndim), np.zeros(array.ndim)
    for steps in (image["datasets"][0], image):
        for step in steps.get("coordinateTransformations", ()):
            if step.get("type") == "scale" and "scale" in step:
                factor, offset = factor * step["scale"], offset * step["scale"]
            elif step.get("type") == "translation" and "translation" in step:
                offset = offset + step["translation"]
    coords = {}
    for place, (dim, axis) in enumerate(zip(dims, axes, strict=True)):
        stated = (factor[place], offset[place]) != (1.0, 0.0) or axis.get("unit")
        if dim in ("z", "y", "x") and stated:
            centres = np.arange(array.sizes[dim]) * factor[place] + offset[place]
            coords[dim] = _coordinate(dim, centres, udunits(str(axis.get("unit", ""))))
    return array.assign_coords(coords)
