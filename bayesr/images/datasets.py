"""Readers of xarray Datasets, NetCDF files and Zarr stores."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from bayesr.errors import ImageNotFound, NotAnImage
from bayesr.images import lazy, limits, microscopy
from bayesr.images.georeference import with_reference_system
from bayesr.images.readers import Reader, by_suffix, by_type

if TYPE_CHECKING:
    import zarr

_CLASSIC = (b"CDF\x01", b"CDF\x02")
"""The first bytes of NetCDF files of before HDF5, which scipy reads too."""


def from_dataset(dataset: xr.Dataset, where: str = "The Dataset") -> xr.DataArray:
    """Return a Dataset's only image variable; `where` names the Dataset in messages."""
    images = [name for name, variable in dataset.data_vars.items() if variable.ndim >= 2]
    if len(images) != 1:
        raise NotAnImage(
            f"{where} contains {len(images)} image variables ({', '.join(map(str, images)) or 'none'}): "
            "open it with xarray and give one of them, ds['name']."
        )
    image = with_reference_system(
        dataset[images[0]].copy(deep=False), {name: dataset[name] for name in dataset.variables}
    )
    if "source" in dataset.encoding:  # for messages; the Zarr engine sets it on the Dataset only
        image.encoding = {**image.encoding, "source": dataset.encoding["source"]}
    return image


def from_netcdf(path: Path) -> xr.DataArray:
    """Open a NetCDF file's only image variable."""
    with open(path, "rb") as file:
        classic = file.read(4) in _CLASSIC
    engine = "scipy" if classic else None  # one wrong byte in such a header crashes the library that netCDF4 calls
    return from_dataset(xr.open_dataset(path, engine=engine, cache=False, decode_coords="all"), str(path))


def from_folder(path: Path) -> xr.DataArray:
    """Open a Zarr store in a folder."""
    if not any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
        raise NotAnImage(f"{path} is a folder but not a Zarr store: give one image at a time.")
    return _from_zarr(str(path))


def from_url(url: str) -> xr.DataArray:
    """Open a Zarr store behind a URL."""
    try:
        return _from_zarr(url)
    except NotAnImage:
        raise
    except FileNotFoundError as error:
        raise ImageNotFound(f"There is no Zarr store at {url}: check the URL.") from error
    except ImportError as error:  # fsspec loads a protocol's client when first asked
        raise NotAnImage(f"{url} cannot be read here: {error}") from error
    except Exception as error:
        raise NotAnImage(
            f"{url} cannot be read as an image ({type(error).__name__}: {error}). Behind URLs, only Zarr stores can "
            "be read: download other files first."
        ) from error


def from_zarr_array(array: zarr.Array[Any], place: str | None = None) -> xr.DataArray:
    """Open a Zarr array outside a group of xarray; its axes are named if the array names all of them."""
    names: Sequence[Any] = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS", ())  # type: ignore[assignment]
    dims = [str(name) for name in names] if len(names) == array.ndim and all(names) else None
    attrs = {name: value for name, value in _decoded(array).items() if name != "_ARRAY_DIMENSIONS"}
    return lazy.windowed(array, dims, array.chunks, place).assign_attrs(_marker(array) | attrs)


def _marker(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return the value of missing pixels that an array of Zarr v2 declares.

    The ``fill_value`` of Zarr v2 is both the value of chunks that were not written, by default 0, and what xarray
    stores ``_FillValue`` as. So 0 is not taken for one.
    """
    fill = array.fill_value if array.metadata.zarr_format == 2 else None
    return {} if fill is None or not fill else {"_FillValue": fill}


def _decoded(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return the attributes of an array; xarray writes ``_FillValue`` into Zarr v3 as base64."""
    from xarray.backends.zarr import FillValueCoder  # start-up time

    attrs = array.attrs.asdict()
    fill = attrs.get("_FillValue")
    if isinstance(fill, str):
        try:
            attrs["_FillValue"] = FillValueCoder.decode(fill, array.dtype)
        except (ValueError, TypeError, struct.error) as error:
            raise NotAnImage(f"The attribute _FillValue of {array.path} is {fill!r}, no number: correct it.") from error
    return attrs


def _from_zarr(place: str) -> xr.DataArray:
    import zarr  # start-up time

    node = zarr.open(_store(place), mode="r")
    if isinstance(node, zarr.Array):
        return from_zarr_array(node, place)
    if "://" not in place:  # what was gathered of the metadata can be older than they are
        node = zarr.open_group(_store(place), mode="r", use_consolidated=False)
    members = members_of(node, place)
    images = microscopy.multiscales(node.attrs.asdict())
    if len(images) > 1:
        raise NotAnImage(f"{place} contains {len(images)} multiscale images: give the array of one of them.")
    if images:
        level = node.get(microscopy.level_path(images[0], place))
        if not isinstance(level, zarr.Array):
            raise NotAnImage(f"{place} lacks the full resolution that its metadata name: check that it is whole.")
        return microscopy.with_multiscale_axes(images[0], from_zarr_array(level, place))
    series = [
        name
        for name, member in members.items()
        if isinstance(member, zarr.Group) and microscopy.multiscales(member.attrs.asdict())
    ]
    if len(series) == 1:
        return _from_zarr(f"{place}/{series[0]}")
    ome = node.attrs.get("ome")
    if series or "plate" in node.attrs or (isinstance(ome, Mapping) and "plate" in ome):
        raise NotAnImage(
            f"{place} contains several images ({', '.join(sorted(series)[:5]) or 'a plate'}): give one, as in "
            f"{place}/{sorted(series)[0] if series else 'A/1/0'}."
        )
    arrays = {name: member for name, member in members.items() if isinstance(member, zarr.Array)}
    return from_dataset(_zarr_dataset(node.metadata.zarr_format, arrays, place), place)


def members_of(node: zarr.Group, place: str) -> dict[str, zarr.Array[Any] | zarr.Group]:
    """Return the arrays and groups in a group.

    In a folder, each is opened by its name: where several are damaged, zarr raises the error of one when it lists them,
    and Python prints those of the others.
    """
    if "://" in place:
        return dict(node.members())
    metadata = ("zarr.json",) if node.metadata.zarr_format == 3 else (".zarray", ".zgroup")
    folders = sorted(path for path in Path(place).iterdir() if any((path / name).exists() for name in metadata))
    return {path.name: node[path.name] for path in folders}


def _zarr_dataset(version: int, arrays: Mapping[str, zarr.Array[Any]], place: str) -> xr.Dataset:
    """Open a group with xarray, which takes any ``fill_value`` of Zarr v2 for that of missing pixels; see `_marker`."""
    _check_coordinates(arrays, place)
    masked = {
        name: version == 3 or bool(_marker(array) or {"_FillValue", "missing_value", "_Unsigned"} & {*array.attrs})
        for name, array in arrays.items()
    }
    ds: xr.Dataset = xr.open_dataset(
        _store(place), engine="zarr", consolidated=False, cache=False, chunks=None, decode_coords="all",
        mask_and_scale=masked,
    )  # fmt: skip
    for name, kept in masked.items():
        if not kept and name in ds.variables:
            ds[name].attrs.pop("_FillValue", None)
    ds.encoding["source"] = place
    return ds


def _store(place: str) -> Any:
    """Return what Zarr and xarray open: a URL, or a folder in which only regular files are read."""
    if "://" in place:
        return place
    from bayesr.images.zarr_store import RegularStore  # start-up time: it imports zarr

    return RegularStore(place)


def _check_coordinates(arrays: Mapping[str, zarr.Array[Any]], place: str) -> None:
    """Refuse coordinates that fill the memory: xarray reads them as it opens a group."""
    for name, array in arrays.items():
        if array.ndim <= 1:
            size = float(array.dtype.itemsize) * math.prod(array.shape)
            limits.check_part(size, f"The coordinate {name} of {place}", "Remove it from the store.")


def _is_zarr_array(img: Any) -> bool:
    return by_type("zarr.")(img) and hasattr(img, "chunks")


DATASET = Reader("Dataset", lambda img: isinstance(img, xr.Dataset), from_dataset)
NETCDF = Reader("NetCDF file", by_suffix(".nc", ".nc4", ".h5"), from_netcdf)
ZARR_FOLDER = Reader("Zarr store", lambda img: isinstance(img, Path) and img.is_dir(), from_folder)
ZARR_URL = Reader("URL of a Zarr store", lambda img: isinstance(img, str), from_url)
ZARR_ARRAY = Reader("zarr.Array", _is_zarr_array, from_zarr_array)
