"""NetCDF files as xarray and rioxarray write them: packing, fill values, grid mappings, and names of axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr_bench.reading.layout import BANDS, COUNTS, FLOAT, GREY, HOLE, PIXELS, Expected, Layout, edges, pixel_bounds
from bayesr_bench.reading.missing import holes
from bayesr_bench.reading.rasters import UTM

NEEDS = ("netCDF4", "rioxarray")
NAME = "image"
NORTH = 5399995.0 - 10.0 * np.arange(20)
"""Centres of rows from north to south, in m."""
EAST = 500005.0 + 10.0 * np.arange(24)
"""Centres of columns, in m."""
LATITUDE, LONGITUDE = 47.25 - 0.05 * np.arange(20), 6.5 + 0.05 * np.arange(24)

Write = Callable[[xr.Dataset, Path], Any]


def by_xarray(
    path: Path, *, y: str | None = "y", x: str | None = "x", rows: str = "y", columns: str = "x", slack: float = 1e-6
) -> Expected:
    """Return what xarray decodes, with the nodata value and the CRS that rioxarray and pyproj find.

    Parameters
    ----------
    path : Path
    y, x : str or None
        Names of the coordinates; None if there are none.
    rows, columns : str
        Names of the axes.
    slack : float
        See `Expected`.
    """
    import pyproj  # optional
    import rioxarray  # noqa: F401  # optional, and registers the accessor

    engine = "zarr" if path.is_dir() else "netcdf4"
    with xr.open_dataset(path, engine=engine, decode_coords="all") as ds:
        image = ds[NAME].squeeze().load()
        cube = image.transpose(..., rows, columns)
        values = np.asarray(cube.to_numpy(), np.float64)
        values = values[None] if values.ndim == 2 else values
        if image.rio.nodata is not None:
            values[values == float(image.rio.nodata)] = np.nan
        mapping = image.encoding.get("grid_mapping")
        crs = pyproj.CRS.from_cf(ds[mapping].attrs).to_wkt() if mapping else None
        units = (image.attrs["units"],) * len(values) if "units" in image.attrs else ()
        bounds = pixel_bounds(values)
        if y is not None and x is not None:
            (top, bottom), (left, right) = (edges(np.asarray(ds[name], np.float64)) for name in (y, x))
            bounds = (left, bottom, right, top)
    return Expected(values, bounds, crs=crs, units=units, slack=slack, coordinate_units=PIXELS if y is None else None)


def dataset(
    pixels: NDArray[Any] = COUNTS, dims: tuple[str, ...] = ("y", "x"), /, *,
    y: NDArray[Any] | None = NORTH, x: NDArray[Any] | None = EAST, crs: str | None = None,
    attrs: Mapping[str, Any] | None = None, encoding: Mapping[str, Any] | None = None,
) -> xr.Dataset:  # fmt: skip
    """Return a Dataset of one image, with coordinates along its axes, and a CRS as rioxarray writes it."""
    import rioxarray  # noqa: F401  # optional, and registers the accessor

    ds = xr.Dataset({NAME: (dims, pixels, dict(attrs or {}))})
    ds[NAME].encoding = dict(encoding or {})
    rows, columns = (dim for dim in dims if dim not in ("band", "time", "z"))
    coords = {rows: y, columns: x}
    ds = ds.assign_coords({name: values for name, values in coords.items() if values is not None})
    return ds if crs is None else ds.rio.write_crs(crs)


def mapped(name: str, pixels: NDArray[Any] = COUNTS, *, text: bool = True, coordinate: bool = False) -> xr.Dataset:
    """Return a Dataset whose CRS is in a variable of some name, as CF has it: as text, or as parameters only."""
    import pyproj  # optional

    attrs = pyproj.CRS(UTM).to_cf()
    if not text:
        attrs.pop("crs_wkt")
    ds = dataset(pixels, attrs={"grid_mapping": name})
    ds[name] = ((), np.int32(0), attrs)
    return ds.set_coords(name) if coordinate else ds


def as_netcdf(ds: xr.Dataset, path: Path, **settings: Any) -> None:
    ds.to_netcdf(path, engine="netcdf4", **settings)


def netcdf(
    name: str, make: Callable[[], xr.Dataset], /, *, write: Write = as_netcdf, read_by: str = "xarray", **read: Any
) -> Layout:
    """Return the layout of a NetCDF file of a Dataset, with arguments of `by_xarray`."""
    return Layout(
        f"NetCDF: {name}", ".nc", lambda path: write(make(), path), "xarray", partial(by_xarray, **read), read_by,
        needs=NEEDS,
    )  # fmt: skip


def two_dimensional(rows: str, columns: str, names: tuple[str, str]) -> xr.Dataset:
    """Return a Dataset with two-dimensional coordinates of some names beside its axes."""
    one_dimensional = rows != "row"
    ds = dataset(
        COUNTS, (rows, columns), y=LATITUDE if one_dimensional else None, x=LONGITUDE if one_dimensional else None
    )
    north, east = np.meshgrid(NORTH, EAST, indexing="ij")
    return ds.assign_coords({names[0]: ((rows, columns), north), names[1]: ((rows, columns), east)})


def several(**sizes: int) -> xr.Dataset:
    """Return a Dataset with a leading axis of some name and size."""
    ((name, size),) = sizes.items()
    return dataset(np.stack([COUNTS] * size), (name, "y", "x"))


def two_images() -> xr.Dataset:
    ds = dataset()
    return ds.assign(error=ds[NAME])


def with_corners() -> xr.Dataset:
    """Return a Dataset with the edges of its rows and columns, as climate models write them."""
    ds = dataset()
    for name in ("y", "x"):
        centres = ds[name].to_numpy()
        half = (centres[1] - centres[0]) / 2
        ds[f"{name}_bnds"] = ((name, "bnds"), np.stack([centres - half, centres + half], 1))
        ds[name].attrs["bounds"] = f"{name}_bnds"
    return ds


PACKED = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 250.0, "_FillValue": -32768}
KELVIN = np.where(HOLE, np.nan, 270 + GREY / 8)
MARKED = holes(FLOAT, -9999)


def _marked(**attrs: Any) -> Callable[[], xr.Dataset]:
    return lambda: dataset(MARKED, attrs=attrs, encoding={"_FillValue": None})


DECODED = (
    netcdf("uint16", dataset),
    netcdf("packed, in K", lambda: dataset(KELVIN, attrs={"units": "K"}, encoding=PACKED)),
    netcdf("packed bytes without a sign", lambda: dataset(
        GREY * 0.5, encoding={"dtype": "int8", "scale_factor": 0.5, "_Unsigned": "true", "_FillValue": -1})),
    netcdf("packed with a large offset", lambda: dataset(
        1737400 + GREY / 8, attrs={"units": "m"},
        encoding={"dtype": "int32", "scale_factor": 0.125, "add_offset": 1737400.0})),
    netcdf("float64 above 1e9", lambda: dataset(GREY + 1e9)),
    netcdf("_FillValue NaN", lambda: dataset(holes(FLOAT, np.nan), encoding={"_FillValue": np.float32("nan")})),
    netcdf("_FillValue -9999", lambda: dataset(holes(FLOAT, np.nan), encoding={"_FillValue": np.float32(-9999)})),
    netcdf("missing_value", lambda: dataset(
        np.where(HOLE, np.nan, GREY), encoding={"dtype": "uint8", "missing_value": np.uint8(255), "_FillValue": None})),
    netcdf("two values for missing", lambda: dataset(
        GREY.copy(), attrs={"_FillValue": np.uint8(3), "missing_value": np.uint8(5)})).or_refuse(
            "_FillValue and missing_value contradict each other"),
    netcdf("nodata as an attribute", _marked(nodata=np.float32(-9999)), read_by="xarray, rioxarray"),
    netcdf("fill_value as an attribute", _marked(fill_value=np.float32(-9999)), read_by="xarray, rioxarray"),
    netcdf("nodatavals as an attribute", lambda: dataset(
        np.stack([MARKED] * 3), ("band", "y", "x"), attrs={"nodatavals": np.full(3, -9999.0)},
        encoding={"_FillValue": None}), read_by="xarray, rioxarray"),
    netcdf("NaN without nodata", lambda: dataset(holes(FLOAT, np.nan), encoding={"_FillValue": None})).or_refuse(
        "nothing says that NaN is nodata", "nodata"),
    netcdf("units of two parts", lambda: dataset(attrs={"units": "m s-1"})),
    netcdf("deflate in chunks", lambda: dataset(encoding={"zlib": True, "chunksizes": (8, 8)})),
    netcdf("version 3", lambda: dataset(FLOAT), write=partial(as_netcdf, format="NETCDF3_64BIT")),
)  # fmt: skip

PLACED = (
    netcdf("a CRS of rioxarray", lambda: dataset(crs=UTM)),
    netcdf("a grid mapping called crs", lambda: mapped("crs")),
    netcdf("a grid mapping of another name", lambda: mapped("transverse_mercator", FLOAT)),
    netcdf("a grid mapping as a coordinate", lambda: mapped("crs", coordinate=True)),
    netcdf("a grid mapping of parameters only", lambda: mapped("crs", text=False)).or_refuse("no text of the CRS"),
    netcdf("without coordinates", lambda: dataset(y=None, x=None), y=None, x=None),
    netcdf("south to north", lambda: dataset(COUNTS[::-1].copy(), y=NORTH[::-1].copy(), crs=UTM)),
    netcdf("degrees in float32", lambda: dataset(
        COUNTS, ("lat", "lon"), y=LATITUDE.astype("f4"), x=LONGITUDE.astype("f4")),
        y="lat", x="lon", rows="lat", columns="lon", slack=1e-3),
    netcdf("degrees of 4 decimals", lambda: dataset(
        COUNTS, ("lat", "lon"), y=np.round(47 - np.arange(20) / 120, 4), x=np.round(6 + np.arange(24) / 120, 4)),
        y="lat", x="lon", rows="lat", columns="lon", slack=0.01),
    netcdf("degrees of 2 decimals", lambda: dataset(
        COUNTS, ("lat", "lon"), y=np.round(47 - np.arange(20) / 12, 2), x=np.round(6 + np.arange(24) / 12, 2)),
        y="lat", x="lon", rows="lat", columns="lon", slack=0.1),
    netcdf("uneven rows", lambda: dataset(y=NORTH - np.arange(20) ** 2)).to_refuse("its rows are not evenly spaced"),
    netcdf("latitude and longitude beside x and y", lambda: two_dimensional("latitude", "longitude", ("y", "x")),
           y="latitude", x="longitude", rows="latitude", columns="longitude"),
    netcdf("row and col with x and y", lambda: two_dimensional("row", "col", ("y", "x")), y=None, x=None, rows="row",
           columns="col").or_refuse("coordinates of two dimensions"),
    netcdf("bands first", lambda: dataset(BANDS, ("band", "y", "x"), crs=UTM)),
    netcdf("bands last", lambda: dataset(np.moveaxis(BANDS, 0, -1), ("y", "x", "band"), crs=UTM)),
    netcdf("a single time", lambda: several(time=1)).or_refuse("it has a time"),
    netcdf("three times", lambda: several(time=3)).to_refuse("it has several times"),
    netcdf("three depths", lambda: several(z=3)).to_refuse("it has several planes"),
    netcdf("two images", two_images).to_refuse("it holds several images"),
    netcdf("edges of rows and columns", with_corners).or_refuse("it has further variables of two dimensions"),
)  # fmt: skip

LAYOUTS = (*DECODED, *PLACED)
