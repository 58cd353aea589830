"""Arrays read by window: only the requested part is in memory."""

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
from bayesr.images.quiet import quiet

BLOCK = 1024
"""Side in pixels of the blocks in which whole images are read."""
_REGION = 2**27
"""Most bytes to read at once so that no chunk is decoded twice."""
_LARGE_REGION = 2**30
"""Most bytes to read at once where chunks are large."""
_THREADS = 4
"""Most threads that read."""

Result = TypeVar("Result")
PixelFunction = Callable[[NDArray[Any], slice, slice], NDArray[Any]]
"""Computes pixels `band x y x x` from others, given their rows and columns."""


class Readable(Protocol):
    """An array to index with integers and slices of positive step, such as a `zarr.Array`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, key: Any, /) -> Any: ...


class _Windows(BackendArray):
    """An adapter for xarray's lazy indexing; it can be pickled if the array can."""

    def __init__(self, array: Readable) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        with quiet():
            return np.asarray(self.array[key])


def windowed(
    array: Readable, dims: Sequence[str] | None = None, chunks: Sequence[int] | None = None, source: str | None = None
) -> xr.DataArray:
    """Return a DataArray that reads selections from `array` and caches nothing.

    Parameters
    ----------
    array : Readable
        For example a `zarr.Array`.
    dims : sequence of str, optional
        The name of every axis.
    chunks : sequence of int, optional
        The size along every axis of the chunks that the source decodes at once.
    source : str, optional
        The array's origin, for messages.
    """
    dims = tuple(dims) if dims is not None else tuple(f"dim_{i}" for i in range(len(array.shape)))
    lazy = xr.DataArray(_lazily(array), dims=dims)
    if source is not None:
        lazy.encoding["source"] = source
    if chunks is not None:
        lazy.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    return lazy


def with_reader(array: xr.DataArray, reader: Readable) -> xr.DataArray:
    """Return `array` with its pixels read from `reader`."""
    return array.copy(data=_lazily(reader))


def _lazily(array: Readable) -> indexing.LazilyIndexedArray:
    return indexing.LazilyIndexedArray(_Windows(array))


class _Elementwise:
    def __init__(self, variable: xr.Variable, function: Callable[..., Any], dtype: np.dtype[Any]) -> None:
        self.variable, self.function, self.shape, self.dtype = variable, function, variable.shape, dtype

    def __getitem__(self, key: Any, /) -> Any:
        return self.function(self.variable[key].to_numpy())


def elementwise(array: xr.DataArray, function: Callable[..., Any], dtype: np.dtype[Any]) -> xr.DataArray:
    """Apply a function to every pixel; lazy arrays stay lazy. The function can be pickled, and returns `dtype`."""
    return with_reader(array, _Elementwise(array.variable, function, dtype))


class _Computed:
    """Pixels that are computed from those of a lazy variable ``(band, y, x)``, window by window."""

    def __init__(self, variable: xr.Variable, function: PixelFunction, bands: int, dtype: np.dtype[Any]) -> None:
        self.variable, self.function, self.dtype = variable, function, dtype
        self.shape = (bands, *variable.shape[1:])

    def __getitem__(self, key: Any, /) -> Any:
        band, *window = key
        rows, columns = (slice(k, k + 1) if isinstance(k, int | np.integer) else k for k in window)
        values = self.function(self.variable[:, rows, columns].to_numpy(), rows, columns)
        return values[(band, *(0 if isinstance(k, int | np.integer) else slice(None) for k in window))]


def computed(array: xr.DataArray, function: PixelFunction, bands: int, dtype: np.dtype[Any]) -> xr.DataArray:
    """Apply a function to all bands of every window of an array ``(band, y, x)``; lazy arrays stay lazy.

    Parameters
    ----------
    array : DataArray
    function : callable
        Takes pixels `band x y x x` and the rows and columns that they were read from, and returns pixels of as many
        rows and columns, which depend on no other pixel. It can be pickled.
    bands : int
        Number of bands that the function returns.
    dtype : dtype
        The type that it returns.
    """
    whole = (slice(None), slice(None))
    data = (
        function(array.to_numpy(), *whole)
        if array.variable._in_memory
        else _lazily(_Computed(array.variable, function, bands, dtype))
    )
    if bands != array.sizes["band"]:
        array = array.drop_vars([name for name, coord in array.coords.items() if "band" in coord.dims])
    result = xr.DataArray(data, array.coords, array.dims, array.name, array.attrs)
    result.encoding = dict(array.encoding)
    return result


class _Ordered:
    """A lazy variable with reordered axes, and with axes of one pixel for those that it lacks.

    xarray reads a whole lazy array to add an axis, and reads row by row and column by column after a transposition.
    """

    def __init__(self, variable: xr.Variable, dims: Sequence[str]) -> None:
        self.variable, self.dims = variable, tuple(dims)
        self.shape = tuple(variable.sizes.get(dim, 1) for dim in dims)
        self.dtype = variable.dtype

    def __getitem__(self, key: Any, /) -> Any:
        slices = [slice(k, k + 1) if isinstance(k, int | np.integer) else k for k in key]
        by_dim = dict(zip(self.dims, slices, strict=True))
        present = [dim for dim in self.dims if dim in self.variable.dims]
        values = self.variable[tuple(by_dim[str(dim)] for dim in self.variable.dims)].to_numpy()
        values = values.transpose([self.variable.dims.index(dim) for dim in present])
        values = values[tuple(slice(None) if dim in present else None for dim in self.dims)]
        lacking = (slice(None) if dim in present else by_dim[dim] for dim in self.dims)
        values = values[tuple(lacking)]
        return values[tuple(slice(None) if isinstance(k, slice) else 0 for k in key)]


class _DaskParts:
    """A dask array whose parts are computed in this process, even if the user has a cluster.

    Only arrays persisted in a cluster's memory are fetched from it.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.scheduler: str | None = "threads"
        if "distributed" in sys.modules:
            persisted = sys.modules["distributed"].futures_of(array)
            self.scheduler = None if persisted else "threads"

    def __getitem__(self, key: Any, /) -> Any:
        return self.array[key].compute(scheduler=self.scheduler)


def with_axis_order(array: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    """Return `array` with these axes in this order; lacking ones are added with one pixel."""
    encoding, chunks = dict(array.encoding), array.encoding.get("preferred_chunks", {})
    reader: Readable
    if array.chunks is None and not array.variable._in_memory:
        reader = _Ordered(array.variable, dims)
    else:
        array = array.expand_dims([dim for dim in dims if dim not in array.dims]).transpose(*dims)
        if array.chunks is None:
            array.encoding = encoding
            return array
        reader, chunks = _DaskParts(array.data), {dim: max(sizes) for dim, sizes in array.chunksizes.items()}
    lazy = windowed(reader, dims, [int(chunks.get(dim, 1)) for dim in dims])
    lazy = lazy.assign_coords(array.coords).assign_attrs(array.attrs).rename(array.name)
    lazy.encoding = encoding | lazy.encoding
    return lazy


def pixels(array: xr.DataArray, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[Any]:
    """Read a window of an array ``(..., band, y, x)``, in native byte order.

    Raises
    ------
    NotAnImage
        If the file turns out to be damaged there.
    """
    try:
        values = array.variable[..., rows, columns].to_numpy()
    except (BayesrError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        if "source" not in array.encoding:
            raise
        raise unreadable(array.encoding["source"], error) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def unreadable(source: object, error: Exception) -> NotAnImage:
    """Return the error for a file that is no readable image."""
    return NotAnImage(
        f"{source} cannot be read as an image ({type(error).__name__}: {error}). Check that the file is whole and of "
        "a supported format (PNG, JPEG, WebP, TIFF, NetCDF, Zarr)."
    )


def map_blocks(
    function: Callable[[slice, slice, NDArray[Any]], Result], array: xr.DataArray
) -> Generator[Result, None, None]:
    """Apply a function to (rows, columns, pixels) of every block of an array ``(band, y, x)``, and yield the results.

    Blocks begin at multiples of `BLOCK`; the last one along an axis may be smaller. Several threads read them, because
    decoding, checking and writing pixels releases the interpreter. They come in any order.
    """

    def apply(rows: slice, columns: slice) -> list[Result]:
        region, results = pixels(array, rows, columns), []
        for top in range(0, region.shape[1], BLOCK):
            for left in range(0, region.shape[2], BLOCK):
                block = np.ascontiguousarray(region[:, top : top + BLOCK, left : left + BLOCK])
                y, x = rows.start + top, columns.start + left
                results.append(function(slice(y, y + block.shape[1]), slice(x, x + block.shape[2]), block))
        return results

    regions = _regions(array)
    first = next(regions)
    region_bytes = array.dtype.itemsize * array[:, *first].size
    threads = max(1, min(_THREADS, os.cpu_count() or 1, 2 * _REGION // region_bytes))
    with ThreadPoolExecutor(threads, "bayesr-read") as pool:
        waiting = deque([pool.submit(apply, *first)])
        try:
            while waiting:
                waiting.extend(pool.submit(apply, *region) for region in islice(regions, 2 * threads - len(waiting)))
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _regions(array: xr.DataArray) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of regions that cover an array ``(band, y, x)`` and are efficient to read at once.

    Every region begins at a multiple of `BLOCK`. It is one block if the source's chunks divide blocks. Otherwise it
    grows in width, then in height, within a limit of memory, so that few chunks are decoded twice.
    """
    bands, height, width = array.shape
    chunks = array.encoding.get("preferred_chunks", {})
    high, wide = min(int(chunks.get("y", 1)), height), min(int(chunks.get("x", 1)), width)
    block_bytes, chunk_bytes = (size * bands * array.dtype.itemsize for size in (BLOCK**2, high * wide))
    most = max(_REGION, min(4 * chunk_bytes, _LARGE_REGION)) // block_bytes
    down = 1 if BLOCK % high == 0 else -(-high // BLOCK)
    across = 1 if BLOCK % wide == 0 else max(1, min(-(-width // BLOCK), most // down))
    if BLOCK % high:
        down = max(1, min(-(-4 * high // BLOCK), most // across))
    for top in range(0, height, down * BLOCK):
        for left in range(0, width, across * BLOCK):
            yield slice(top, min(top + down * BLOCK, height)), slice(left, min(left + across * BLOCK, width))
