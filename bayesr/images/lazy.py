"""Arrays that are read by window: nothing of them is in memory but the part that is asked for."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bayesr.errors import BayesrError, NotAnImage

BLOCK = 1024
"""Side of the blocks that whole images are read in, in pixels."""
_REGION = 2**27
"""Bytes that are read at once where that spares decoding a chunk of the source twice."""


_THREADS = 4

Found = TypeVar("Found")


class Readable(Protocol):
    """An array that can be cut with slices of positive steps and with integers, as a `zarr.Array` can."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, key: Any, /) -> Any: ...


class _Windows(BackendArray):
    """What xarray needs to cut an array lazily; it pickles if the array does."""

    def __init__(self, array: Readable) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        return np.asarray(self.array[key])


def windowed(
    array: Readable, dims: Sequence[str] | None = None, chunks: Sequence[int] | None = None, source: str | None = None
) -> xr.DataArray:
    """A DataArray that reads from `array` what is cut out of it, and keeps nothing.

    Parameters
    ----------
    array : Readable
        A `zarr.Array`, say.
    dims : sequence of str, optional
        The name of every axis.
    chunks : sequence of int, optional
        The size along every axis of what the source decodes at once.
    source : str, optional
        Where it comes from, for messages.
    """
    dims = tuple(dims) if dims is not None else tuple(f"dim_{i}" for i in range(len(array.shape)))
    found = xr.DataArray(_lazily(array), dims=dims)
    if source is not None:
        found.encoding["source"] = source
    if chunks is not None:
        found.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    return found


def through(array: xr.DataArray, reader: Readable) -> xr.DataArray:
    """`array` with all that is known of it, its pixels read from `reader`."""
    return array.copy(data=_lazily(reader))


def _lazily(array: Readable) -> indexing.LazilyIndexedArray:
    return indexing.LazilyIndexedArray(_Windows(array))


class _Ordered:
    """A lazy variable with its axes in another order, and axes of one pixel where it lacks them.

    xarray reads all of a lazy array to add an axis, and looks every row and column up one by one after a transposition.
    """

    def __init__(self, variable: xr.Variable, dims: Sequence[str]) -> None:
        self.variable, self.dims = variable, tuple(dims)
        self.shape = tuple(variable.sizes.get(dim, 1) for dim in dims)
        self.dtype = variable.dtype

    def __getitem__(self, key: Any, /) -> Any:
        slices = [slice(k, k + 1) if isinstance(k, int | np.integer) else k for k in key]
        of = dict(zip(self.dims, slices, strict=True))
        present = [dim for dim in self.dims if dim in self.variable.dims]
        values = self.variable[tuple(of[str(dim)] for dim in self.variable.dims)].to_numpy()
        values = values.transpose([self.variable.dims.index(dim) for dim in present])
        values = values[tuple(slice(None) if dim in present else None for dim in self.dims)]
        lacking = (slice(None) if dim in present else of[dim] for dim in self.dims)
        values = values[tuple(lacking)]
        return values[tuple(slice(None) if isinstance(k, slice) else 0 for k in key)]


class _Computed:
    """A dask array whose parts are computed in this process, whatever cluster there may be.

    Only what is kept in the memory of a cluster is fetched from there.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.scheduler: str | None = "threads"
        if "distributed" in sys.modules:
            kept = sys.modules["distributed"].futures_of(array)
            self.scheduler = None if kept else "threads"

    def __getitem__(self, key: Any, /) -> Any:
        return self.array[key].compute(scheduler=self.scheduler)


def ordered(array: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    """`array` with exactly these axes, in this order, each of which it has or that becomes one of a single pixel."""
    source, chunks = array.encoding.get("source"), array.encoding.get("preferred_chunks", {})
    reader: Readable
    if array.chunks is None and not array.variable._in_memory:
        reader = _Ordered(array.variable, dims)
    else:
        array = array.expand_dims([dim for dim in dims if dim not in array.dims]).transpose(*dims)
        if array.chunks is None:
            return array
        reader, chunks = _Computed(array.data), {dim: max(sizes) for dim, sizes in array.chunksizes.items()}
    found = windowed(reader, dims, [int(chunks.get(dim, 1)) for dim in dims], source)
    return found.assign_coords(array.coords).assign_attrs(array.attrs).rename(array.name)


def pixels(array: xr.DataArray, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[Any]:
    """A window of an array ``(band, y, x)``, in native byte order.

    Raises
    ------
    NotAnImage
        When a file turns out to be damaged there.
    """
    try:
        found = array.variable[:, rows, columns].to_numpy()
    except (BayesrError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        if "source" not in array.encoding:
            raise
        raise unreadable(array.encoding["source"], error) from error
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def unreadable(source: object, error: Exception) -> NotAnImage:
    """The error for a file that an image cannot be made of."""
    return NotAnImage(
        f"{source} cannot be read as an image ({type(error).__name__}: {error}). Is the file whole, and of a "
        "supported format (PNG, JPEG, WebP, TIFF, NetCDF, Zarr)?"
    )


def mapped(
    function: Callable[[slice, slice, NDArray[Any]], Found], array: xr.DataArray
) -> Generator[Found, None, None]:
    """What a function makes of (rows, columns, pixels) of every block of an array ``(band, y, x)``.

    Blocks begin at multiples of `BLOCK`; the last of an axis may be smaller. They are read by several threads, for what
    decodes, checks and writes pixels leaves the interpreter to others, and come in any order.
    """

    def of(rows: slice, columns: slice) -> list[Found]:
        region, found = pixels(array, rows, columns), []
        for top in range(0, region.shape[1], BLOCK):
            for left in range(0, region.shape[2], BLOCK):
                block = np.ascontiguousarray(region[:, top : top + BLOCK, left : left + BLOCK])
                y, x = rows.start + top, columns.start + left
                found.append(function(slice(y, y + block.shape[1]), slice(x, x + block.shape[2]), block))
        return found

    regions = _regions(array)
    first = next(regions)
    held = array.dtype.itemsize * array[:, *first].size
    threads = max(1, min(_THREADS, os.cpu_count() or 1, 2 * _REGION // held))
    with ThreadPoolExecutor(threads, "bayesr-read") as pool:
        waiting = deque([pool.submit(of, *first)])
        try:
            while waiting:
                waiting.extend(pool.submit(of, *region) for region in islice(regions, 2 * threads - len(waiting)))
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _regions(array: xr.DataArray) -> Iterator[tuple[slice, slice]]:
    """Rows and columns that together are the whole array ``(band, y, x)``: what is best read at once.

    Every region begins at a multiple of `BLOCK`. It is a block where chunks of the source divide blocks; else it is
    wider, then higher, so that few chunks are decoded twice, while its memory allows.
    """
    bands, height, width = array.shape
    chunks = array.encoding.get("preferred_chunks", {})
    high, wide = min(int(chunks.get("y", 1)), height), min(int(chunks.get("x", 1)), width)
    of_block, of_chunk = (size * bands * array.dtype.itemsize for size in (BLOCK**2, high * wide))
    most = max(_REGION, 4 * of_chunk) // of_block
    down = 1 if BLOCK % high == 0 else -(-high // BLOCK)
    across = 1 if BLOCK % wide == 0 else max(1, min(-(-width // BLOCK), most // down))
    if BLOCK % high:
        down = max(1, min(-(-4 * high // BLOCK), most // across))
    for top in range(0, height, down * BLOCK):
        for left in range(0, width, across * BLOCK):
            yield slice(top, min(top + down * BLOCK, height)), slice(left, min(left + across * BLOCK, width))
