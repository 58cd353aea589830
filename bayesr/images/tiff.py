"""Reader of TIFF files: plain, OME and ImageJ. Files that GDAL knows more about go to `bayesr.images.rasters`."""

from __future__ import annotations

import math
import re
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.images import lazy, limits, microscopy, photometry, rasters, tiff_limits
from bayesr.images.axes import rename_axes
from bayesr.images.readers import Reader

if TYPE_CHECKING:
    import tifffile
    import zarr

_MUCH_SMALLER = 4
"""A compressed TIFF is read by window if it is at least this many times as large as one of its chunks."""

_GDAL_TAGS = (33550, 33922, 34264, 34735, 50844, 42113)
"""Pixel scale, tie points, transformation, geokeys, RPCs, and GDAL's value of missing pixels."""
_GDAL_METADATA, _ORIENTATION = 42112, 274

_AXES = {"Y": "y", "X": "x", "S": "band", "C": "band", "Z": "z", "T": "time", "I": "page"}
"""Names of axes by the letters of tifffile. "Q" is an axis that the file does not name."""

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")
"""The first bytes of a TIFF and of a BigTIFF file, in either order of bytes. The last two are wrong."""

_SLIDES = ("svs", "ndpi", "scn", "bif", "avs", "qpi", "philips", "indica")
_SLIDE_EXTRAS = ("thumbnail", "label", "macro", "map", "overview")
"""Series of whole-slide scanners beside the slide itself."""


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


def from_tiff(path: Path) -> xr.DataArray:
    """Open the full-resolution image of a TIFF file.

    Raises
    ------
    NotAnImage
        When the file holds several images, or its colours are not read.
    """
    import tifffile  # start-up time

    file = tifffile.TiffFile(path)
    kept_open = False
    try:
        tiff_limits.check_pages(path, file)
        if _needs_gdal(file) or rasters.sidecars(path):
            if file.pages.first.tags.valueof(_ORIENTATION, 1) != 1:
                raise NotAnImage(f"{path} is a GeoTIFF with an orientation, which GDAL ignores: remove the tag 274.")
            return rasters.from_raster(path)
        tiff_limits.check_metadata(path, file)
        series = _full_resolution(path, file)
        tiff_limits.check_series(path, series)
        array, kept_open = _opened(path, file, series)
        return _described(path, file, series, array)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise NotAnImage(f"{path} is compressed ({error}): pip install 'bayesr[bio]'.") from error
    finally:
        if not kept_open:
            file.close()


def _needs_gdal(file: tifffile.TiffFile) -> bool:
    """Whether a file states what only GDAL reads: a place on Earth, missing pixels, or a scale of its values."""
    tags = file.pages.first.tags
    if any(tag in tags for tag in _GDAL_TAGS):
        return True
    if re.search("role=['\"](scale|offset|unittype)['\"]", str(tags.valueof(_GDAL_METADATA, ""))):
        return True
    return any(page.is_mask for page in file.pages if hasattr(page, "is_mask"))


def _full_resolution(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Return the only series that is neither a reduced copy nor a mask."""
    candidates = [
        (number, series)
        for number, series in enumerate(file.series)
        if not (
            series.keyframe.is_reduced
            or series.keyframe.is_mask
            or (series.kind in _SLIDES and series.name.lower() in _SLIDE_EXTRAS)
        )
    ]
    if len(candidates) == 1:
        return candidates[0][1]
    listed = "; ".join(
        f"{number}: {series.name or 'unnamed'}, {series.axes} {' x '.join(map(str, series.shape))}"
        for number, series in candidates or enumerate(file.series)
    )
    raise NotAnImage(
        f"{path} contains {len(candidates)} full-resolution images ({listed}): give the one you mean, as in "
        "tifffile.imread(path, series=0)."
    )


def _opened(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[xr.DataArray, bool]:
    """Return the pixels of a series with unnamed axes, and whether they need the open file."""
    if series.dataoffset is not None:
        dtype = np.dtype(file.byteorder + series.dtype.char)
        return lazy.windowed(_MappedPixels(path, series.dataoffset, series.shape, dtype), source=str(path)), False
    import zarr  # start-up time

    chunks = zarr.open_array(series.aszarr(level=0), mode="r")
    size = math.prod(chunks.shape)
    if _MUCH_SMALLER * math.prod(chunks.chunks) > size and size * chunks.dtype.itemsize <= limits.LARGEST:
        return xr.DataArray(series.asarray()), False
    return lazy.windowed(_DecodedChunks(file, chunks), None, chunks.chunks, str(path)), True


def _described(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, array: xr.DataArray
) -> xr.DataArray:
    """Name the axes as the file does, apply photometry and orientation, and add physical coordinates."""
    axes = list(series.axes)
    both = {"S", "C"} <= set(axes)  # an RGB image is then usually its only channel
    single = {
        dim: 0
        for dim, axis in zip(array.dims, axes, strict=True)
        if array.sizes[dim] == 1 and (axis not in "YXSC" or (both and axis == "C"))
    }
    names = [_AXES.get(axis, axis.lower()) for dim, axis in zip(array.dims, axes, strict=True) if dim not in single]
    array = array.isel(single)
    if len(set(names)) < len(names):
        names = [axis.lower() for dim, axis in zip(array.dims, axes, strict=True) if dim not in single]
    if "q" in names:  # the file does not say what its axes are: they are recognised as those of arrays
        if int(series.keyframe.photometric) in (0, 3):
            raise NotAnImage(f"{path} has unnamed axes and inverted grey or a palette: save one plane, or RGB.")
        return array
    array = photometry.with_photometry(path, series.keyframe, rename_axes(array, names))
    return microscopy.with_pixel_sizes(file, series, array)


def _is_tiff(img: Any) -> bool:
    """Whether a file is named, or begins, like a TIFF file: those of slide scanners have other suffixes."""
    if not isinstance(img, Path) or img.is_dir():
        return False
    if img.suffix.lower() in (".tif", ".tiff"):
        return True
    try:
        with open(img, "rb") as file:
            return file.read(4) in _SIGNATURES
    except OSError:
        return False  # the reader of pictures says why


TIFF = Reader("TIFF file", _is_tiff, from_tiff)
