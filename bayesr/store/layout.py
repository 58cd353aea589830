"""The layout of a store: a product whose files, shards or chunks, hold one tile each, and the progress group."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from bayesr.grid import Tile
from bayesr.images import lazy
from bayesr.product import DIMS, MASK_MEANS, SAMPLES, VARIABLES, Arrays
from bayesr.product.stacks import SHA256
from bayesr.store import places
from bayesr.store.access import StoredArray, opened, reading
from bayesr.store.groups import NEXT, NEXT_CHECKSUMS, Groups
from bayesr.store.places import PROGRESS, files

SIGNIFICAND_BITS = {4: 23, 8: 52}
"""Explicit bits of a significand, by the bytes of a number."""

_MASK_MEANS_BITS = 15
"""Bits of the significand, of 23. They resolve 1e-5 of a small deviation, and take a third less space."""


def codecs(dtype: np.dtype[Any], *, shards: bool) -> tuple[BloscCodec] | tuple[BloscCodec, Crc32cCodec]:
    """Return the codecs for numbers of a type: compression, and inside shards a checksum that readers verify.

    Compression is the choice of `bayesr bench compression`: much of the data is noise, which stronger codecs compress
    slowly. Stores without shards are for programs that know the most common codecs alone.
    """
    compression = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=dtype.itemsize)
    return (compression, Crc32cCodec()) if shards else (compression,)


def _stated_size(header: bytes) -> int:
    """Return the size of a chunk in bytes, as the header of Blosc states it."""
    return int.from_bytes(header[12:16], "little")


def stored_form(values: NDArray[np.floating], bits: int | None = None) -> NDArray[np.floating]:
    """Return values contiguous, little-endian and rounded, with one kind of NaN; not copied if nothing changes.

    `bits` of the significand are kept, by default all. Rounding is to nearest, ties to even.
    """
    size = values.dtype.itemsize
    stored: NDArray[np.floating] = np.ascontiguousarray(values, f"<f{size}")
    rounding = bits is not None and bits < SIGNIFICAND_BITS[size]
    if rounding or np.isnan(stored.min()):
        stored = np.array(stored)
        if bits is not None and rounding:
            whole, drop = np.dtype(f"<u{size}").type, SIGNIFICAND_BITS[size] - bits
            raw = stored.view(f"<u{size}")
            raw += whole((1 << (drop - 1)) - 1) + ((raw >> whole(drop)) & whole(1))
            raw &= ~whole((1 << drop) - 1)
        stored[np.isnan(stored)] = np.nan
    return stored


class Store(Groups):
    """A product on disk or on an object store, which is written tile by tile.

    It is pickled as its place, a path or a URL, and opens itself where it is unpickled.
    """

    def write_input(self, where: tuple[int | slice, ...], block: NDArray[Any]) -> None:
        """Copy a block of the image, `band x y x x`, into the store, given its index."""
        try:
            self.array("input")[where] = block
        except OSError as error:
            raise self.not_created(error) from error

    @cached_property
    def variables(self) -> list[str]:
        """Names of all arrays written for a tile."""
        with reading(self.place, "The list of variables"):
            names: list[str] = json.loads(self.array("checksum").attrs["variables"])
            known = {*VARIABLES, SAMPLES, MASK_MEANS}
            if not names or len({*names}) != len(names) or not known.issuperset(names) or names == [MASK_MEANS]:
                raise ValueError(f"it holds {names}")
        return names

    def input(self) -> xr.DataArray:
        """Return the copy of the image, read lazily."""
        array = self.array("input")
        return lazy.windowed(array, [*array.dims[: -len(DIMS)], *DIMS], array.chunks, self.place)

    def slices(self) -> list[str]:
        """Return the checksum of each slice of a stack, the last leading axis first; empty for an image."""
        if len(self.array("input").shape) == len(DIMS):
            return []
        return [str(sha256) for sha256 in self.array(SHA256)[:].ravel()]

    # -- tiles ----

    def done(self) -> NDArray[np.uint32]:
        """Return every tile's number of members, `... x tile row x tile column`; 0 where it is not done."""
        return self.array("done")[:].astype(np.uint32, copy=False)

    def finished(self) -> NDArray[np.bool_]:
        """Return which tiles are done, `... x tile row x tile column`.

        Listing the files of ``done`` takes one request, not one for every tile.
        """
        finished = np.zeros(self.array("done").shape, bool)
        system, path = files(self.place)
        for name in system.find(f"{path}/{self.array('done').path}/c"):
            numbers = name.split("/")[-finished.ndim :]
            if all(number.isdecimal() for number in numbers):  # killed processes leave half-written files
                index = tuple(map(int, numbers))
                if all(number < size for number, size in zip(index, finished.shape, strict=True)):
                    finished[index] = True
        return finished

    def members(self, index: tuple[int, ...]) -> int:
        """Return the number of members of a tile; 0 where it is not done."""
        return int(self.array("done")[index])

    def is_done(self, tile: Tile, n: int) -> bool:
        """Whether a tile describes `n` members."""
        return self.members(self.tile_index(tile)) == n

    def tile_index(self, tile: Tile) -> tuple[int, ...]:
        """Return the row and the column of a tile among all tiles, after the place of its slice in a stack."""
        return (*tile.lead, tile.core[0] * self.scale // self.side, tile.core[2] * self.scale // self.side)

    @cached_property
    def side(self) -> int:
        """Side of a tile and of its part of a file, in high-resolution pixels."""
        return int(self.settings["tile"]) * self.scale

    @cached_property
    def scale(self) -> int:
        return self.provenance.scale

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the product's variables, float32 or float64."""
        return self._first_variable.dtype

    @property
    def sharded(self) -> bool:
        """Whether the files of the product are shards."""
        return self._first_variable.sharded

    @property
    def _first_variable(self) -> StoredArray:
        return self.array(next(name for name in self.variables if name != MASK_MEANS))

    def read(self, tile: Tile, names: tuple[str, ...]) -> dict[str, NDArray[np.floating]]:
        where = (*tile.lead, ..., *tile.high(self.scale))
        return {name: self.array(name)[where] for name in names}

    def remove_tile(self, tile: Tile) -> None:
        """Remove a tile: damaged files that the border of the image cuts cannot be overwritten."""
        index = self.tile_index(tile)
        if NEXT in self.metadata:  # first, so that it is never taken for the one that replaces the new tile
            self._remove("/".join([PROGRESS, NEXT_CHECKSUMS, "c", *map(str, index)]))
        self._remove(self.array("done").file(*index))
        for name in self.variables:
            for file in self._files(name, index):
                self._remove(file)
        self._remove(self.array("checksum").file(*index, 0))

    def remove_input(self) -> None:
        self._remove(f"{self.array('input').path}/c")

    def _remove(self, inside: str) -> None:
        places.remove(f"{self.place}/{inside}")

    def write(self, tile: Tile, arrays: Arrays, n: int) -> None:
        """Write `arrays`, all variables of a tile with `n` members, then its checksums, and then mark it done."""
        self.region(tile)
        try:
            crc = self.put_members(tile, arrays, 0, 0)
            stored = self.stored_maps(arrays)
            self.put_maps(tile, stored, n, self.checksums_to_record(stored, crc))
        except OSError as error:
            raise self.failed(error) from error

    def stored_maps(self, maps: Arrays) -> dict[str, NDArray[np.floating]]:
        """Return the maps of a tile as they are stored, in the order of `variables`."""
        return {name: self._to_stored(name, maps[name]) for name in self.variables if name != SAMPLES}

    def checksums_to_record(self, stored: dict[str, NDArray[np.floating]], crc: int) -> list[int]:
        """Return the checksums of a tile in the order of `variables`, given `crc` of its members."""
        return [crc if name == SAMPLES else zlib.crc32(stored[name].data) for name in self.variables]

    def put_maps(self, tile: Tile, stored: dict[str, NDArray[np.floating]], n: int, sums: list[int]) -> None:
        """Write the maps of a tile, which are as they are stored, then the checksums, and then mark it done."""
        where = (*tile.lead, ..., *self.region(tile))
        for name, values in stored.items():
            self.array(name)[where] = values
        self.array("checksum")[self.tile_index(tile)] = np.array(sums, np.uint32)
        self.array("done")[self.tile_index(tile)] = n

    def put_members(self, tile: Tile, arrays: Arrays, first: int, crc: int) -> int:
        """Write members from number `first` on, if any; return the checksum of all, given `crc` of earlier ones."""
        if SAMPLES in self.variables:
            target, where = self.array(SAMPLES), self.region(tile)
            for member, value in enumerate(arrays[SAMPLES], first):  # one by one: all may take all memory
                values = self._to_stored(SAMPLES, value)
                target[(*tile.lead, member, ..., *where)] = values
                crc = zlib.crc32(values.data, crc)
        return crc

    def region(self, tile: Tile) -> tuple[slice, slice]:
        """Return a tile's rows and columns in every variable, in whole files."""
        where = tile.high(self.scale)
        assert all(part.start % self.side == 0 for part in where), "a task writes whole files"
        return where

    def window(self, index: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns of the tile at a place."""
        rows, columns = (slice(self.side * place, self.side * (place + 1)) for place in index[-2:])
        return rows, columns

    def _to_stored(self, name: str, values: NDArray[np.floating]) -> NDArray[np.floating]:
        if name == MASK_MEANS:
            return stored_form(values.astype(np.float32, copy=False), _MASK_MEANS_BITS)
        return stored_form(values, None if name == SAMPLES else self._keepbits)

    @cached_property
    def _keepbits(self) -> int | None:
        bits: int | None = self.settings["keepbits"]
        return bits

    def checksums(self, index: tuple[int, ...]) -> dict[str, int]:
        """Return the checksums written with a tile, by variable."""
        return dict(zip(self.variables, self.array("checksum")[index].tolist(), strict=True))

    def checksum_of(self, name: str, index: tuple[int, ...], members: int) -> int:
        """Return the CRC-32 of a variable's stored values on a tile, of so many members."""
        array, crc = self.array(name), 0
        window = self.window(index)
        parts: list[tuple[int, ...]] = [(member,) for member in range(members)] if name == SAMPLES else [()]
        for part in parts:  # one by one, because all may fill the memory
            values = np.array(array[(*index[:-2], *part, ..., *window)], array.dtype.newbyteorder("<"), order="C")
            crc = zlib.crc32(values.data, crc)
        return crc

    def has_wrong_size(self, name: str, index: tuple[int, ...]) -> bool:
        """Whether a file of a variable on a tile is shorter or longer than its header states.

        Decoders of Blosc do not notice a few missing bytes. In shards, a checksum covers every byte.
        """
        if self.sharded:
            return False
        system, path = files(self.place)
        paths = [f"{path}/{file}" for file in self._files(name, index)]
        present = [file for file in paths if system.exists(file)]
        return any(system.size(file) != _stated_size(system.cat_file(file, 0, 16)) for file in present)

    def _files(self, name: str, index: tuple[int, ...]) -> Iterator[str]:
        """Yield the files of a variable on the tile at a place, whether they exist or not."""
        target, lead = self.array(name), index[:-2]
        counts = [-(-size // part) for size, part in zip(target.shape, target.files, strict=True)]
        for inner in np.ndindex(*counts[len(lead) : -2]):
            yield target.file(*lead, *inner, *index[-2:])

    def finish(self) -> xr.Dataset:
        """Consolidate the metadata, and return the product, read lazily."""
        self.consolidate()
        return self.product()

    def product(self) -> xr.Dataset:
        """Return the product, read lazily."""
        ds = opened(self.place)
        return ds[[name for name in (*VARIABLES, SAMPLES) if name in ds]]
