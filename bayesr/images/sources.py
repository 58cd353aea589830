"""All kinds of images, in the order in which their readers are asked (the last one first)."""

from __future__ import annotations

from bayesr.images import arrays, datasets, pictures, tiff
from bayesr.images.readers import opened, register

__all__ = ["opened"]

for _reader in (
    pictures.PICTURE,
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
