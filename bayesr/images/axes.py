"""The axes of images, recognised by names or by unambiguous shapes."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from bayesr.errors import AmbiguousDimensions
from bayesr.images import lazy

DIMS = ("band", "y", "x")

_KNOWN_DIMS = {
    "band": {"band", "bands", "channel", "channels", "c", "wavelength", "sample"},
    "y": {"y", "lat", "latitude", "row", "rows", "northing", "height"},
    "x": {"x", "lon", "longitude", "col", "cols", "column", "easting", "width"},
}
_FEW_BANDS = 4
"""An unnamed axis of 1 to 4 pixels beside two longer ones is the band; other shapes need ``dims=``."""


def with_standard_axes(array: xr.DataArray, dims: Sequence[str] | None = None, *, stack: bool = False) -> xr.DataArray:
    """Return the image with the axes ``(band, y, x)``, in this order; lazy arrays stay lazy.

    `dims` has the name of every axis: ``("y", "x", "band")`` or ``"yxb"``. By default the axes are recognised. With
    `stack`, named axes of several planes, such as ``time``, stay in front; one of a single plane stays if `dims` has
    it.

    Raises
    ------
    AmbiguousDimensions
        If the axes can be read in several ways.
    """
    if dims is not None:
        given = ["band" if d == "b" else d for d in dims]
        further = [d for d in given if d not in DIMS]
        complete = len(given) == array.ndim == len({*given}) and {"y", "x"} <= {*given}
        if not complete or (further and not stack):
            raise AmbiguousDimensions(
                f"dims={dims!r} does not name the {array.ndim} axes of an image of shape {array.shape}: "
                'give each of "y" and "x" once, and "band" where there is one'
                f"{', and a name for each other axis' if stack else ''}."
            )
        array = rename_axes(array, given)
    else:
        known = set().union(*_KNOWN_DIMS.values())
        single = {dim: 0 for dim, size in array.sizes.items() if size == 1 and str(dim).lower() not in known}
        anonymous = all(str(dim).startswith("dim_") for dim in array.dims)
        array = _recognise_axes(array if anonymous else array.isel(single), stack)
    if "band" not in array.dims:
        array = array.drop_vars("band", errors="ignore")
    return lazy.with_axis_order(array, [*(str(dim) for dim in array.dims if dim not in DIMS), *DIMS])


def _recognise_axes(array: xr.DataArray, stack: bool) -> xr.DataArray:
    names = {}
    for dim in map(str, array.dims):
        for target, known in _KNOWN_DIMS.items():
            if dim.lower() in known:
                names[dim] = target
    clear = {"y", "x"} <= set(names.values()) and len(set(names.values())) == len(names)
    if clear and (stack or len(names) == array.ndim):
        return rename_axes(array, [names.get(str(dim), str(dim)) for dim in array.dims])
    anonymous = all(str(dim).startswith("dim_") for dim in array.dims)
    advice = 'Name the axes: dims=("y", "x", "band") or dims=("band", "y", "x"), in the order of the array.'
    if not anonymous:
        sizes = " x ".join(f"{dim} ({size})" for dim, size in array.sizes.items())
        other = [str(dim) for dim in array.dims if str(dim) not in names]
        raise AmbiguousDimensions(
            f"The image has the axes {sizes}, which are not those of one image: select one plane of "
            f"{', '.join(map(repr, other)) or 'them'} first, as in img.isel({(other or ['time'])[0]}=0). "
            f"If an axis holds bands, name all axes. {advice}"
        )
    if array.ndim == 2:
        return rename_axes(array, ("y", "x"))
    if array.ndim == 3:
        first, middle, last = (size <= _FEW_BANDS for size in array.shape)
        if last and not first and not middle:
            return rename_axes(array, ("y", "x", "band"))
        if first and not middle and not last:
            return rename_axes(array, DIMS)
        raise AmbiguousDimensions(f"Which axis of the shape {array.shape} is the band? {advice}")
    several = 'name all axes of a stack, as in dims=("time", "y", "x", "band")' if stack else "give one image at a time"
    raise AmbiguousDimensions(f"An image has two or three axes, not {array.ndim} (shape {array.shape}): {several}.")


def rename_axes(array: xr.DataArray, names: Sequence[str]) -> xr.DataArray:
    """Return the array with new names for all axes, in its own order."""
    new = {str(old): name for old, name in zip(array.dims, names, strict=True)}
    # Another coordinate may have such a name, as a projected "x" beside the dimension "longitude".
    array = array.drop_vars([name for name in names if name in array.coords and array[name].dims != (name,)])
    result = array.rename({old: name for old, name in new.items() if old != name})
    if "preferred_chunks" in array.encoding:  # xarray does not rename its keys
        chunks = {new.get(str(dim), dim): size for dim, size in array.encoding["preferred_chunks"].items()}
        result.encoding = {**array.encoding, "preferred_chunks": chunks}
    return result
