"""The high-resolution grid of a product, and the Dataset on this grid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidProduct
from bayesr.grid import Axis
from bayesr.product import stacks
from bayesr.product.conventions import axis_attributes
from bayesr.product.georeference import REFERENCE, counts_pixels, high_resolution, storable
from bayesr.product.schema import FORMER
from bayesr.product.variables import DIMS, SAMPLES, VARIABLES, leading_shape


@dataclass(frozen=True)
class Frame:
    """The high-resolution grid of a product.

    `coords` has ``band``, ``y``, ``x`` and, for georeferenced images, ``spatial_ref``; `units` are those of the image.
    `leading` has the sizes of the leading axes of a stack, by name, whose coordinates are in `coords`, too.
    """

    y: Axis
    x: Axis
    coords: dict[str, xr.DataArray]
    units: str | None
    leading: Mapping[str, int] = field(default_factory=dict)

    @property
    def bands(self) -> int:
        return int(self.coords["band"].size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes along ``(..., band, y, x)``."""
        return *self.leading.values(), self.bands, self.y.size, self.x.size

    def shape_of(self, name: str, n: int, masks: int) -> tuple[int, ...]:
        """Return a variable's shape, for `n` members of `masks` dropout masks."""
        shape, first = self.shape, len(self.leading)
        return (*shape[:first], *leading_shape(name, n, masks), *shape[first:])


def frame(image: xr.DataArray, scale: int) -> Frame:
    """Return the grid with `scale` times as many pixels along both axes as an image, ``(band, y, x)``, or a stack.

    See `bayesr.product.georeference` for its coordinates. Where bands have different units, the coordinate
    ``band_units`` holds them.
    """
    y, x, coords = high_resolution(image, scale)
    coords["band"] = (
        image["band"].drop_vars([c for c in image["band"].coords if c != "band"])
        if "band" in image.coords
        else xr.DataArray(np.arange(image.sizes["band"]), dims="band")
    )
    coords["band"].attrs = {"long_name": "band"} | storable(coords["band"].attrs)
    reference = coords[REFERENCE].attrs if REFERENCE in coords else None
    for dim in ("y", "x"):
        if not counts_pixels(coords[dim]):
            coords[dim].attrs = axis_attributes(dim, coords[dim].attrs, reference)
    if reference is not None:
        coords[REFERENCE].attrs = {"long_name": "coordinate reference system"} | reference
    if "band_units" in image.coords:
        coords["band_units"] = image["band_units"].drop_vars("band", errors="ignore")
    leading = {str(dim): image.sizes[dim] for dim in image.dims[: -len(DIMS)]}
    return Frame(y, x, coords | stacks.coordinates(image, leading), image.attrs.get("units"), leading)


_MEMBER = {"standard_name": "realization", "long_name": "number of the member", "units": "1"}


def realizations(n: int, masks: int) -> dict[str, xr.DataArray]:
    """Return the coordinate ``realization`` and, along it, each member's dropout ``mask``."""
    numbers = np.arange(n)
    return {
        "realization": xr.DataArray(numbers, dims="realization", attrs=_MEMBER),
        "mask": xr.DataArray(numbers % masks, dims="realization", attrs={"long_name": "dropout mask of the member"}),
    }


def dataset(frame: Frame, arrays: Mapping[str, Any], attributes: Mapping[str, Any], n: int, masks: int) -> xr.Dataset:
    """Return the product of some arrays.

    Parameters
    ----------
    frame : Frame
    arrays : mapping of str to array
        NumPy or dask arrays by variable, some of `VARIABLES` and ``samples``, ``(..., band, y, x)`` and
        ``(..., realization, band, y, x)``. Other names are left out.
    attributes : mapping
        Attributes of the Dataset, see `bayesr.product.Provenance`.
    n, masks : int
        Number of members and of dropout masks.
    """
    variables: dict[str, Any] = {}
    mapping = {"grid_mapping": REFERENCE} if REFERENCE in frame.coords else {}
    for name, (power, long_name, methods) in VARIABLES.items():
        if name not in arrays:
            continue
        attrs = {"long_name": long_name} | units_of(frame.units, power)
        if methods:
            attrs["cell_methods"] = methods
        variables[name] = ((*frame.leading, *DIMS), arrays[name], attrs | mapping)
    coords = dict(frame.coords)
    if SAMPLES in arrays:
        attrs = {"long_name": "members, each of which reproduces the input"} | units_of(frame.units, 1)
        variables[SAMPLES] = ((*frame.leading, "realization", *DIMS), arrays[SAMPLES], attrs | mapping)
        coords |= realizations(n, masks)
    title = f"Posterior samples by {attributes.get('model', 'bayesr')}: super-resolution with uncertainty"
    return xr.Dataset(variables, coords, {"Conventions": "CF-1.11", "title": title} | dict(attributes))


def units_of(units: str | None, power: int) -> dict[str, str]:
    """Return the attribute ``units`` of a quantity in a power of the image's units, if they are known.

    They follow UDUNITS: ``K2``, ``(m s-1)2``.
    """
    if power == 0:
        return {"units": "1"}
    if units is None:
        return {}
    if power == 1 or units == "1":
        return {"units": units}
    return {"units": f"{units}{power}" if re.fullmatch("[A-Za-z_]*[A-Za-z]", units) else f"({units}){power}"}


def require(ds: xr.Dataset, *names: str) -> None:
    """Check that a Dataset holds some variables.

    Raises
    ------
    InvalidProduct
        When one is missing.
    """
    lacking = [name for name in names if name not in ds]
    if lacking:
        raise InvalidProduct(
            f"The Dataset lacks {', '.join(lacking)}: give a product of bayesr.sample that holds them, drawn without "
            "variables= or with them named there."
        )


_REQUIRED = object()


def attribute(ds: xr.Dataset, name: str, default: Any = _REQUIRED) -> Any:
    """Return an attribute of a product, also under its former name; `Provenance` reads all of them.

    Raises
    ------
    InvalidProduct
        When it is missing, and there is no default.
    """
    for recorded in (name, FORMER.get(name)):
        if recorded in ds.attrs:
            return ds.attrs[recorded]
    if default is not _REQUIRED:
        return default
    raise InvalidProduct(
        f"The Dataset lacks the attribute {name!r}, so it is no (unchanged) product of bayesr.sample. "
        "Keep attributes in computations with xr.set_options(keep_attrs=True)."
    )


def quantisation_step_of(ds: xr.Dataset) -> float:
    """Return the quantisation step of the image; 0 for images of floats, and where it is not recorded."""
    return float(attribute(ds, "quantisation_step", 0.0))


def value_range_of(ds: xr.Dataset) -> tuple[float, float]:
    """Return the image's values that the network sees as 0 and 1.

    Raises
    ------
    InvalidProduct
        When the attribute is missing.
    """
    low, high = attribute(ds, "value_range")
    return float(low), float(high)
