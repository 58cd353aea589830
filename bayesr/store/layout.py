"""The layout of a store: a product in whole shards, and the group beside it."""

from __future__ import annotations

import json
import warnings
import zlib
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from bayesr.errors import StoreFailed
from bayesr.grid import Tile
from bayesr.images import lazy
from bayesr.product import DIMS, MASK_MEANS, SAMPLES, VARIABLES, Arrays
from bayesr.store.places import files
from bayesr.store.values import plain

PROGRESS = "progress"
"""The group beside the product, which holds everything else."""

NEXT = "next"
"""In that group: the attribute with the number of members in the end, and the array of tiles that replace others."""

_MASK_MEANS_BITS = 15
"""Of 23: they keep 1e-5 of a deviation that is itself small, and take a third less space."""


def codec(dtype: np.dtype[Any]) -> BloscCodec:
    """Return the codec for numbers of a type.

    It is the choice of `bayesr bench compression`: much of the data is noise, which stronger codecs compress slowly.
    """
    return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=dtype.itemsize)


class Store:
    """A product on disk or on an object store, which is written tile by tile.

    It is pickled as its place, a path or a URL, and opens itself where it is unpickled.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._arrays: dict[str, zarr.Array[Any]] = {}  # each read of an array's metadata is a request

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.place,)

    def keep(self, rows: slice, columns: slice, block: NDArray[Any]) -> None:
        """Copy a block of the image, `band x y x x`, into the store."""
        try:
            self.array("input")[:, rows, columns] = block
        except OSError as error:
            raise self.not_created(error) from error

    def clear(self) -> None:
        """Remove everything inside; the directory stays, because it may be locked."""
        vars(self).pop("root", None)
        self._arrays.clear()
        system, path = files(self.place)
        if system.exists(path):
            for found in system.ls(path, detail=False):
                system.rm(found, recursive=True)

    def tidy(self) -> None:
        """Remove partial files of killed processes; finished shards are moved into place whole."""
        if "://" not in self.place:
            for partial in Path(self.place).rglob("*.partial"):
                partial.unlink(missing_ok=True)

    @cached_property
    def root(self) -> zarr.Group:
        try:
            return zarr.open_group(self.place, mode="r+", use_consolidated=False)
        except Exception as error:  # zarr raises its own kinds for unsuitable groups
            raise StoreFailed(f"{self.place} is no store of bayesr that can be continued ({error}).") from error

    @property
    def progress(self) -> zarr.Group:
        found = self.root.get(PROGRESS)
        if not isinstance(found, zarr.Group):
            raise StoreFailed(f"{self.place} is no store of bayesr that can be continued: it lacks {PROGRESS!r}.")
        return found

    def array(self, name: str) -> zarr.Array[Any]:
        """Return a variable, or an array of the group beside the product."""
        if name not in self._arrays:
            group = self.progress if name in (MASK_MEANS, "input", "done", "checksum", NEXT) else self.root
            found = group.get(name)
            if not isinstance(found, zarr.Array):
                raise StoreFailed(f"{self.place} is no whole store of bayesr: it lacks {name!r}.")
            self._arrays[name] = found
        return self._arrays[name]

    @property
    def declared(self) -> bool:
        """Whether the template is complete; it is not if creating the store was interrupted.

        Raises
        ------
        StoreFailed
            When there is no store of bayesr.
        """
        system, path = files(self.place)
        try:
            names = system.ls(path, detail=False)
        except OSError as error:
            raise StoreFailed(f"There is no store {self.place}: check the path.") from error
        begun = {name.rstrip("/").rpartition("/")[2] for name in names} - {"zarr.json"}
        return bool(begun) and "tile" in self.metadata

    def require(self) -> None:
        """Check that there is a store with a template.

        Raises
        ------
        StoreFailed
            When there is none.
        """
        if not self.declared:
            raise StoreFailed(f"{self.place} is not complete: finish it with bayesr.sample(..., resume=True).")

    @property
    def attributes(self) -> dict[str, Any]:
        return self.root.attrs.asdict()

    @property
    def metadata(self) -> dict[str, Any]:
        """Attributes of the group beside the product: ``tile``, ``nodata``, ``keepbits``."""
        return self.progress.attrs.asdict()

    @cached_property
    def variables(self) -> list[str]:
        """Names of all arrays written for a tile."""
        names: list[str] = json.loads(str(self.array("checksum").attrs["variables"]))
        return names

    def input(self) -> xr.DataArray:
        """Return the copy of the image, read lazily."""
        found = self.array("input")
        return lazy.windowed(found, DIMS, found.chunks, self.place)

    # -- tiles ----

    def done(self) -> NDArray[np.uint32]:
        """Return every tile's number of members, `tile row x tile column`; 0 where it is not done."""
        return np.asarray(self.array("done")[:], np.uint32)

    def finished(self) -> NDArray[np.bool_]:
        """Return which tiles are done, `tile row x tile column`.

        Listing the files of ``done`` takes one request, not one for every tile.
        """
        found = np.zeros(self.array("done").shape, bool)
        system, path = files(self.place)
        for name in system.find(f"{path}/{self.array('done').path}/c"):
            place = name.split("/")[-2:]
            if all(part.isdecimal() for part in place):  # killed processes leave half-written files
                found[int(place[0]), int(place[1])] = True
        return found

    def is_done(self, tile: Tile, n: int) -> bool:
        """Whether a tile describes `n` members."""
        return int(np.asarray(self.array("done")[self.at(tile)])) == n

    def at(self, tile: Tile) -> tuple[int, int]:
        """Return a tile's row and column among all tiles."""
        return tile.core[0] * self.scale // self.side, tile.core[2] * self.scale // self.side

    @cached_property
    def side(self) -> int:
        """Side of a tile and its shards, in high-resolution pixels."""
        return int(self.metadata["tile"]) * self.scale

    @cached_property
    def scale(self) -> int:
        return int(self.attributes["scale"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the product's variables, float32 or float64."""
        found: np.dtype[Any] = self.array(next(name for name in self.variables if name != MASK_MEANS)).dtype
        return found

    def read(self, tile: Tile, names: tuple[str, ...]) -> dict[str, NDArray[np.floating]]:
        where = tile.high(self.scale)
        return {name: np.asarray(self.array(name)[(..., *where)]) for name in names}

    def undo(self, tile: Tile) -> None:
        """Remove a tile, since damaged shards that the image's border cuts cannot be overwritten."""
        self.array("done")[self.at(tile)] = 0
        for name in self.variables:
            target = self.array(name)
            shards = [-(-size // shard) for size, shard in zip(target.shape, target.shards or (), strict=True)]
            for lead in np.ndindex(*shards[:-2]):
                self._remove(f"{target.path}/{target.metadata.encode_chunk_key((*lead, *self.at(tile)))}")

    def undo_input(self) -> None:
        self._remove(f"{self.array('input').path}/c")

    def _remove(self, inside: str) -> None:
        system, path = files(self.place)
        with suppress(FileNotFoundError):
            system.rm(f"{path}/{inside}", recursive=True)

    def write(self, tile: Tile, arrays: Arrays, n: int) -> None:
        """Write `arrays`, all variables of a tile with `n` members, then its checksums, and then mark it done."""
        try:
            self.finish_tile(tile, arrays, n, self.put_members(tile, arrays, 0, 0))
        except OSError as error:
            raise self.failed(error) from error

    def finish_tile(self, tile: Tile, maps: Arrays, n: int, crc: int) -> None:
        """Write a tile's maps, then the checksums (`crc` for the members), and then mark it done."""
        sums, where = [], (..., *self.region(tile))
        for name in self.variables:
            if name == SAMPLES:
                sums.append(crc)
                continue
            values = self._plain(name, maps[name])
            self.array(name)[where] = values
            sums.append(zlib.crc32(values.data))
        self.array("checksum")[self.at(tile)] = np.array(sums, np.uint32)
        self.array("done")[self.at(tile)] = n

    def put_members(self, tile: Tile, arrays: Arrays, first: int, crc: int) -> int:
        """Write members from number `first` on, if any; return the checksum of all, given `crc` of earlier ones."""
        if SAMPLES in self.variables:
            target, where = self.array(SAMPLES), self.region(tile)
            for member, value in enumerate(arrays[SAMPLES], first):  # one by one: all may take all memory
                values = self._plain(SAMPLES, value)
                target[(member, ..., *where)] = values
                crc = zlib.crc32(values.data, crc)
        return crc

    def region(self, tile: Tile) -> tuple[slice, slice]:
        """Return a tile's rows and columns in every variable."""
        where = tile.high(self.scale)
        assert all(part.start % self.side == 0 for part in where), "a task writes whole shards"
        return where

    def _plain(self, name: str, values: NDArray[np.floating]) -> NDArray[np.floating]:
        if name == MASK_MEANS:
            return plain(values.astype(np.float32, copy=False), _MASK_MEANS_BITS)
        return plain(values, None if name == SAMPLES else self._keepbits)

    @cached_property
    def _keepbits(self) -> int | None:
        bits = self.metadata["keepbits"]
        return None if bits is None else int(bits)

    def checksums(self, at: tuple[int, int]) -> dict[str, int]:
        """Return the checksums written with a tile, by variable."""
        return dict(zip(self.variables, np.asarray(self.array("checksum")[at]).tolist(), strict=True))

    def failed(self, error: OSError) -> StoreFailed:
        """Return the error for a tile that cannot be written."""
        return StoreFailed(
            f"Writing to {self.place} failed ({error}). What was finished stays: mend the cause (free some space) "
            "and call again; sample takes resume=True then."
        )

    def not_created(self, error: OSError) -> StoreFailed:
        """Return the error for a store that cannot be created."""
        return StoreFailed(f"{self.place} could not be created ({error}); nothing is left behind.")

    def finish(self) -> xr.Dataset:
        """Consolidate the metadata, and return the product, read lazily."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Zarr v3 does not specify consolidation yet
            zarr.consolidate_metadata(self.root.store)
        ds: xr.Dataset = xr.open_zarr(self.place)
        return ds[[name for name in (*VARIABLES, SAMPLES) if name in ds]]
