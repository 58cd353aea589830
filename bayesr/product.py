"""The product: names, dimensions, units and attributes of the Dataset. The only place that knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import InvalidProduct
from bayesr.grid import Axis

Array = NDArray[np.floating]

DIMS = ("band", "y", "x")

# name: (power of the input's unit, long_name, cell_methods)
VARIABLES: dict[str, tuple[int, str, str | None]] = {
    "mean": (1, "posterior mean", "realization: mean"),
    "variance": (2, "calibrated predictive variance", "realization: variance"),
    "std": (1, "calibrated predictive standard deviation", "realization: standard_deviation"),
    "aleatoric": (2, "raw variance between latents: what the input cannot tell", None),
    "epistemic": (2, "raw variance between dropout masks: what the model has not learnt", None),
    "calibration": (0, "factor on the raw standard deviation", None),
    "lower": (1, "lower bound of the calibrated central interval", None),
    "upper": (1, "upper bound of the calibrated central interval", None),
}


@dataclass(frozen=True)
class Frame:
    """The high-resolution grid of a product: its axes, coordinates and georeference."""

    y: Axis
    x: Axis
    coords: dict[str, xr.DataArray]
    units: str | None

    @property
    def bands(self) -> int:
        return int(self.coords["band"].size)


def frame(image: xr.DataArray, scale: int) -> Frame:
    """The grid that `scale` times as many pixels make of the image's own.

    In the input's coordinates where it has any, else in input pixels, the first centre at 0.5.
    CRS and transform are written anew.
    """
    axes = {}
    coords: dict[str, xr.DataArray] = {}
    for dim in ("y", "x"):
        if dim in image.coords and image[dim].dtype.kind in "uif":
            low = Axis.of_centres(image[dim].to_numpy(), dim)
            attrs = dict(image[dim].attrs)
        else:
            low, attrs = Axis(0.0, float(image.sizes[dim]), image.sizes[dim]), {"units": "input pixels"}
        axes[dim] = low.refined(scale)
        coords[dim] = xr.DataArray(axes[dim].centres(), dims=dim, attrs=attrs)
    coords["band"] = (
        image["band"].drop_vars([c for c in image["band"].coords if c != "band"])
        if "band" in image.coords
        else xr.DataArray(np.arange(image.sizes["band"]), dims="band")
    )
    if "spatial_ref" in image.coords:
        attrs = {k: v for k, v in image["spatial_ref"].attrs.items() if k != "GeoTransform"}
        y, x = axes["y"], axes["x"]
        attrs["GeoTransform"] = " ".join(map(repr, (x.start, x.step, 0.0, y.start, 0.0, y.step)))
        coords["spatial_ref"] = xr.DataArray(0, attrs=attrs)
    return Frame(axes["y"], axes["x"], coords, image.attrs.get("units"))


def realizations(n: int, masks: int) -> dict[str, xr.DataArray]:
    """The coordinate ``realization`` and, along it, the dropout ``mask`` of every member."""
    numbers = np.arange(n)
    return {
        "realization": xr.DataArray(numbers, dims="realization", attrs={"standard_name": "realization"}),
        "mask": xr.DataArray(numbers % masks, dims="realization", attrs={"long_name": "dropout mask of the member"}),
    }


def dataset(frame: Frame, arrays: Mapping[str, Any], attributes: Mapping[str, Any], n: int, masks: int) -> xr.Dataset:
    """The Dataset of these arrays, some of `VARIABLES` and ``samples``; NumPy or dask, it does not look inside."""
    variables: dict[str, Any] = {}
    for name, (power, long_name, methods) in VARIABLES.items():
        if name not in arrays:
            continue
        attrs = {"long_name": long_name} | _units(frame.units, power)
        if methods:
            attrs["cell_methods"] = methods
        if "spatial_ref" in frame.coords:
            attrs["grid_mapping"] = "spatial_ref"
        variables[name] = (DIMS, arrays[name], attrs)
    coords = dict(frame.coords)
    if "samples" in arrays:
        attrs = {"long_name": "members, each of which reproduces the input"} | _units(frame.units, 1)
        variables["samples"] = (("realization", *DIMS), arrays["samples"], attrs)
        coords |= realizations(n, masks)
    return xr.Dataset(variables, coords, {"Conventions": "CF-1.11"} | dict(attributes))


def _units(units: str | None, power: int) -> dict[str, str]:
    if power == 0:
        return {"units": "1"}
    if units is None:
        return {}
    return {"units": units if power == 1 or units == "1" else f"({units}){power}"}


def require(ds: xr.Dataset, *names: str) -> None:
    """Refuse a Dataset that lacks variables.

    Raises
    ------
    InvalidProduct
    """
    lacking = [name for name in names if name not in ds]
    if lacking:
        raise InvalidProduct(
            f"The Dataset lacks {', '.join(lacking)}: give a product of bayesr.sample that holds them, drawn without "
            "variables= or with them named there."
        )


def attribute(ds: xr.Dataset, name: str) -> Any:
    """An attribute that a product must have."""
    try:
        return ds.attrs[name]
    except KeyError:
        raise InvalidProduct(
            f"The Dataset lacks the attribute {name!r}, so it is no (unchanged) product of bayesr.sample. "
            "Keep attributes in computations with xr.set_options(keep_attrs=True)."
        ) from None
