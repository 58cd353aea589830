"""Open images of all kinds as arrays ``(band, y, x)`` whose values mean what the source states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.images import arrays, axes, datasets, georeference, pictures, rasters, stacks, tiff, values
from bayesr.images.readers import opened, register, registered

for _reader in (  # in the order of asking, the last one first
    pictures.PICTURE,
    rasters.RASTER,
    tiff.TIFF,
    datasets.NETCDF,
    datasets.ZARR_FOLDER,
    arrays.DASK_ARRAY,
    datasets.ZARR_ARRAY,
    pictures.PIL_IMAGE,
    arrays.TENSOR,
    arrays.NDARRAY,
    datasets.ZARR_URL,
    datasets.DATASET,
    arrays.DATA_ARRAY,
):
    register(_reader)


def looks_like_image(path: Path) -> bool:
    """Whether a reader recognises a file or a folder, Pillow by its suffix; it is not read."""
    if any(reader.recognises(path) for reader in registered() if reader.name != pictures.PICTURE.name):
        return True
    return path.is_file() and pictures.has_picture_suffix(path)


def source(img: Any, dims: Sequence[str] | None = None, *, stack: bool = False) -> xr.DataArray:
    """Open an image as ``(band, y, x)``; formats that can be read by window are not read yet.

    Values are in the units that the source states, the attribute ``_FillValue`` marks missing pixels, and the
    coordinate ``spatial_ref`` holds the reference system; see `bayesr.images.values.decoded`.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        See `bayesr.sample`.
    dims : sequence of str, optional
        The name of every axis, from ``"band"``, ``"y"``, ``"x"``: ``("y", "x", "band")`` or ``"yxb"``. With `stack`,
        other names are those of leading axes.
    stack : bool
        Return named axes of several planes, such as ``time``, in front; without it they are refused.

    Raises
    ------
    ImageNotFound, NotAnImage, AmbiguousDimensions, InvalidPixels

    Warns
    -----
    NotUsed
        When the source states a place that the product cannot hold.
    """
    given = georeference.with_reference_system(opened(img))
    array = axes.with_standard_axes(given, dims, stack=stack)
    if array.size == 0:
        raise NotAnImage(f"The image is empty: its shape is {dict(zip(array.dims, array.shape, strict=True))}.")
    if array.dtype.kind not in "uif":
        raise NotAnImage(f"Pixels of type {array.dtype} are not supported: convert them to an integer or a float type.")
    georeference.warn_of_unused(given, array)
    return stacks.apply_to_slices(array, values.decoded)
