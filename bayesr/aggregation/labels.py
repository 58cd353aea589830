"""Labels of regions as whole numbers ``(y, x)``, from arrays, Datasets and files of any layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import images
from bayesr.errors import AmbiguousDimensions, InvalidArgument

_RING = "Give a single polygon in a list: [ring]."


def labels_of(given: Any, check: Callable[[tuple[int, ...]], None] | None = None) -> xr.DataArray:
    """Return labels ``(y, x)`` as whole numbers, 0 where they are missing.

    Axes are recognised and read as those of an image (see `bayesr.sample`), so they may be called (lat, lon) or (row,
    col), lie in any order, and include one band. Booleans are the labels 0 and 1. Floats must be whole numbers.

    Parameters
    ----------
    given : ndarray, DataArray, Dataset or Path
    check : callable, optional
        Raises an error for a wrong shape, before pixels are read.

    Raises
    ------
    InvalidArgument
        When values are no whole numbers from 0 on, or the axes are not those of one plane.
    NotAnImage, ImageNotFound
        When a file cannot be read.
    """
    if isinstance(given, np.ndarray | xr.DataArray):
        if given.dtype.kind not in "iubf":
            raise InvalidArgument(f"Labels must be whole numbers, not {given.dtype}, with 0 outside of all regions.")
        given = given.astype(np.uint8) if given.dtype.kind == "b" else given
    try:
        array = images.source(given)
    except AmbiguousDimensions as error:
        raise InvalidArgument(f"{_axes(given)} {_RING}") from error
    if array.sizes["band"] != 1:
        raise InvalidArgument(
            f"{given if isinstance(given, Path) else 'The image of labels'} has {array.sizes['band']} bands: labels "
            "are one band of whole numbers, as in labels.isel(band=0)."
        )
    if check is not None:
        check(array.shape[1:])
    plane = images.loaded(array).isel(band=0)
    values, marker = plane.to_numpy(), array.attrs.get("_FillValue")
    if marker is not None:
        values = np.where((values == marker) | (np.isnan(values) & np.isnan(marker)), values.dtype.type(0), values)
    return plane.copy(data=_whole(values))


def _axes(given: Any) -> str:
    if isinstance(given, Path):
        return f"{given} is no single plane of labels, (y, x)."
    dims = f"({', '.join(map(str, given.dims))})" if isinstance(given, xr.DataArray | xr.Dataset) else "no names"
    return (
        f"Labels are an image (y, x), and their axes, of the sizes {getattr(given, 'shape', ())}, have {dims}: rename "
        "them, as in labels.rename({'j': 'y', 'i': 'x'}), or select one plane, as in labels.isel(time=0)."
    )


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    """Return labels as whole numbers that are at least 0 and that their type tells apart."""
    limit = 2 ** (np.finfo(values.dtype).nmant + 1) if values.dtype.kind == "f" else 2**63
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise InvalidArgument(
                "Labels must be whole numbers, with 0 outside of all regions, and some are NaN or infinite: use "
                f"labels.fillna(0). {_RING}"
            )
        broken = values[values != np.rint(values)]
        if broken.size:
            raise InvalidArgument(
                f"Labels must be whole numbers, with 0 outside of all regions, and one is {broken[0]:g}: use "
                f"labels.round(). {_RING}"
            )
    least, most = values.min(), values.max()
    if least < 0:
        raise InvalidArgument(f"Labels must be 0 (outside) or more; the smallest is {least:g}.")
    if most >= limit:  # neighbouring labels may have become one
        raise InvalidArgument(
            f"Labels of type {values.dtype} must be less than {limit}, and the largest is {most:.0f}: use integers, or "
            "number the regions from 1 on."
        )
    return values.astype(np.int64) if values.dtype.kind == "f" else values
