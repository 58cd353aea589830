"""The form of a product: which dimensions its variables have, in which order, and where its pixels lie.

`bayesr.sample` writes this form. Users transpose, squeeze, cut and rename, so every function that takes a product first
calls `canonical`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidProduct, NotAnImage
from bayesr.grid import Axis
from bayesr.product import schema, stacks
from bayesr.product.georeference import counts_pixels
from bayesr.product.variables import DIMS, MAPS, SAMPLES, VARIABLES

REALIZATION = "realization"
_KNOWN = (*MAPS, SAMPLES)


def canonical(ds: Any, *, stack: bool = False) -> xr.Dataset:
    """Return a product in the form in which `bayesr.sample` gives it.

    Maps are ``(band, y, x)`` and members ``(realization, band, y, x)``, whatever their order was. A ``band`` or a
    ``realization`` that was squeezed away is a dimension of one again. Variables and coordinates are again what they
    were before ``set_coords`` and ``reset_coords``. A slice of a stack, ``ds.isel(time=0)``, is the product of one
    image. Nothing is read, and lazy variables stay lazy. A product that has the form already is returned itself.

    With `stack`, the product of a stack is returned, too, with its leading dimensions in front; else it is refused.

    Raises
    ------
    InvalidProduct
        When dimensions or coordinates are missing, renamed, duplicated or additional, when the pixels are no unbroken
        part of the product, when an attribute is damaged, or when it is no Dataset of a product at all. The message
        says what to do.
    """
    if not isinstance(ds, xr.Dataset):
        raise InvalidProduct(_not_a_dataset(ds))
    names = [name for name in _KNOWN if name in ds.variables]
    if not names:
        raise InvalidProduct(
            f"The Dataset holds none of the variables of a product ({', '.join(_KNOWN)}): give a product of "
            "bayesr.sample, with the names that its variables had."
        )
    schema.checked(ds.attrs)
    if not stack:
        stacks.require_slice(ds)
    ds = stacks.of_slice(_with_roles(ds, names))
    leading = stacks.along(ds)
    ordered = {name: _ordered(ds, name, leading) for name in names}
    if any(array.dims != ds[name].dims for name, array in ordered.items()):
        # Scalars whose dimensions are back. `_numbered` computes the mask of a single member again.
        scalars = [name for name in (REALIZATION, "band", "mask") if name in ds.coords and not ds[name].ndim]
        arrays = {
            name: array.drop_vars([scalar for scalar in scalars if scalar not in array.dims], errors="ignore")
            for name, array in ordered.items()
        }
        ds = ds.drop_vars([*scalars, *names]).assign(arrays)
    for dim in ("y", "x"):
        ds = _with_index(ds, dim)
        _check_axis(ds, dim)
    return _numbered(ds) if SAMPLES in names else ds


def part_of_product(given: Any) -> bool:
    """Return whether a DataArray is one variable of a product, and no image to sample."""
    if not isinstance(given, xr.DataArray) or given.name not in _KNOWN:
        return False
    if given.name == SAMPLES:
        return REALIZATION in given.coords or REALIZATION in given.dims
    return given.attrs.get("long_name") == VARIABLES[str(given.name)][1]


def _not_a_dataset(given: Any) -> str:
    if isinstance(given, xr.DataArray):
        name = "name" if given.name is None else str(given.name)
        return (
            f"A product is a whole Dataset of bayesr.sample, and this is a DataArray: give ds instead of ds[{name!r}]."
        )
    if isinstance(given, str | os.PathLike):
        return f"A product is a Dataset: open the store first, xarray.open_zarr({os.fspath(given)!r})."
    return f"A product is a Dataset of bayesr.sample, not {type(given).__name__}."


def _with_roles(ds: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Make variables of the product data variables again, and what describes them coordinates."""
    moved = [name for name in names if name in ds.coords]
    if moved:
        ds = ds.reset_coords(moved)
    mappings = {ds[name].attrs.get("grid_mapping", ds[name].encoding.get("grid_mapping")) for name in names}
    found = [name for name in {*mappings, "spatial_ref"} if name in ds.data_vars and not ds[name].ndim]
    if "mask" in ds.data_vars and ds["mask"].dims in ((), (REALIZATION,)):
        found.append("mask")
    found += [name for name in (stacks.SHA256, stacks.CHECK) if name in ds.data_vars]
    return ds.set_coords(found) if found else ds


def _ordered(ds: xr.Dataset, name: str, leading: tuple[str, ...]) -> xr.DataArray:
    """Return a variable with all its dimensions, in order."""
    array, wanted = ds[name], (*leading, *((REALIZATION,) if name == SAMPLES else ()), *DIMS)
    _check_dims(ds, name, wanted)
    if array.dtype.kind not in "fiu":
        raise InvalidProduct(f"{name} holds {array.dtype}, not numbers: give the product as bayesr.sample wrote it.")
    if array.dims == wanted:
        return array
    if array.chunks is None and not array.variable._in_memory:  # xarray would read it to add a dimension
        chunks = array.encoding.get("preferred_chunks", {})
        array = array.chunk({dim: chunks.get(dim, "auto") for dim in array.dims})
    missing = [dim for dim in wanted if dim not in array.dims]
    return array.expand_dims(missing).transpose(*wanted)


def _check_dims(ds: xr.Dataset, name: str, wanted: tuple[str, ...]) -> None:
    dims = ds[name].dims
    duplicates = {dim for dim in dims if dims.count(dim) > 1}
    additional = [str(dim) for dim in dims if dim not in wanted]
    missing = [dim for dim in wanted if dim not in dims]
    # One band or one member may be squeezed away, but from all variables.
    lost = [dim for dim in missing if dim in ("y", "x") or ds.sizes.get(dim, 1) != 1]
    if not (duplicates or additional or lost):
        return
    if duplicates:
        advice = "name each dimension once"
    elif additional and missing:
        advice = f"give the dimensions their names back, as in ds.rename({{{additional[0]!r}: {missing[0]!r}}})"
    elif additional:
        advice = f"select one of its places, as in ds.isel({additional[0]}=0)"
    elif lost[0] in ("y", "x"):
        advice = f"keep {lost[0]} with a slice, ds.isel({lost[0]}=slice(3, 4)) instead of ds.isel({lost[0]}=3)"
    else:
        advice = f"take the same {lost[0]} of all variables, as in ds.isel({lost[0]}=0)"
    raise InvalidProduct(
        f"{name} has the dimensions ({', '.join(map(str, dims))}), where a product has ({', '.join(wanted)}): {advice}."
    )


def _with_index(ds: xr.Dataset, dim: str) -> xr.Dataset:
    if dim not in ds.coords:
        raise InvalidProduct(
            f"The product has lost its coordinate {dim}, so its place is not known: keep the coordinates that "
            "bayesr.sample wrote."
        )
    return ds if dim in ds.indexes else ds.set_xindex(dim)


def _check_axis(ds: xr.Dataset, dim: str) -> None:
    """Check that pixels lie side by side, as those of an unbroken part of the product."""
    centres = ds[dim].to_numpy()
    if not centres.size:
        raise InvalidProduct(f"The product has no pixels along {dim}: take a part that is not empty.")
    if centres.dtype.kind not in "fiu" or not np.isfinite(centres).all():
        raise InvalidProduct(
            f"The coordinate {dim} of the product is not finite numbers: keep the one that bayesr.sample wrote."
        )
    try:
        step = Axis.of_centres(centres, dim).step
    except NotAnImage:
        step = 0.0
    width = _pixel(ds, dim)
    if centres.size > 1 and (step == 0 or (width is not None and abs(step - width) > 0.01 * abs(width))):
        raise InvalidProduct(
            f"Along {dim}, the Dataset is no unbroken part of the product: cut products with slices and without steps, "
            f"ds.isel({dim}=slice(a, b))."
        )


def _pixel(ds: xr.Dataset, dim: str) -> float | None:
    """Return the signed size of a pixel of the whole product; None if it is not known."""
    if not counts_pixels(ds[dim]) or "scale" not in ds.attrs:
        return None
    return 1 / float(ds.attrs["scale"])


def _numbered(ds: xr.Dataset) -> xr.Dataset:
    """Return members with their numbers, and the dropout mask of each, where these were lost and are known."""
    n, masks = ds.attrs.get("n"), ds.attrs.get("masks")
    if REALIZATION not in ds.coords:
        if n is None:
            return ds
        if int(n) != ds.sizes[REALIZATION]:
            raise InvalidProduct(
                f"The product holds {ds.sizes[REALIZATION]} of its {int(n)} members, without their numbers: keep the "
                "coordinate realization when you select members, as in ds.isel(realization=slice(0, 8))."
            )
        ds = ds.assign_coords({REALIZATION: np.arange(int(n))})
    if "mask" in ds.coords or masks is None:
        return ds
    numbers = ds[REALIZATION].to_numpy()
    if numbers.dtype.kind not in "iu":
        raise InvalidProduct("The coordinate realization is not the members' numbers: keep the one of bayesr.sample.")
    return ds.assign_coords(mask=(REALIZATION, numbers % int(masks), {"long_name": "dropout mask of the member"}))
