"""One pass over an image: its value range, missing pixels and checksum, and the check of its pixels.

`provisional` returns what is known of an image before this pass.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

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
    every = max(1, array.size // ranges.LARGEST_SAMPLE) if chosen == "percentiles" else 0
    found, slices = _Found(), list[Slice]()
    for place in stacks.places(array):
        one = _Found()
        sha256 = _scan(stacks.slice_at(array, place), place, (nodata, per_band, every, keep), one, advance)
        slices.append(Slice(sha256, one.least > one.most))
        found.merge(one)
    found.check(nodata, kind)
    stated, name = ranges.choose(chosen, kind, found.least, found.most, found.sample)
    return Image(
        data=array,
        value_range=stated,
        bounds=bounds_of(kind),
        nodata=nodata if found.missing else None,
        sha256=slices[0].sha256 if array.ndim == len(DIMS) else _digest(array, [s.sha256.encode() for s in slices]),
        per_band=per_band,
        quantisation_step=values.quantisation_step(array),
        range_source=name,
        dtype=ranges.result_type(stated, found.least, found.most),
        slices=tuple(slices) if array.ndim > len(DIMS) else (),
    )


def provisional(
    array: xr.DataArray, *, nodata: float | None = None, value_range: ValueRange = None, per_band: bool = False
) -> Image | None:
    """Return the image that `survey` returns, as far as it is known before pixels are read; None where they decide all.

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
    known = ranges.stated(chosen, kind)
    if known is None:
        return None
    stated, name = known
    try:
        dtype = ranges.result_type(stated, *stated)
    except InvalidPixels:  # which `survey` says with the values of the image
        return None
    return Image(
        array, stated, bounds_of(kind), nodata, "", per_band, values.quantisation_step(array), name, dtype
    )  # fmt: skip


def _digest(array: xr.DataArray, parts: Sequence[bytes]) -> str:
    head = f"{array.dtype.newbyteorder('<').str} {array.shape}".encode()
    return hashlib.sha256(head + b"".join(parts)).hexdigest()


def _scan(
    array: xr.DataArray,
    place: stacks.Place,
    look: tuple[float | None, bool, int, Keep | None],
    found: _Found,
    advance: Callable[[float], None] | None,
) -> str:
    """Add what is in an image ``(band, y, x)``, at its place in a stack, to `found`; return its checksum."""
    digests, left = {}, array[0].size
    with closing(lazy.mapped(partial(_look, place, *look), array)) as blocks:
        for block in blocks:
            left -= block.size
            block.check(left == 0, place)
            found.add(block)
            digests[block.at] = block.digest
            if advance is not None:
                advance(len(array) * block.size)
    return _digest(array, [digests[at] for at in sorted(digests)])


def bounds_of(kind: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the least and the largest value of an integer type; None for others."""
    if kind.kind not in "ui":
        return None
    info = np.iinfo(kind)
    return float(info.min), float(info.max)


@dataclass(frozen=True)
class _Block:
    at: tuple[int, int]
    size: int
    digest: bytes
    least: float
    most: float
    missing: bool
    bad: int
    nan: bool
    partial: int
    own: tuple[float, float]
    sample: NDArray[Any] | None

    def check(self, last: bool, place: stacks.Place) -> None:
        """Refuse NaN and infinite values; `last` says whether all were counted, `place` is that in a stack."""
        if self.bad:
            where = f" in the slice {', '.join(map(str, place))}" if place else ""
            raise InvalidPixels(
                f"{'' if last else 'At least '}{self.bad} pixel value(s){where} are "
                f"{'NaN' if self.nan else 'infinite'}. If "
                "they mark missing data, give nodata=float('nan') (or the value that marks it); otherwise "
                "repair the image first."
            )


@dataclass
class _Found:
    """What the blocks have in common.

    `partial` counts pixels with the value of missing ones in some bands that are data nevertheless, and `own` is the
    range of all other values.
    """

    least: float = math.inf
    most: float = -math.inf
    missing: bool = False
    partial: int = 0
    own: tuple[float, float] = (math.inf, -math.inf)
    sample: list[NDArray[Any]] = field(default_factory=list)

    def merge(self, other: _Found) -> None:
        """Add what another slice of a stack has."""
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.missing, self.partial = self.missing or other.missing, self.partial + other.partial
        self.own = min(self.own[0], other.own[0]), max(self.own[1], other.own[1])
        self.sample += other.sample

    def add(self, block: _Block) -> None:
        self.least, self.most = min(self.least, block.least), max(self.most, block.most)
        self.missing, self.partial = self.missing or block.missing, self.partial + block.partial
        self.own = min(self.own[0], block.own[0]), max(self.own[1], block.own[1])
        if block.sample is not None:
            self.sample.append(block.sample)

    def check(self, nodata: float | None, kind: np.dtype[Any]) -> None:
        if self.least > self.most:
            raise InvalidPixels("Every pixel is nodata: there is nothing to sample. Check the value of nodata.")
        low, high = self.own
        if nodata is None or not self.partial or kind == np.uint8 or low > high:
            return
        if not low - (high - low) <= nodata <= high + (high - low):
            raise InvalidPixels(
                f"{self.partial} pixel(s) have the value {nodata:g} of missing pixels in some bands only, far from all "
                f"other values ({low:g} to {high:g}). Make all bands missing there, or use a one-band model, for which "
                "each band has missing pixels of its own."
            )


def _look(
    place: stacks.Place,
    nodata: float | None,
    per_band: bool,
    every: int,
    keep: Keep | None,
    rows: slice,
    columns: slice,
    block: NDArray[Any],
) -> _Block:
    """Compute a block's statistics, and pass it to `keep` if its values are valid."""
    absent = None if nodata is None else is_missing(block, nodata, per_band)
    missing = absent is not None and bool(absent.any())
    valid = block[~absent] if absent is not None and missing else block.reshape(-1)
    wrong = valid[~np.isfinite(valid)] if block.dtype.kind == "f" else valid[:0]
    if keep is not None and not wrong.size:
        keep((*place, slice(None), rows, columns), block)
    partial_pixels, others = 0, valid
    if nodata is not None and absent is not None:
        marked = equals(block, nodata)
        partial_pixels = int((marked & ~absent).any(0).sum())
        others = block[~absent & ~marked] if partial_pixels else valid
    little = block.astype(block.dtype.newbyteorder("<"), copy=False)
    return _Block(
        (rows.start, columns.start), block[0].size, hashlib.sha256(little.data).digest(), *_range(valid), missing,
        wrong.size, bool(np.isnan(wrong).any()), partial_pixels, _range(others), valid[::every] if every else None,
    )  # fmt: skip


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
