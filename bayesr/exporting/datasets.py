"""NetCDF and plain Zarr: all of a product, for programs that read labelled arrays."""

from __future__ import annotations

import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from bayesr.errors import InvalidArgument
from bayesr.exporting.selection import Selection
from bayesr.files import failures_of, zarr_store
from bayesr.product import conventions


def _plain(ds: xr.Dataset) -> xr.Dataset:
    """Return a product without the encoding of its store."""
    clean = ds.drop_encoding()
    # NetCDF has no integers of 64 bits without a sign, which seeds may be.
    clean.attrs = {k: str(v) if isinstance(v, int) and v > 2**63 - 1 else v for k, v in clean.attrs.items()}
    for name in clean.coords:  # to which CF allows no missing values
        clean[name].encoding["_FillValue"] = None
    return clean


def write_netcdf(chosen: Selection, path: Path) -> None:
    """Write NetCDF-4 with compression, whole or not at all.

    Raises
    ------
    InvalidArgument
        When netCDF4 is not installed.
    """
    if find_spec("netCDF4") is None:
        raise InvalidArgument("NetCDF needs netCDF4: pip install 'bayesr[geo]'.")
    ds = _plain(chosen.ds)
    encoding: dict[str, Any] = {str(name): {"zlib": True, "complevel": 1} for name in ds.data_vars}
    with failures_of(path), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / "part.nc"
        ds.to_netcdf(part, engine="netcdf4", encoding=encoding)
        part.replace(path)


def write_zarr(chosen: Selection, path: Path, zarr_format: Literal[2, 3] = 3) -> None:
    """Write a Zarr store of plain chunks, whole or not at all.

    The arrays of Zarr v3 state their place by the conventions of Zarr, too, which need its names of dimensions.
    """
    ds = _plain(chosen.ds)
    if zarr_format == 3:
        ds = conventions.with_zarr_attributes(ds)
    chunks = {dim: min(size, 1024) if dim in ("y", "x") else 1 for dim, size in ds.sizes.items()}
    encoding: dict[str, Any] = {
        str(name): {"chunks": tuple(chunks[str(dim)] for dim in values.dims)} for name, values in ds.data_vars.items()
    }
    with failures_of(path), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / "part.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Zarr v3 does not specify consolidation yet
            ds.chunk(chunks).to_zarr(zarr_store(part), encoding=encoding, zarr_format=zarr_format, consolidated=True)
        part.replace(path)
