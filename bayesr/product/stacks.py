"""Products of stacks: leading axes such as ``time`` in front, and what makes each slice a product by itself.

The checksum of a slice, and the verdict of its input check, are coordinates along the leading axes. `of_slice` puts
them in the place of those of the stack, where ``ds.isel(time=0)`` has made them scalars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidProduct, NotAnImage
from bayesr.product.georeference import storable
from bayesr.product.variables import DIMS, MAPS, MASK_MEANS, SAMPLES

SHA256, CHECK = "slice_sha256", "slice_check"
"""Coordinates along the leading axes: the checksum of each slice, and the verdict of its input check."""

RESERVED = frozenset(
    (*MAPS, *DIMS, SAMPLES, MASK_MEANS, SHA256, CHECK, "realization", "mask", "band_units", "spatial_ref")
)
"""Names that leading axes cannot have, because a product uses them."""

_KINDS = "biufMmUSO"
"""Kinds of numbers, times and texts, which stores hold; of objects, texts and calendar dates."""


def coordinates(image: xr.DataArray, leading: Mapping[str, int]) -> dict[str, xr.DataArray]:
    """Return the coordinates along the leading axes of a stack; an axis without one is numbered.

    Raises
    ------
    NotAnImage
        When a store cannot hold a coordinate.
    """
    found = {
        dim: xr.DataArray(np.arange(size), dims=dim, attrs={"long_name": f"number along {dim}", "units": "1"})
        for dim, size in leading.items()
        if dim not in image.coords
    }
    for name, coord in image.coords.items():
        if not coord.dims or not {*coord.dims} <= {*leading} or name in RESERVED:
            continue
        if not _is_storable(coord):
            raise NotAnImage(
                f"The coordinate {str(name)!r} of the stack holds what no product can, {coord.dtype}: replace it, or "
                f"drop it with img.reset_index({str(name)!r}, drop=True)."
            )
        values = coord.to_numpy()
        texts = values.astype(object) if values.dtype.kind in "US" else values  # Zarr has no others without a warning
        found[str(name)] = xr.DataArray(texts, dims=coord.dims, attrs=_described(coord) | storable(coord.attrs))
    return found


def _described(coord: xr.DataArray) -> dict[str, str]:
    """Return the attributes that CF asks for, of a coordinate that states none."""
    times = coord.dtype.kind == "M" or (coord.dtype.kind == "O" and hasattr(coord.to_numpy().flat[0], "calendar"))
    return {"long_name": str(coord.name)} | ({"standard_name": "time"} if times and coord.dims == (coord.name,) else {})


def _is_storable(coord: xr.DataArray) -> bool:
    if coord.dtype.kind not in _KINDS or hasattr(coord.to_index() if coord.ndim == 1 else None, "levels"):
        return False
    values = coord.to_numpy().ravel()
    return coord.dtype.kind != "O" or all(isinstance(value, str) or hasattr(value, "calendar") for value in values)


def described(ds: xr.Dataset, sha256: Sequence[str], checks: Sequence[str]) -> xr.Dataset:
    """Return the product of a stack with what each slice is, the last leading axis first."""
    if not sha256:
        return ds
    dims = leading(ds)
    shape = [ds.sizes[dim] for dim in dims]
    texts = {SHA256: (sha256, "checksum of the slice"), CHECK: (checks, "input check of the slice")}
    return ds.assign_coords(
        {
            name: (dims, np.array(values, object).reshape(shape), {"long_name": long_name})
            for name, (values, long_name) in texts.items()
        }
    )


def leading(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the leading axes of a product, in order."""
    first = next(iter(ds.data_vars.values()))
    return tuple(str(dim) for dim in first.dims if dim not in ("realization", *DIMS))


def along(ds: Any) -> tuple[str, ...]:
    """Return the leading axes of the product of a stack that are left; empty for a slice, and for all others."""
    return tuple(map(str, ds[SHA256].dims)) if isinstance(ds, xr.Dataset) and SHA256 in ds.variables else ()


def require_slice(ds: xr.Dataset) -> None:
    """Check that a product is that of one image.

    Raises
    ------
    InvalidProduct
        When it is that of a stack.
    """
    dims = along(ds)
    if dims:
        sizes = ", ".join(f"{dim} ({ds.sizes[dim]})" for dim in dims)
        chosen = ", ".join(f"{dim}=0" for dim in dims)
        raise InvalidProduct(
            f"The product is a stack along {sizes}, and this takes the product of one image: select a slice, as in "
            f"ds.isel({chosen})."
        )


def of_slice(ds: xr.Dataset) -> xr.Dataset:
    """Return one slice of a stack as a product by itself: its attributes are those of the slice."""
    if SHA256 not in ds.variables or ds[SHA256].ndim:
        return ds
    attrs = {"input_sha256": str(ds[SHA256].to_numpy().item())}
    if CHECK in ds.variables:
        attrs["input_check"] = str(ds[CHECK].to_numpy().item())
    return ds.drop_vars([SHA256, CHECK], errors="ignore").assign_attrs(attrs)
