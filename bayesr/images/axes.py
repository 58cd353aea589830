"""Which axis of an image is which: by name, by a few unmistakable shapes, never by guessing."""

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
"""An axis of 1 to 4 beside two longer ones is taken for the bands; everything else must be said."""


def named(array: xr.DataArray, dims: Sequence[str] | None = None) -> xr.DataArray:
    """The image with its axes named, in the order ``(band, y, x)``; lazily where it is lazy.

    Parameters
    ----------
    array : DataArray
    dims : sequence of str, optional
        The name of every axis: ``("y", "x", "band")`` or ``"yxb"``. By default they are recognised.

    Raises
    ------
    AmbiguousDimensions
        When they can be read in more than one way.
    """
    if dims is not None:
        given = ["band" if d == "b" else d for d in dims]
        if len(given) != array.ndim or sorted(given) not in (["x", "y"], ["band", "x", "y"]):
            raise AmbiguousDimensions(
                f"dims={dims!r} does not name the {array.ndim} axes of an image of shape {array.shape}: "
                'each of "y" and "x" once, and "band" where there is one.'
            )
        array = renamed(array, given)
    else:
        array = _recognised(array)
    if "band" not in array.dims:
        array = array.drop_vars("band", errors="ignore")
    return lazy.ordered(array, DIMS)


def _recognised(array: xr.DataArray) -> xr.DataArray:
    names = {}
    for dim in map(str, array.dims):
        for target, known in _KNOWN_DIMS.items():
            if dim.lower() in known:
                names[dim] = target
    if len(names) == array.ndim and {"y", "x"} <= set(names.values()) and len(set(names.values())) == len(names):
        return renamed(array, [names[str(dim)] for dim in array.dims])
    anonymous = all(str(dim).startswith("dim_") for dim in array.dims)
    how = 'Name the axes: dims=("y", "x", "band") or dims=("band", "y", "x"), in the order of the array.'
    if not anonymous:
        raise AmbiguousDimensions(
            f"The dimensions {tuple(map(str, array.dims))} are not an image's. {how} "
            "Select one image first where there are more dimensions, as in img.isel(time=0)."
        )
    if array.ndim == 2:
        return renamed(array, ("y", "x"))
    if array.ndim == 3:
        first, middle, last = (size <= _FEW_BANDS for size in array.shape)
        if last and not first and not middle:
            return renamed(array, ("y", "x", "band"))
        if first and not middle and not last:
            return renamed(array, DIMS)
        raise AmbiguousDimensions(f"Which axis of the shape {array.shape} is the band? {how}")
    raise AmbiguousDimensions(
        f"An image has two or three axes, not {array.ndim} (shape {array.shape}): give one image at a time."
    )


def renamed(array: xr.DataArray, names: Sequence[str]) -> xr.DataArray:
    """The array with new names of all its axes, in its own order."""
    new = {str(old): name for old, name in zip(array.dims, names, strict=True)}
    found = array.rename({old: name for old, name in new.items() if old != name})
    if "preferred_chunks" in array.encoding:  # whose keys xarray does not rename
        chunks = {new.get(str(dim), dim): size for dim, size in array.encoding["preferred_chunks"].items()}
        found.encoding = {**array.encoding, "preferred_chunks": chunks}
    return found
