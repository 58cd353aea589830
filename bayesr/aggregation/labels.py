"""Labels of regions as whole numbers ``(y, x)``, from arrays, Datasets and files of any layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import images
from bayesr.errors import AmbiguousDimensions, InvalidArgument, InvalidPixels

_RING = "Give a single polygon in a list: [ring]."


def labels_of(given: Any) -> xr.DataArray:
    """Return labels ``(y, x)`` as whole numbers, 0 where they are missing.

    Axes are recognised and read as those of an image (see `bayesr.sample`), so they may be called (lat, lon) or (row,
    col), lie in any order, and include one band. Booleans are the labels 0 and 1. Floats must be whole numbers.

    Parameters
    ----------
    given : ndarray, DataArray, Dataset or Path

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
        image = images.read(given, value_range=(0, 1))
    except AmbiguousDimensions as error:
        raise InvalidArgument(f"{_axes(given)} {_RING}") from error
    except InvalidPixels as error:
        raise InvalidArgument(
            "Labels must be whole numbers, with 0 outside of all regions, and some are NaN or infinite, or all are "
            f"missing: use labels.fillna(0). {_RING}"
        ) from error
    if image.data.sizes["band"] != 1:
        raise InvalidArgument(
            f"{given if isinstance(given, Path) else 'The image of labels'} has {image.data.sizes['band']} bands: "
            "labels are one band of whole numbers, as in labels.isel(band=0)."
        )
    values = image.data.isel(band=0).to_numpy()
    missing = image.missing
    return image.data.isel(band=0).copy(data=_whole(values if missing is None else np.where(missing, 0, values)))


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
