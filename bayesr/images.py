"""Anything a user has becomes one DataArray ``(band, y, x)``, with what is known of its values."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import AmbiguousDimensions, ImageNotFound, InvalidArgument, InvalidPixels, NotAnImage

if TYPE_CHECKING:
    pass

ImageLike = "str | os.PathLike[str] | NDArray[Any] | torch.Tensor | PIL.Image.Image | xr.DataArray"

DIMS = ("band", "y", "x")

_KNOWN_DIMS = {
    "band": {"band", "bands", "channel", "channels", "c", "wavelength", "sample"},
    "y": {"y", "lat", "latitude", "row", "rows", "northing", "height"},
    "x": {"x", "lon", "longitude", "col", "cols", "column", "easting", "width"},
}
_FEW_BANDS = 4
"""An axis of 1 to 4 beside two longer ones is taken for the bands; everything else must be said."""


@dataclass(frozen=True)
class Image:
    """An image that the network can be given.

    Attributes
    ----------
    data : DataArray
        ``(band, y, x)``, with the coordinates of the source.
    value_range : tuple of float
        The two values that the network sees as 0 and 1. It scales and never clips.
    bounds : tuple of float or None
        The bounds of the integer type, to which results are clipped; None for floats.
    missing : ndarray of bool or None
        Pixels without data, `y x x`.
    """

    data: xr.DataArray
    value_range: tuple[float, float]
    bounds: tuple[float, float] | None
    missing: NDArray[np.bool_] | None

    @property
    def sha256(self) -> str:
        """Checksum of type, shape and pixels, whatever file they came from."""
        pixels = np.ascontiguousarray(self.data.to_numpy())
        head = f"{pixels.dtype.newbyteorder('<').str} {pixels.shape}".encode()
        little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        return hashlib.sha256(head + little.tobytes()).hexdigest()

    def to_network(self, value: float) -> float:
        """A value of the image as the network sees it."""
        low, high = self.value_range
        return (value - low) / (high - low)

    def to_units(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """From network units to the image's, inside the integer type's bounds against the last rounding error."""
        low, high = self.value_range
        values = x * np.float32(high - low) + np.float32(low)
        if self.bounds is not None:
            np.clip(values, np.float32(self.bounds[0]), np.float32(self.bounds[1]), out=values)
        return values

    def scaled(self) -> NDArray[np.float32]:
        """The pixels with `value_range` mapped to [0, 1], missing ones filled from their nearest neighbour."""
        low, high = self.value_range
        pixels = self.data.to_numpy().astype(np.float64)
        if self.missing is not None:
            from scipy.ndimage import distance_transform_edt

            rows, columns = distance_transform_edt(self.missing, return_distances=False, return_indices=True)
            pixels = pixels[:, rows, columns]
        scaled: NDArray[np.float32] = ((pixels - low) / (high - low)).astype(np.float32)
        return scaled


def read(
    img: Any,
    *,
    dims: Sequence[str] | None = None,
    nodata: float | None = None,
    value_range: tuple[float, float] | None = None,
) -> Image:
    """Read and check an image.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        See `bayesr.sample`.
    dims : sequence of str, optional
        The name of every axis, from ``"band"``, ``"y"``, ``"x"``: ``("y", "x", "band")`` or ``"yxb"``.
    nodata : float, optional
        The value that marks missing pixels (NaN is one); by default the one that the source declares,
        as GeoTIFFs may. Missing pixels stay missing.
    value_range : tuple of float, optional
        What the network sees as 0 and 1; by default 0..255 for uint8, else the image's own range.

    Raises
    ------
    ImageNotFound, NotAnImage, AmbiguousDimensions, InvalidPixels, InvalidArgument
    """
    array = _with_dims(_open(img), dims)
    if array.size == 0:
        raise NotAnImage(f"The image is empty: its shape is {dict(zip(array.dims, array.shape, strict=True))}.")
    if array.dtype.kind not in "uif":
        raise NotAnImage(f"Pixels of type {array.dtype} are not supported: convert them to an integer or a float type.")
    pixels = array.to_numpy()
    nodata = array.attrs.get("_FillValue") if nodata is None else nodata
    missing = _missing(pixels, nodata)
    valid = pixels if missing is None else pixels[:, ~missing]
    if valid.size == 0:
        raise InvalidPixels("Every pixel is nodata: there is nothing to sample.")
    integer = array.dtype.kind in "ui"
    if value_range is None:
        value_range = (0.0, 255.0) if array.dtype == np.uint8 else (float(valid.min()), float(valid.max()))
        if value_range[0] == value_range[1]:  # a constant image: any width will do
            value_range = (value_range[0], value_range[0] + 1.0)
    low, high = map(float, value_range)
    if not (np.isfinite([low, high]).all() and low < high):
        raise InvalidArgument(f"value_range must be two finite numbers, the lower first, not {value_range!r}.")
    info = np.iinfo(array.dtype) if integer else None
    bounds = (float(info.min), float(info.max)) if info else None
    return Image(array.copy(data=pixels), (low, high), bounds, missing)


def _missing(pixels: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    absent = np.zeros(pixels.shape[1:], bool)
    if nodata is not None:
        absent = (np.isnan(pixels) if np.isnan(nodata) else pixels == nodata).any(0)
    if pixels.dtype.kind == "f":
        bad = ~np.isfinite(pixels) & ~absent
        if bad.any():
            kind = "NaN" if np.isnan(pixels[bad]).any() else "infinite"
            raise InvalidPixels(
                f"{int(bad.sum())} pixel value(s) are {kind}. If they mark missing data, say so with "
                "nodata=float('nan') (or the value that marks it); otherwise repair the image first."
            )
    return absent if absent.any() else None


# -- axes ------------------------------------------------------------------------------------


def _with_dims(array: xr.DataArray, dims: Sequence[str] | None) -> xr.DataArray:
    """Name the axes, in the order ``(band, y, x)``; never by guessing."""
    if dims is not None:
        named = ["band" if d == "b" else d for d in dims]
        if len(named) != array.ndim or sorted(named) not in (["x", "y"], ["band", "x", "y"]):
            raise AmbiguousDimensions(
                f"dims={dims!r} does not name the {array.ndim} axes of an image of shape {array.shape}: "
                'each of "y" and "x" once, and "band" where there is one.'
            )
        array = array.rename({old: new for old, new in zip(array.dims, named, strict=True) if old != new})
    else:
        array = _recognised(array)
    if "band" not in array.dims:
        array = array.drop_vars("band", errors="ignore").expand_dims("band")
    return array.transpose(*DIMS)


def _recognised(array: xr.DataArray) -> xr.DataArray:
    names = {}
    for dim in map(str, array.dims):
        for target, known in _KNOWN_DIMS.items():
            if dim.lower() in known:
                names[dim] = target
    if len(names) == array.ndim and {"y", "x"} <= set(names.values()) and len(set(names.values())) == len(names):
        return array.rename({old: new for old, new in names.items() if old != new})
    anonymous = all(str(dim).startswith("dim_") for dim in array.dims)
    how = 'Name the axes: dims=("y", "x", "band") or dims=("band", "y", "x"), in the order of the array.'
    if not anonymous:
        raise AmbiguousDimensions(
            f"The dimensions {tuple(map(str, array.dims))} are not an image's. {how} "
            "Select one image first where there are more dimensions, as in img.isel(time=0)."
        )
    if array.ndim == 2:
        return array.rename(dict(zip(array.dims, ("y", "x"), strict=True)))
    if array.ndim == 3:
        first, middle, last = (size <= _FEW_BANDS for size in array.shape)
        if last and not first and not middle:
            return array.rename(dict(zip(array.dims, ("y", "x", "band"), strict=True)))
        if first and not middle and not last:
            return array.rename(dict(zip(array.dims, DIMS, strict=True)))
        raise AmbiguousDimensions(f"Which axis of the shape {array.shape} is the band? {how}")
    raise AmbiguousDimensions(
        f"An image has two or three axes, not {array.ndim} (shape {array.shape}): give one image at a time."
    )


# -- sources ---------------------------------------------------------------------------------


def _open(img: Any) -> xr.DataArray:
    if isinstance(img, xr.DataArray):
        return img
    if isinstance(img, xr.Dataset):
        return _only_variable(img, "The Dataset")
    if isinstance(img, str | os.PathLike):
        return _from_path(Path(img))
    if isinstance(img, np.ndarray):
        return xr.DataArray(img)
    kind = f"{type(img).__module__}.{type(img).__qualname__}"
    if kind.startswith("torch"):  # known by name, so that reading an image never imports torch
        return xr.DataArray(img.detach().cpu().numpy())
    if kind.startswith("PIL."):
        return _from_pillow(img)
    raise NotAnImage(
        f"An image cannot be made of {kind}: give a path, a NumPy array, a torch tensor, a PIL image or an "
        "xarray.DataArray."
    )


def _from_path(path: Path) -> xr.DataArray:
    if not path.exists():
        raise ImageNotFound(f"There is no file {path}: check the path (the working directory is {Path.cwd()}).")
    suffixes = [s.lower() for s in path.suffixes]
    try:
        if path.is_dir() and ((path / "zarr.json").exists() or (path / ".zgroup").exists()):
            return _only_variable(xr.open_dataset(path, engine="zarr", consolidated=False), str(path))
        if path.is_dir():
            raise NotAnImage(f"{path} is a folder and no Zarr store: give one image at a time.")
        if suffixes[-1:] in ([".nc"], [".nc4"], [".h5"]):
            return _only_variable(xr.open_dataset(path), str(path))
        if suffixes[-1:] in ([".tif"], [".tiff"]):
            return _from_tiff(path)
        import PIL.Image

        with PIL.Image.open(path) as picture:
            picture.load()
            return _from_pillow(picture)
    except NotAnImage:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise NotAnImage(
            f"{path} cannot be read as an image ({type(error).__name__}: {error}). Is the file whole, and of a "
            "supported format (PNG, JPEG, WebP, TIFF, NetCDF, Zarr)?"
        ) from error


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


def _from_tiff(path: Path) -> xr.DataArray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.is_geotiff:
            return _from_geotiff(path)
        series = file.series[0]
        pixels, axes = series.asarray(), series.axes
    keep = [i for i, axis in enumerate(axes) if axis in "YXSC" or pixels.shape[i] > 1]
    pixels, axes = pixels.squeeze(tuple(i for i in range(len(axes)) if i not in keep)), "".join(axes[i] for i in keep)
    if axes in ("YX", "YXS", "SYX", "YXC", "CYX"):
        names = {"Y": "y", "X": "x", "S": "band", "C": "band"}
        return xr.DataArray(pixels, dims=[names[axis] for axis in axes])
    if set(axes) <= set("YXSC"):
        pixels = pixels.squeeze()
    return xr.DataArray(pixels)


def _from_geotiff(path: Path) -> xr.DataArray:
    try:
        import rioxarray
    except ImportError as error:
        raise NotAnImage(f"{path} is a GeoTIFF; its coordinates need rioxarray: pip install 'bayesr[geo]'.") from error
    array = rioxarray.open_rasterio(path)
    assert isinstance(array, xr.DataArray)
    return array.load()


def _only_variable(dataset: xr.Dataset, where: str) -> xr.DataArray:
    images = [name for name, variable in dataset.data_vars.items() if variable.ndim >= 2]
    if len(images) != 1:
        raise NotAnImage(
            f"{where} holds {len(images)} image variables ({', '.join(map(str, images)) or 'none'}): "
            "open it with xarray and give the one you mean, ds['name']."
        )
    return dataset[images[0]]
