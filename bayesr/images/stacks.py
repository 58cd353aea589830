"""Stacks: images with further leading axes, such as ``time`` or ``z``, as arrays ``(..., band, y, x)``.

What is done with an image is done with each slice of a stack, so that a slice in a stack is read as the slice alone.
An image without leading axes is a stack of one slice, at the place ``()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.images import lazy

Place = tuple[int, ...]
"""The place of a slice along the leading axes."""

_IMAGE_AXES = 3
_HELD = 64
"""Most slices of a lazy stack that are kept opened."""


def leading(array: xr.DataArray) -> tuple[str, ...]:
    """Return the names of the leading axes of an array ``(..., band, y, x)``."""
    return tuple(map(str, array.dims[:-_IMAGE_AXES]))


def places(array: xr.DataArray) -> Iterator[Place]:
    """Yield the places of all slices, the last leading axis first."""
    return np.ndindex(*array.shape[:-_IMAGE_AXES])


def slice_at(array: xr.DataArray, place: Place) -> xr.DataArray:
    """Return the slice at a place, ``(band, y, x)``; lazy arrays stay lazy."""
    dims = leading(array)
    if not dims:
        return array
    chosen = array.isel(dict(zip(dims, place, strict=True)))
    return chosen.drop_vars([name for name, coord in array.coords.items() if {*dims} & {*coord.dims}])


def apply_to_slices(array: xr.DataArray, function: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """Apply a function of images ``(band, y, x)`` to every slice; lazy arrays stay lazy.

    What it returns differs between slices in the pixels only.
    """
    dims = leading(array)
    first = function(slice_at(array, (0,) * len(dims)))
    if not dims:
        return first
    shape = (*array.shape[:-_IMAGE_AXES], *first.shape)
    names = (*dims, *map(str, first.dims))
    if not array.variable._in_memory:
        result = lazy.windowed(_Slices(array, function, shape, first.dtype), names)
    elif np.shares_memory(first.data, array.data):  # nothing was computed
        result = xr.DataArray(array.data, dims=names)
    else:
        parts = [function(slice_at(array, place)).data for place in places(array)]
        result = xr.DataArray(np.stack(parts).reshape(shape), dims=names)
    coords = {name: coord for name, coord in array.coords.items() if coord.dims and {*coord.dims} <= {*dims}}
    result = result.assign_coords(first.coords).assign_coords(coords).assign_attrs(first.attrs).rename(array.name)
    result.encoding = dict(first.encoding)
    return result


class _Slices:
    """A lazy stack whose slices are computed from those of another."""

    def __init__(
        self,
        array: xr.DataArray,
        function: Callable[[xr.DataArray], xr.DataArray],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._of = lru_cache(maxsize=_HELD)(lambda place: function(slice_at(array, place)).variable)

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        leading, inside = key[:-_IMAGE_AXES], key[-_IMAGE_AXES:]
        along = [
            [part] if isinstance(part, int | np.integer) else range(*part.indices(size))
            for part, size in zip(leading, self.shape, strict=False)
        ]
        sizes = [len(part) for part, given in zip(along, leading, strict=True) if isinstance(given, slice)]
        chosen: NDArray[np.intp] = np.stack(np.meshgrid(*along, indexing="ij"), -1).reshape(-1, len(along))
        parts = [self._of(tuple(map(int, place)))[inside].to_numpy() for place in chosen]
        return np.stack(parts).reshape(*sizes, *parts[0].shape)
