"""Readers of TIFF and GeoTIFF files."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.images import lazy
from bayesr.images.axes import renamed
from bayesr.images.readers import Reader, by_suffix

if TYPE_CHECKING:
    import tifffile
    import zarr

_MUCH_SMALLER = 4
"""A compressed TIFF is read by window if it is at least this many times as large as one of its chunks."""

_GDAL_CACHE = 2**24
"""Bytes; GDAL decodes every tile and strip of a window once even without a cache."""

_GDAL = Lock()
"""Held while GDAL's configuration, global to the process, differs from the user's."""


class _MappedPixels:
    """Contiguous uncompressed pixels of a file, mapped only while a part is read so that none stay in memory."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, dtype
        self._mapped()  # refuses a truncated file at once

    def _mapped(self) -> np.memmap[Any, Any]:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)

    def __getitem__(self, key: Any, /) -> Any:
        return np.array(self._mapped()[key])


class _DecodedChunks:
    """Tiles or strips decoded on request; the file stays open as long as the object lives."""

    def __init__(self, file: tifffile.TiffFile, array: zarr.Array[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, np.dtype(array.dtype)
        weakref.finalize(self, file.close)

    def __getitem__(self, key: Any, /) -> Any:
        return self.array[key]


class _Raster:
    """A lazy variable of rioxarray with a small cache: GDAL's default takes 5% of the machine's memory."""

    def __init__(self, variable: xr.Variable) -> None:
        self.variable, self.shape, self.dtype = variable, variable.shape, variable.dtype

    def __getitem__(self, key: Any, /) -> Any:
        from rasterio.env import get_gdal_config, set_gdal_config  # optional

        with _GDAL:
            usual = get_gdal_config("GDAL_CACHEMAX")
            set_gdal_config("GDAL_CACHEMAX", _GDAL_CACHE)
            try:
                return self.variable[key].to_numpy()
            finally:
                set_gdal_config("GDAL_CACHEMAX", usual)


def from_tiff(path: Path) -> xr.DataArray:
    """Open a TIFF file's first image, with coordinates if it is a GeoTIFF."""
    import tifffile  # start-up time

    file = tifffile.TiffFile(path)
    decoded = None
    try:
        if file.is_geotiff:
            return from_geotiff(path)
        series = file.series[0]
        axes = series.axes
        if series.dataoffset is not None:
            dtype = np.dtype(file.byteorder + series.dtype.char)
            array = lazy.windowed(_MappedPixels(path, series.dataoffset, series.shape, dtype), source=str(path))
        else:
            decoded = _decoded_chunks(file, series)
            if decoded is None:
                array = xr.DataArray(series.asarray())
            else:
                array = lazy.windowed(decoded, None, decoded.array.chunks, str(path))
    finally:
        if decoded is None:
            file.close()
    single = {
        dim: 0 for dim, axis in zip(array.dims, axes, strict=True) if axis not in "YXSC" and array.sizes[dim] == 1
    }
    axes = "".join(axis for dim, axis in zip(array.dims, axes, strict=True) if dim not in single)
    array = array.isel(single)
    if axes in ("YX", "YXS", "SYX", "YXC", "CYX"):
        return renamed(array, [{"Y": "y", "X": "x"}.get(axis, "band") for axis in axes])
    return array.squeeze() if set(axes) <= set("YXSC") else array


def _decoded_chunks(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> _DecodedChunks | None:
    """Return the image if its tiles or strips are much smaller, else None."""
    import zarr  # start-up time

    array = zarr.open_array(series.aszarr(level=0), mode="r")
    return _DecodedChunks(file, array) if _MUCH_SMALLER * math.prod(array.chunks) <= math.prod(array.shape) else None


def from_geotiff(path: Path) -> xr.DataArray:
    """Open a GeoTIFF file with coordinates and nodata value."""
    try:
        import rioxarray  # optional
    except ImportError as error:
        raise NotAnImage(
            f"{path} is a GeoTIFF; reading its coordinates needs rioxarray: pip install 'bayesr[geo]'."
        ) from error
    array = rioxarray.open_rasterio(path, cache=False)
    if not isinstance(array, xr.DataArray):
        raise NotAnImage(f"{path} contains several images: open it with rioxarray and give the one you mean.")
    return lazy.through(array, _Raster(array.variable))


TIFF = Reader("TIFF file", by_suffix(".tif", ".tiff"), from_tiff)
