"""`export`: a product, or a part of it, in the format that the name of a file asks for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from bayesr import plugins, product
from bayesr.errors import BayesrError, InvalidArgument, InvalidProduct, PluginFailed, StoreExists, StoreFailed
from bayesr.exporting import datasets, geotiff, microscopy, picture, qgis
from bayesr.exporting.selection import Selection
from bayesr.files import failures_of
from bayesr.product import MAPS, SAMPLES, arguments
from bayesr.sampling.products import open_product

Format = tuple[Callable[..., None], Sequence[str]]

FORMATS: dict[str, Format] = {
    ".png": (picture.write, ("mean",)),
    ".tif": (geotiff.write, MAPS),
    ".tiff": (geotiff.write, MAPS),
    ".qml": (qgis.write, MAPS),
    ".nc": (datasets.write_netcdf, (*MAPS, SAMPLES)),
    ".zarr": (datasets.write_zarr, (*MAPS, SAMPLES)),
    ".ome.zarr": (microscopy.write, MAPS),
}
"""For each suffix the function that writes it, of a selection and a path, and the variables that it has by default."""

OF_STACKS = (".nc", ".zarr")
"""Formats that hold products of stacks, with their leading dimensions; others hold one slice."""

STYLES = (".qml",)
"""Formats that say how a file looks, and hold no values."""


def export(
    ds: xr.Dataset | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    variables: Sequence[str] | None = None,
    member: int | None = None,
    overwrite: bool = False,
    zarr_format: int | None = None,
) -> Path:
    """Write a product, or a part of it, to a file that other programs open.

    - ``.png``: one variable as a picture of 8 bits, `mean` by default. Values of the image are scaled by its value
      range; others from 0 to their 99.5th percentile. Missing pixels are transparent. One or three bands.
    - ``.tif``, ``.tiff``: a cloud-optimised GeoTIFF, one band for each variable and band, with their names, the
      reference system, nodata and overviews. It needs rasterio (``pip install 'bayesr[geo]'``).
    - ``.qml``: the style in which QGIS shows the first variable of the GeoTIFF with the same variables. QGIS applies it
      by itself where both files have one name.
    - ``.nc``: NetCDF with the CF conventions.
    - ``.zarr``: a Zarr store of plain, unsharded arrays, with the CF conventions.
    - ``.ome.zarr``: OME-Zarr (NGFF 0.5), one channel for each variable and band, with their names, physical sizes of
      pixels and a pyramid. It needs ome-zarr (``pip install 'bayesr[ome]'``).
    - Other suffixes where another distribution adds them (`bayesr.plugins`).

    Parameters
    ----------
    ds : Dataset, path or URL
        A product of `bayesr.sample`, in memory or in a store. That of a stack is written to ``.nc`` and ``.zarr``;
        of others select a slice, ``ds.isel(time=0)``.
    path : path
        The file to write. Its suffix is its format.
    variables : sequence of str, optional
        Variables to write. By default `mean` for pictures, all maps for others, and also the members for ``.nc`` and
        ``.zarr``, but not for ``.ome.zarr``.
    member : int, optional
        Write this member instead of variables.
    overwrite : bool
        Replace an existing file; folders, such as Zarr stores, are never replaced.
    zarr_format : {2, 3}, optional
        The version of a ``.zarr`` store, by default 3. GDAL before 3.12 reads version 2 alone.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidArgument
        For an unknown suffix, variable or member, or what a format cannot hold.
    InvalidProduct
        When `ds` is no product.
    StoreExists, StoreFailed
        When the file exists, or cannot be written. Nothing is left behind.
    PluginFailed
        When the distribution that writes this suffix cannot be loaded, or fails.

    Examples
    --------
    >>> import bayesr, numpy as np, tempfile
    >>> ds = bayesr.sample(np.zeros((8, 8, 3), np.uint8), n=4)
    >>> path = bayesr.export(ds, tempfile.mkdtemp() + "/mean.png")
    >>> path.name
    'mean.png'
    """
    target = arguments.path("path", path)
    overwrite = arguments.flag("overwrite", overwrite)
    suffix = suffix_of(target)
    write, usual = _format(suffix)
    options = {} if zarr_format is None else _zarr_options(suffix, zarr_format)
    stack = suffix in OF_STACKS and member is None
    opened = open_product(ds, stack=stack) if isinstance(ds, str | os.PathLike) else product.canonical(ds, stack=stack)
    if opened is None:
        raise InvalidProduct(f"{os.fspath(ds)} is no product of bayesr.sample: give its store.")
    chosen = Selection.of(opened, variables, member, usual)
    if target.is_dir():
        raise StoreExists(f"{target} is a folder, and is not replaced: remove it, or use another name.")
    if target.exists() and not overwrite:
        raise StoreExists(f"{target} exists: use overwrite=True, or another name.")
    if not target.absolute().parent.is_dir():
        raise StoreFailed(f"There is no folder {target.parent} to write {target.name} to: make it first.")
    write(chosen, target, **options)
    return target


def _zarr_options(suffix: str, zarr_format: int) -> dict[str, Any]:
    if suffix != ".zarr":
        raise InvalidArgument(f"zarr_format= is for .zarr, and {suffix} has a version of its own: leave it out.")
    return {"zarr_format": arguments.whole("zarr_format", zarr_format, "the version of Zarr, 2 or 3", 2, 3)}


def _format(suffix: str) -> Format:
    """Return the entry of `FORMATS`, or that of another distribution, which writes all maps by default."""
    if suffix in FORMATS:
        return FORMATS[suffix]
    point = plugins.first(plugins.EXPORTERS, suffix)
    assert point is not None  # as `suffix_of` saw
    written = point.load()

    def write(chosen: Selection, path: Path) -> None:
        with failures_of(path), tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            try:
                written(chosen.ds, part)
            except (BayesrError, OSError):
                raise
            except Exception as error:  # it may do anything
                raise PluginFailed(f"{suffix} of {point.owner} could not write {path}: {error}") from error
            if not part.exists():
                raise PluginFailed(f"{suffix} of {point.owner} did not write {path.name} to the path it was given.")
            part.replace(path)

    return write, MAPS


def suffix_of(path: Path, *, of_values: bool = False) -> str:
    """Return the suffix of a format.

    Raises
    ------
    InvalidArgument
        For an unknown one, and for one that holds no values, where the file is to hold them.
    """
    name = path.name.lower()
    found = [suffix for suffix in FORMATS if name.endswith(suffix) and name != suffix]
    if not found and plugins.first(plugins.EXPORTERS, path.suffix.lower()) is not None:
        found = [path.suffix.lower()]
    if not found:
        known = ", ".join([*FORMATS, *plugins.names(plugins.EXPORTERS)])
        raise InvalidArgument(f"{path.name} has no suffix that names a format: use one of {known}.")
    suffix = max(found, key=len)
    if of_values and suffix in STYLES:
        raise InvalidArgument(f"{path.name} would hold colours, and no values: write another file, and export it, too.")
    return suffix
