"""A store: the template first, then whole shards, each marked done after its data."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Mapping
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
from bayesr.product import DIMS, VARIABLES
from bayesr.sampling.job import MASK_MEANS, Arrays
from bayesr.store.places import files
from bayesr.store.values import plain

PROGRESS = "progress"
"""The group beside the product, so that the product holds nothing but the product."""

NEXT = "next"
"""Beside it: the attribute with the members that there will be, and tiles about to replace others."""

_CODEC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=4)
"""As `bayesr bench compression` finds it: the rest is noise, which costs several times the time to make smaller."""

_MASK_MEANS_BITS = 15
"""Of 23: enough for 1e-5 of a deviation that is itself small, and a third less to store."""

# What must be equal for a store to be gone on with.
_IDENTITY = ("model_sha256", "input_sha256", "scale", "n", "masks", "seed", "level", "value_range", "engine")


class Store:
    """A product on disk, or on an object store, that tiles are written into.

    It pickles as its place, and opens itself where it is unpickled.

    Parameters
    ----------
    place : str
        A path or a URL.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._arrays: dict[str, zarr.Array[Any]] = {}  # each read of an array's metadata is a request

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.place,)

    # -- making one ----------------------------------------------------------------------------------

    def begin(self, image: xr.DataArray) -> None:
        """An empty store with room for the image, in place of whatever is there."""
        self.clear()
        try:
            root = zarr.open_group(self.place, mode="a", zarr_format=3)
            bands = image.shape[0]
            root.create_group(PROGRESS).create_array(
                "input", shape=image.shape, dtype=image.dtype, dimension_names=DIMS, compressors=_CODEC,
                chunks=(bands, lazy.BLOCK // 2, lazy.BLOCK // 2), shards=(bands, lazy.BLOCK, lazy.BLOCK),
            )  # fmt: skip
        except OSError as error:
            self.clear()
            raise StoreFailed(f"{self.place} could not be created ({error}); nothing is left behind.") from error

    def keep(self, rows: slice, columns: slice, block: NDArray[Any]) -> None:
        """Copy a block of the image, `band x y x x`."""
        try:
            self.array("input")[:, rows, columns] = block
        except OSError as error:
            raise StoreFailed(f"{self.place} could not be created ({error}); nothing is left behind.") from error

    def declare(self, template: xr.Dataset, metadata: Mapping[str, Any], mask_means: int) -> None:
        """Write the template: every array declared, no data.

        Parameters
        ----------
        template : Dataset
            Backed by dask, never computed.
        papers : mapping
            What is known of the work: ``tile``, the side of a tile in low-resolution pixels; ``nodata``; ``keepbits``.
        mask_means : int
            Maps a band that `MASK_MEANS` has; 0 for none.
        """
        side = int(metadata["tile"]) * int(template.attrs["scale"])
        chunk = side // 2 if side % 2 == 0 else side
        encoding: dict[str, Any] = {}
        for name, variable in template.data_vars.items():
            lead = variable.ndim - 2
            encoding[str(name)] = {
                "chunks": (1,) * lead + (chunk, chunk),
                "shards": (1,) * lead + (side, side),
                "fill_value": np.nan,
                "compressors": (_CODEC,),
            }
        sizes = template.sizes
        shape = (sizes["band"], sizes["y"], sizes["x"])
        grid = tuple(-(-edge // side) for edge in shape[1:])
        names = [*map(str, template.data_vars), *([MASK_MEANS] if mask_means else [])]
        tiles: dict[str, Any] = {"dimension_names": ("tile_y", "tile_x"), "fill_value": 0, "dtype": "uint32"}
        try:
            progress = self.progress
            if mask_means:
                progress.create_array(
                    MASK_MEANS, shape=(mask_means, *shape), chunks=(1, 1, chunk, chunk), fill_value=np.nan,
                    shards=(mask_means, 1, side, side), dtype="float32", dimension_names=("mask", *DIMS),
                    compressors=_CODEC,
                )  # fmt: skip
            progress.create_array("done", shape=grid, chunks=(1, 1), compressors=None, **tiles)
            progress.create_array(
                "checksum", shape=(*grid, len(names)), chunks=(1, 1, len(names)), compressors=None,
                **(tiles | {"dimension_names": ("tile_y", "tile_x", "variable")}),
                attributes={"variables": json.dumps(names)},
            )  # fmt: skip
            template.to_zarr(
                self.root.store, mode="a", compute=False, encoding=encoding, zarr_format=3, consolidated=False
            )
            del self.root  # which knows nothing of what xarray wrote
            progress.attrs.update(metadata)  # last: by these a template is known to be whole
        except OSError as error:
            raise StoreFailed(f"{self.place} could not be created ({error}); nothing is left behind.") from error

    def clear(self) -> None:
        """Remove all that is inside; the directory itself stays, for it may be locked."""
        vars(self).pop("root", None)
        self._arrays.clear()
        system, path = files(self.place)
        if system.exists(path):
            for found in system.ls(path, detail=False):
                system.rm(found, recursive=True)

    def tidy(self) -> None:
        """Remove what processes that were killed left half written: shards are put in place whole."""
        if "://" not in self.place:
            for partial in Path(self.place).rglob("*.partial"):
                partial.unlink(missing_ok=True)

    # -- what it is ----------------------------------------------------------------------------------

    @cached_property
    def root(self) -> zarr.Group:
        """The Zarr group of the product."""
        try:
            return zarr.open_group(self.place, mode="r+", use_consolidated=False)
        except Exception as error:  # zarr raises its own kinds for a group that is not what it should be
            raise StoreFailed(f"{self.place} is no store of bayesr that can be gone on with ({error}).") from error

    @property
    def progress(self) -> zarr.Group:
        """The group beside the product."""
        found = self.root.get(PROGRESS)
        if not isinstance(found, zarr.Group):
            raise StoreFailed(f"{self.place} is no store of bayesr that can be gone on with: it lacks {PROGRESS!r}.")
        return found

    def array(self, name: str) -> zarr.Array[Any]:
        """A variable of the product, or an array of the progress group."""
        if name not in self._arrays:
            group = self.progress if name in (MASK_MEANS, "input", "done", "checksum", NEXT) else self.root
            found = group.get(name)
            if not isinstance(found, zarr.Array):
                raise StoreFailed(f"{self.place} is no whole store of bayesr: it lacks {name!r}.")
            self._arrays[name] = found
        return self._arrays[name]

    @property
    def declared(self) -> bool:
        """Whether the template is written, which comes after the input; not so where making the store was interrupted.

        Raises
        ------
        StoreFailed
            When it is something else than a store of bayesr.
        """
        system, path = files(self.place)
        try:
            names = system.ls(path, detail=False)
        except OSError as error:
            raise StoreFailed(f"There is no store {self.place}: check the path.") from error
        begun = {name.rstrip("/").rpartition("/")[2] for name in names} - {"zarr.json"}
        return bool(begun) and "tile" in self.metadata

    def require(self) -> None:
        """Refuse what has no template, or is no store at all.

        Raises
        ------
        StoreFailed
        """
        if not self.declared:
            raise StoreFailed(f"{self.place} is not begun: finish it with bayesr.sample(..., resume=True).")

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the product."""
        return self.root.attrs.asdict()

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of the work."""
        return self.progress.attrs.asdict()

    @cached_property
    def variables(self) -> list[str]:
        """All that is written of a tile."""
        names: list[str] = json.loads(str(self.array("checksum").attrs["variables"]))
        return names

    def input(self) -> xr.DataArray:
        """The image, lazily."""
        found = self.array("input")
        return lazy.windowed(found, DIMS, found.chunks, self.place)

    def compare(self, attributes: Mapping[str, Any], metadata: Mapping[str, Any], variables: list[str]) -> None:
        """Refuse a store of another model, input or other settings.

        Raises
        ------
        StoreFailed
            It says which differs.
        """
        known = self.attributes | {"variables": sorted(self.variables)} | self.metadata
        asked = {name: attributes[name] for name in _IDENTITY} | dict(metadata) | {"variables": sorted(variables)}
        if NEXT in known:
            raise StoreFailed(f"{self.place} is being extended: finish that with bayesr.extend(store, {known[NEXT]}).")
        for name, new in asked.items():
            if known.get(name) != new:
                raise StoreFailed(
                    f"{self.place} was begun with another {name}: {known.get(name)!r}, not {new!r}. "
                    "Use overwrite=True, or another store."
                )

    # -- tiles ---------------------------------------------------------------------------------------

    def done(self) -> NDArray[np.uint32]:
        """The number of members of every tile, `tile row x tile column`; 0 where it is not done."""
        return np.asarray(self.array("done")[:], np.uint32)

    def finished(self) -> NDArray[np.bool_]:
        """Which tiles are done, `tile row x tile column`: from a list of names, not from as many requests as tiles."""
        found = np.zeros(self.array("done").shape, bool)
        system, path = files(self.place)
        for name in system.find(f"{path}/{self.array('done').path}/c"):
            place = name.split("/")[-2:]
            if all(part.isdecimal() for part in place):  # what a killed process left half written is not
                found[int(place[0]), int(place[1])] = True
        return found

    def is_done(self, tile: Tile, n: int) -> bool:
        """Whether a tile describes `n` members."""
        return int(np.asarray(self.array("done")[self.at(tile)])) == n

    def at(self, tile: Tile) -> tuple[int, int]:
        """Row and column of a tile."""
        return tile.core[0] * self.scale // self.side, tile.core[2] * self.scale // self.side

    @cached_property
    def side(self) -> int:
        """Of a tile and its shards, in high-resolution pixels."""
        return int(self.metadata["tile"]) * self.scale

    @cached_property
    def scale(self) -> int:
        """High-resolution pixels per low-resolution pixel."""
        return int(self.attributes["scale"])

    def read(self, tile: Tile, names: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """Variables on a tile."""
        where = tile.high(self.scale)
        return {name: np.asarray(self.array(name)[(..., *where)], np.float32) for name in names}

    def undo(self, tile: Tile) -> None:
        """Remove a tile: what is damaged could not even be written over where an edge cuts its shards."""
        self.array("done")[self.at(tile)] = 0
        for name in self.variables:
            target = self.array(name)
            shards = [-(-size // shard) for size, shard in zip(target.shape, target.shards or (), strict=True)]
            for lead in np.ndindex(*shards[:-2]):
                self._remove(f"{target.path}/{target.metadata.encode_chunk_key((*lead, *self.at(tile)))}")

    def undo_input(self) -> None:
        """Remove the copy of the image."""
        self._remove(f"{self.array('input').path}/c")

    def _remove(self, inside: str) -> None:
        system, path = files(self.place)
        with suppress(FileNotFoundError):
            system.rm(f"{path}/{inside}", recursive=True)

    def write(self, tile: Tile, arrays: Arrays, n: int) -> None:
        """Write a tile whole, its checksums, and then that it is done.

        Parameters
        ----------
        tile : Tile
        arrays : mapping
            All of `variables`.
        n : int
            Members that they describe.
        """
        try:
            self.finish_tile(tile, arrays, n, self.put_members(tile, arrays, 0, 0))
        except OSError as error:
            raise self.failed(error) from error

    def finish_tile(self, tile: Tile, maps: Arrays, n: int, crc: int) -> None:
        """Write all but the members, whose checksum is `crc`; then the checksums; then that the tile is done."""
        sums, where = [], (..., *self.region(tile))
        for name in self.variables:
            if name == "samples":
                sums.append(crc)
                continue
            values = self._plain(name, maps[name])
            self.array(name)[where] = values
            sums.append(zlib.crc32(values.data))
        self.array("checksum")[self.at(tile)] = np.array(sums, np.uint32)
        self.array("done")[self.at(tile)] = n

    def put_members(self, tile: Tile, arrays: Arrays, first: int, crc: int) -> int:
        """Write members from the first one on, if any; the checksum of all, given that of those before."""
        if "samples" in self.variables:
            target, where = self.array("samples"), self.region(tile)
            for member, value in enumerate(arrays["samples"], first):  # one by one: all may take all memory
                values = self._plain("samples", value)
                target[(member, ..., *where)] = values
                crc = zlib.crc32(values.data, crc)
        return crc

    def region(self, tile: Tile) -> tuple[slice, slice]:
        """Where a tile lies in every variable."""
        where = tile.high(self.scale)
        assert all(part.start % self.side == 0 for part in where), "a task writes whole shards"
        return where

    def _plain(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values as they are stored."""
        kept = {"samples": None, MASK_MEANS: _MASK_MEANS_BITS}
        return plain(values, kept.get(name, self._keepbits))

    @cached_property
    def _keepbits(self) -> int | None:
        bits = self.metadata["keepbits"]
        return None if bits is None else int(bits)

    def damage(self, at: tuple[int, int]) -> dict[str, str]:
        """What of a finished tile is not as it was written: the variable, and why."""
        found = {}
        for name, crc in self.recorded(at).items():
            try:
                if self.crc(name, at) != crc:
                    found[name] = "does not have its recorded checksum"
            except Exception as error:  # codecs raise nearly anything on damaged bytes
                found[name] = f"cannot be read ({type(error).__name__}: {error})"
        return found

    def recorded(self, at: tuple[int, int]) -> dict[str, int]:
        """The checksums that were written with a tile."""
        return dict(zip(self.variables, np.asarray(self.array("checksum")[at]).tolist(), strict=True))

    def crc(self, name: str, at: tuple[int, int]) -> int:
        """The checksum of what is stored of a variable on a tile."""
        target, crc = self.array(name), 0
        rows, columns = (slice(self.side * place, self.side * (place + 1)) for place in at)
        leads = range(target.shape[0]) if name == "samples" else [slice(None)]
        for lead in leads:  # members one by one: they may take as much memory as there is
            crc = zlib.crc32(np.array(target[lead, ..., rows, columns], "<f4", order="C").data, crc)
        return crc

    def failed(self, error: OSError) -> StoreFailed:
        """The error to raise when writing fails."""
        return StoreFailed(
            f"Writing to {self.place} failed ({error}). What was finished stays: mend the cause (free some space) "
            "and call again; sample takes resume=True then."
        )

    def finish(self) -> xr.Dataset:
        """The product, read lazily; metadata consolidated, so that it opens quickly and without warnings."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            zarr.consolidate_metadata(self.root.store)
        ds: xr.Dataset = xr.open_zarr(self.place)
        return ds[[name for name in (*VARIABLES, "samples") if name in ds]]
