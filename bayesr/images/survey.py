"""One pass over an image, which checks its pixels and computes value range, missing pixels and checksum.

`provisional` returns what is known of an image before this pass.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import InvalidPixels
from bayesr.images import lazy, limits, ranges, stacks, values
from bayesr.images.axes import DIMS
from bayesr.images.image import Image, Slice
from bayesr.images.nodata import equals, is_missing
from bayesr.images.ranges import ValueRange
from bayesr.images.sources import source

Keep = Callable[[tuple[int | slice, ...], NDArray[Any]], None]
"""Keeps a block of an image, given its index."""


def survey(
    array: xr.DataArray,
    *,
    nodata: float | None = None,
    value_range: ValueRange = None,
    per_band: bool = False,
    keep: Keep | None = None,
    advance: Callable[[float], None] | None = None,
) -> Image:
    """Check an image, and compute value range, missing pixels and checksum, in one pass over its blocks.

    Parameters
    ----------
    array : DataArray
        An image or a stack as returned by `source`. A stack has one value range, and its checksum is that of the
        checksums of its slices.
    nodata, value_range, per_band : optional
        See `read`.
    keep : callable, optional
        Called with (where, block) of every block once, from several threads. Blocks are arrays `band x y x x` of at
        most 1024 pixels a side that begin at multiples of 1024, in the type of `array` and native byte order; `where`
        is their index in `array`.
    advance : callable, optional
        Called with the number of values just read; the sum is ``array.size``.

    Raises
    ------
    NotAnImage, InvalidPixels, InvalidArgument
    """
    chosen = ranges.checked(value_range)
    array, nodata = values.with_nodata(array, nodata)
    kind = values.pixel_type(array)
    sample_step = max(1, array.size // ranges.LARGEST_SAMPLE) if chosen == "percentiles" else 0
    scan = _Scan(nodata, per_band, sample_step, keep, advance)
    whole, slices = _Statistics(), list[Slice]()
    for place in stacks.places(array):
        sha256, statistics = scan.read(stacks.slice_at(array, place), place)
        slices.append(Slice(sha256, statistics.empty))
        whole.merge(statistics)
    whole.check(nodata, kind)
    network_range, range_source = ranges.choose(chosen, kind, *whole.values, whole.sample)
    return Image(
        data=array,
        value_range=network_range,
        bounds=bounds_of(kind),
        nodata=nodata if whole.missing else None,
        sha256=slices[0].sha256 if array.ndim == len(DIMS) else _digest(array, [s.sha256.encode() for s in slices]),
        per_band=per_band,
        quantisation_step=values.quantisation_step(array),
        range_source=range_source,
        dtype=ranges.result_type(network_range, *whole.values),
        slices=tuple(slices) if array.ndim > len(DIMS) else (),
    )


def provisional(
    array: xr.DataArray, *, nodata: float | None = None, value_range: ValueRange = None, per_band: bool = False
) -> Image | None:
    """Return the image that `survey` returns, as far as it is known before pixels are read, or None.

    Windows have the values of the surveyed image. The checksum is empty, and `nodata` is the declared value, also where
    no pixel has it. `dtype` is the type that the value range needs, which pixels far outside of it can change. None is
    returned where the value range depends on the pixels.

    Parameters
    ----------
    array, nodata, value_range, per_band
        See `survey`; `array` is an image, and no stack.

    Raises
    ------
    InvalidArgument
    """
    chosen = ranges.checked(value_range)
    array, nodata = values.with_nodata(array, nodata)
    kind = values.pixel_type(array)
    stated = ranges.stated(chosen, kind)
    if stated is None:
        return None
    network_range, range_source = stated
    try:
        dtype = ranges.result_type(network_range, *network_range)
    except InvalidPixels:  # `survey` raises this error, with the values of the image
        return None
    step = values.quantisation_step(array)
    return Image(array, network_range, bounds_of(kind), nodata, "", per_band, step, range_source, dtype)


def _digest(array: xr.DataArray, parts: Sequence[bytes]) -> str:
    head = f"{array.dtype.newbyteorder('<').str} {array.shape}".encode()
    return hashlib.sha256(head + b"".join(parts)).hexdigest()


def bounds_of(kind: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the least and the largest value of an integer type; None for others."""
    if kind.kind not in "ui":
        return None
    info = np.iinfo(kind)
    return float(info.min), float(info.max)


@dataclass
class _Statistics:
    """Statistics of the pixels of a block, of a slice or of a whole stack.

    Attributes
    ----------
    values : (float, float)
        Range of the pixels that are not missing; (inf, -inf) if all are.
    missing : bool
        Whether pixels are missing.
    ambiguous : int
        Number of pixels that have the value of missing ones in some bands, but are data.
    others : (float, float)
        Range of all values but that of missing pixels.
    sample : list of ndarray
        Evenly spaced values, for percentiles.
    """

    values: tuple[float, float] = (math.inf, -math.inf)
    missing: bool = False
    ambiguous: int = 0
    others: tuple[float, float] = (math.inf, -math.inf)
    sample: list[NDArray[Any]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether all pixels are missing."""
        return self.values[0] > self.values[1]

    def merge(self, other: _Statistics) -> None:
        """Include the statistics of further pixels."""
        self.values = min(self.values[0], other.values[0]), max(self.values[1], other.values[1])
        self.missing, self.ambiguous = self.missing or other.missing, self.ambiguous + other.ambiguous
        self.others = min(self.others[0], other.others[0]), max(self.others[1], other.others[1])
        self.sample += other.sample

    def check(self, nodata: float | None, kind: np.dtype[Any]) -> None:
        """Refuse an image without data, and one where single bands have an unlikely value of missing pixels."""
        if self.empty:
            raise InvalidPixels("Every pixel is nodata: there is nothing to sample. Check the value of nodata.")
        low, high = self.others
        if nodata is None or not self.ambiguous or kind == np.uint8 or low > high:
            return
        if not low - (high - low) <= nodata <= high + (high - low):
            raise InvalidPixels(
                f"{self.ambiguous} pixel(s) have the value {nodata:g} of missing pixels in some bands only, far from "
                f"all other values ({low:g} to {high:g}). Make all bands missing there, or use a one-band model, for "
                "which each band has missing pixels of its own."
            )


class _Block(NamedTuple):
    """The position, number of pixels, checksum and statistics of a block, and its number of invalid values."""

    position: tuple[int, int]
    size: int
    digest: bytes
    statistics: _Statistics
    invalid: int
    has_nan: bool

    def check(self, last: bool, place: stacks.Place) -> None:
        """Refuse NaN and infinite values of the slice at a place; `last` says whether this is its last block."""
        if self.invalid:
            where = f" in the slice {', '.join(map(str, place))}" if place else ""
            raise InvalidPixels(
                f"{'' if last else 'At least '}{self.invalid} pixel value(s){where} are "
                f"{'NaN' if self.has_nan else 'infinite'}. If they mark missing data, give nodata=float('nan') (or the "
                "value that marks it); otherwise repair the image first."
            )


@dataclass(frozen=True)
class _Scan:
    """A pass over the slices of an image or a stack, with the arguments of `survey`.

    `sample_step` is the distance of the values in the sample for percentiles; 0 for no sample.
    """

    nodata: float | None
    per_band: bool
    sample_step: int
    keep: Keep | None
    advance: Callable[[float], None] | None

    def read(self, array: xr.DataArray, place: stacks.Place) -> tuple[str, _Statistics]:
        """Return the checksum and the statistics of the slice ``(band, y, x)`` at a place."""
        statistics, digests, remaining = _Statistics(), {}, array[0].size
        with closing(lazy.map_blocks(partial(self._measure, place), array)) as blocks:
            for block in blocks:
                remaining -= block.size
                block.check(remaining == 0, place)
                statistics.merge(block.statistics)
                digests[block.position] = block.digest
                if self.advance is not None:
                    self.advance(len(array) * block.size)
        return _digest(array, [digests[position] for position in sorted(digests)]), statistics

    def _measure(self, place: stacks.Place, rows: slice, columns: slice, pixels: NDArray[Any]) -> _Block:
        """Measure a block, and pass it to `keep` if its values are valid."""
        absent = None if self.nodata is None else is_missing(pixels, self.nodata, self.per_band)
        missing = absent is not None and bool(absent.any())
        data = pixels[~absent] if absent is not None and missing else pixels.reshape(-1)
        invalid = data[~np.isfinite(data)] if pixels.dtype.kind == "f" else data[:0]
        if self.keep is not None and not invalid.size:
            self.keep((*place, slice(None), rows, columns), pixels)
        ambiguous, others = 0, data
        if self.nodata is not None and absent is not None:
            marked = equals(pixels, self.nodata)
            ambiguous = int((marked & ~absent).any(0).sum())
            others = pixels[~absent & ~marked] if ambiguous else data
        sample = [data[:: self.sample_step]] if self.sample_step else []
        statistics = _Statistics(_range(data), missing, ambiguous, _range(others), sample)
        little_endian = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        digest = hashlib.sha256(little_endian.data).digest()
        has_nan = bool(np.isnan(invalid).any())
        return _Block((rows.start, columns.start), pixels[0].size, digest, statistics, invalid.size, has_nan)


def _range(values: NDArray[Any]) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if values.size else (math.inf, -math.inf)


def read(
    img: Any,
    *,
    dims: Sequence[str] | None = None,
    nodata: float | None = None,
    value_range: ValueRange = None,
    per_band: bool = False,
) -> Image:
    """Read an image into memory and check it.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        See `bayesr.sample`.
    dims : sequence of str, optional
        See `source`.
    nodata : float, optional
        The value of missing pixels as stored, possibly NaN, beside masks and alpha channels. By default the one that
        the source declares. Missing pixels stay missing.
    value_range : tuple of float or str, optional
        The values that become 0 and 1 in network units, or where they come from: see `bayesr.images.ranges`.
    per_band : bool
        Whether each band has missing pixels of its own, see `bayesr.images.nodata.is_missing`.

    Raises
    ------
    ImageNotFound, NotAnImage, AmbiguousDimensions, InvalidPixels, InvalidArgument
    """
    array = loaded(source(img, dims))
    return survey(array, nodata=nodata, value_range=value_range, per_band=per_band)


def loaded(array: xr.DataArray) -> xr.DataArray:
    """Load an array from `source` into memory.

    Raises
    ------
    TooLarge
        If it takes more than the memory that is free.
    NotAnImage
        If the file turns out to be damaged.
    """
    limits.check_memory(array)
    return array.copy(data=lazy.pixels(array))
