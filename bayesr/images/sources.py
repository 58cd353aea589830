"""Anything a user has becomes one DataArray, lazy wherever the format can be read by window."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr.errors import ImageNotFound, NotAnImage
from bayesr.images import lazy
from bayesr.images.axes import renamed

if TYPE_CHECKING:
    import tifffile
    import zarr

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
"""Suffixes of image files that are looked for in folders."""
_MUCH_SMALLER = 4
"""A compressed TIFF is read by window if its image is at least so many times as large as what is decoded at once."""

_GDAL_CACHE = 2**24
"""Bytes; of a window, GDAL decodes every tile and strip once even without it."""


_GDAL = Lock()
"""Held while its configuration, one for the whole process, is not the user's."""


def opened(img: Any) -> xr.DataArray:
    """What a user gives as an image, its axes named only where the source names them.

    Zarr, NetCDF, TIFF and lazy arrays are read when a part is asked for; PNG, JPEG and WebP are decoded at once.

    Parameters
    ----------
    img : path, URL of a Zarr store, ndarray, Tensor, PIL image, DataArray, Dataset of one image or zarr.Array

    Raises
    ------
    ImageNotFound, NotAnImage
    """
    if isinstance(img, xr.DataArray):
        return img
    if isinstance(img, xr.Dataset):
        return _only_variable(img, "The Dataset")
    if isinstance(img, str) and "://" in img:
        return _from_url(img)
    if isinstance(img, str | os.PathLike):
        return _from_path(Path(img))
    if isinstance(img, np.ndarray):
        return xr.DataArray(img)
    kind = f"{type(img).__module__}.{type(img).__qualname__}"
    if kind.startswith("torch"):  # known by name, so that reading an image never imports torch
        return xr.DataArray(img.detach().cpu().numpy())
    if kind.startswith("PIL."):
        return _from_pillow(img)
    if kind.startswith("zarr.") and hasattr(img, "chunks"):
        return _from_zarr_array(img)
    if kind.startswith("dask.array."):
        return xr.DataArray(img)
    raise NotAnImage(
        f"An image cannot be made of {kind}: give a path, a NumPy array, a torch tensor, a PIL image or an "
        "xarray.DataArray."
    )


def _from_path(path: Path) -> xr.DataArray:
    if not path.exists():
        raise ImageNotFound(f"There is no file {path}: check the path (the working directory is {Path.cwd()}).")
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            if not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray")):
                raise NotAnImage(f"{path} is a folder and no Zarr store: give one image at a time.")
            return _from_zarr(str(path))
        if suffix in (".nc", ".nc4", ".h5"):
            return _only_variable(xr.open_dataset(path, cache=False), str(path))
        if suffix in (".tif", ".tiff"):
            return _from_tiff(path)
        import PIL.Image

        with PIL.Image.open(path) as picture:
            picture.load()
            return _from_pillow(picture)
    except NotAnImage:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise lazy.unreadable(path, error) from error


def _only_variable(dataset: xr.Dataset, where: str) -> xr.DataArray:
    images = [name for name, variable in dataset.data_vars.items() if variable.ndim >= 2]
    if len(images) != 1:
        raise NotAnImage(
            f"{where} holds {len(images)} image variables ({', '.join(map(str, images)) or 'none'}): "
            "open it with xarray and give the one you mean, ds['name']."
        )
    found = dataset[images[0]].copy(deep=False)
    if "source" in dataset.encoding:  # for messages; the engine for Zarr tells only the Dataset
        found.encoding = {**found.encoding, "source": dataset.encoding["source"]}
    return found


# -- Zarr ------------------------------------------------------------------------------------


def _from_url(url: str) -> xr.DataArray:
    try:
        return _from_zarr(url)
    except NotAnImage:
        raise
    except FileNotFoundError as error:
        raise ImageNotFound(f"There is no Zarr store at {url}: check the URL.") from error
    except ImportError as error:  # fsspec loads the client of every protocol when it is first asked for
        raise NotAnImage(f"{url} cannot be read here: {error}") from error
    except Exception as error:
        raise NotAnImage(
            f"{url} cannot be read as an image ({type(error).__name__}: {error}). Behind URLs, only Zarr stores can "
            "be read: download other files first."
        ) from error


def _from_zarr(place: str) -> xr.DataArray:
    import zarr

    found = zarr.open(place, mode="r")
    if isinstance(found, zarr.Array):
        return _from_zarr_array(found, place)
    return _only_variable(xr.open_dataset(place, engine="zarr", consolidated=False, cache=False, chunks=None), place)


def _from_zarr_array(array: zarr.Array[Any], place: str | None = None) -> xr.DataArray:
    """An array that is no variable of a group of xarray's, its axes named where the array names all of them."""
    names: Sequence[Any] = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS", ())  # type: ignore[assignment]
    dims = [str(name) for name in names] if len(names) == array.ndim and all(names) else None
    attrs = {name: value for name, value in array.attrs.items() if name != "_ARRAY_DIMENSIONS"}
    return lazy.windowed(array, dims, array.chunks, place).assign_attrs(attrs)


# -- pictures --------------------------------------------------------------------------------


def _from_pillow(picture: Any) -> xr.DataArray:
    if picture.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode in ("1", "La", "PA", "RGBa"):
        raise NotAnImage(f"Pictures of mode {picture.mode!r} are not supported: convert to 'L' or 'RGB'.")
    pixels = np.asarray(picture)
    if picture.mode in ("LA", "RGBA"):
        if (pixels[..., -1] == 255).all():  # an opaque alpha channel says nothing
            pixels = pixels[..., :-1]
        else:
            raise NotAnImage("The picture has transparent pixels: flatten it first, with .convert('RGB').")
    dims = ("y", "x") if pixels.ndim == 2 else ("y", "x", "band")
    return xr.DataArray(pixels, dims=dims)


# -- TIFF ------------------------------------------------------------------------------------


class _Mapped:
    """Uncompressed pixels in one piece of a file, mapped only while a part is read: none of it stays resident."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, dtype
        self._mapped()  # a file that is cut short is refused at once

    def _mapped(self) -> np.memmap[Any, Any]:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)

    def __getitem__(self, key: Any, /) -> Any:
        return np.array(self._mapped()[key])


class _Decoded:
    """Tiles or strips that are decoded when they are asked for; the file is open as long as this lives."""

    def __init__(self, file: tifffile.TiffFile, array: zarr.Array[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, np.dtype(array.dtype)
        weakref.finalize(self, file.close)

    def __getitem__(self, key: Any, /) -> Any:
        return self.array[key]


class _Raster:
    """A lazy variable of rasterio's, read through a small cache: GDAL's own would keep 5% of the machine's memory."""

    def __init__(self, variable: xr.Variable) -> None:
        self.variable, self.shape, self.dtype = variable, variable.shape, variable.dtype

    def __getitem__(self, key: Any, /) -> Any:
        from rasterio.env import get_gdal_config, set_gdal_config

        with _GDAL:
            usual = get_gdal_config("GDAL_CACHEMAX")
            set_gdal_config("GDAL_CACHEMAX", _GDAL_CACHE)
            try:
                return self.variable[key].to_numpy()
            finally:
                set_gdal_config("GDAL_CACHEMAX", usual)


def _from_tiff(path: Path) -> xr.DataArray:
    import tifffile

    file = tifffile.TiffFile(path)
    decoded = None
    try:
        if file.is_geotiff:
            return _from_geotiff(path)
        series = file.series[0]
        axes = series.axes
        if series.dataoffset is not None:
            dtype = np.dtype(file.byteorder + series.dtype.char)
            array = lazy.windowed(_Mapped(path, series.dataoffset, series.shape, dtype), source=str(path))
        else:
            decoded = _decoded(file, series)
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


def _decoded(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> _Decoded | None:
    """The image of a file whose tiles or strips are much smaller than it; None where they are not."""
    import zarr

    array = zarr.open_array(series.aszarr(level=0), mode="r")
    return _Decoded(file, array) if _MUCH_SMALLER * math.prod(array.chunks) <= math.prod(array.shape) else None


def _from_geotiff(path: Path) -> xr.DataArray:
    try:
        import rioxarray
    except ImportError as error:
        raise NotAnImage(f"{path} is a GeoTIFF; its coordinates need rioxarray: pip install 'bayesr[geo]'.") from error
    array = rioxarray.open_rasterio(path, cache=False)
    if not isinstance(array, xr.DataArray):
        raise NotAnImage(f"{path} holds several images: open it with rioxarray and give the one you mean.")
    return lazy.through(array, _Raster(array.variable))
