"""Products as sharded zarr: the template first, then whole shards, each marked done after its data.

A tile is one shard of every variable, so no two writers ever share a shard.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument, StoreExists, StoreFailed
from bayesr.grid import Tile
from bayesr.product import VARIABLES

_PROGRESS = "progress"  # a group of its own, so that the product holds nothing but the product

# What must be equal for a store to be gone on with.
_IDENTITY = ("model_sha256", "input_sha256", "scale", "n", "masks", "seed", "level", "value_range", "engine")


def check(path: Path, needed: int, *, overwrite: bool, resume: bool) -> None:
    """Refuse, before any work, a place where the product could not be written.

    Raises
    ------
    StoreExists
        When something is there, and neither `overwrite` nor `resume` was asked for.
    StoreFailed
        When there is no room, or something is there that is no Zarr store.
    """
    if overwrite and resume:
        raise InvalidArgument("overwrite and resume contradict each other: choose one.")
    if path.exists():
        ours = path.is_dir() and ((path / "zarr.json").exists() or not any(path.iterdir()))
        if not (overwrite or resume):
            raise StoreExists(f"{path} is already there: choose another store, overwrite=True, or resume=True.")
        if not ours:
            raise StoreFailed(f"{path} is no Zarr store, so bayesr does not touch it: choose another name.")
    elif resume:
        raise StoreFailed(f"There is no store {path} to resume: leave resume out.")
    parent = next(p for p in path.absolute().parents if p.exists())
    try:
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise StoreFailed(f"{parent} cannot be written to: {error}.") from error
    if not resume and free < needed:
        raise StoreFailed(
            f"The product takes up to {needed / 2**20:,.0f} MiB and only {free / 2**20:,.0f} MiB are free in {parent}: "
            "free some space, choose another place, a smaller n, or keep_samples=False."
        )


class Store:
    """A product on disk that tiles are written into."""

    def __init__(self, path: Path, root: zarr.Group) -> None:
        self.path, self._root = path, root
        done = root[f"{_PROGRESS}/done"]
        assert isinstance(done, zarr.Array)
        self._done: zarr.Array[Any] = done

    @classmethod
    def create(cls, path: Path, template: xr.Dataset, tile: int, size: tuple[int, int], overwrite: bool) -> Store:
        """Write the template: every array declared, no data.

        Parameters
        ----------
        path : Path
        template : Dataset
            Backed by dask, never computed.
        tile : int
            Side of a tile, in high-resolution pixels; shards are as large, chunks half of it.
        size : tuple of int
            Height and width, in high-resolution pixels.
        overwrite : bool
            Replace a store that is there.
        """
        chunk = tile // 2 if tile % 2 == 0 else tile
        encoding: dict[str, Any] = {}
        for name, variable in template.data_vars.items():
            lead = variable.ndim - 2
            encoding[str(name)] = {
                "chunks": (1,) * lead + (chunk, chunk),
                "shards": (1,) * lead + (tile, tile),
                "fill_value": np.nan,
            }
        try:
            template.to_zarr(
                path, mode="w" if overwrite else "w-", compute=False, encoding=encoding, zarr_format=3,
                consolidated=False,
            )  # fmt: skip
            root = zarr.open_group(path, mode="r+")
            grid = tuple(-(-edge // tile) for edge in size)
            progress = root.create_group(_PROGRESS)
            progress.create_array("done", shape=grid, chunks=grid, dtype="uint8", fill_value=0)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise StoreFailed(f"{path} could not be created ({error}); nothing is left behind.") from error
        return cls(path, root)

    @classmethod
    def resume(cls, path: Path, attributes: Mapping[str, Any]) -> Store:
        """Go on with a store of the same model, input and settings."""
        try:
            store = cls(path, zarr.open_group(path, mode="r+"))
        except Exception as error:  # zarr raises its own kinds for a group that is not what it should be
            raise StoreFailed(f"{path} is no store of bayesr that can be resumed ({error}).") from error
        for name in _IDENTITY:
            old, new = store._root.attrs.get(name), attributes[name]
            if old != new:
                raise StoreFailed(f"{path} was begun with another {name}: {old!r}, not {new!r}. Use overwrite=True.")
        return store

    def is_done(self, tile: Tile, size: int) -> bool:
        """Whether the tile was written; `size` is the tiles' side in low-resolution pixels."""
        return bool(np.asarray(self._done[tile.core[0] // size, tile.core[2] // size]))

    def write(self, tile: Tile, size: int, scale: int, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Write one tile of every variable, then mark it done."""
        where = tile.high(scale)
        try:
            for name, values in arrays.items():
                target = self._root[name]
                assert isinstance(target, zarr.Array)
                side = target.shards[-1] if target.shards else 0
                assert all(part.start % side == 0 for part in where), "a task writes whole shards"
                target[(..., *where)] = values
            self._done[tile.core[0] // size, tile.core[2] // size] = 1
        except OSError as error:
            raise StoreFailed(
                f"Writing to {self.path} failed ({error}). What was finished stays: mend the cause (free some space) "
                "and call again with resume=True."
            ) from error

    def finish(self) -> xr.Dataset:
        """The product, read lazily; metadata consolidated, so that it opens quickly and without warnings."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            zarr.consolidate_metadata(self._root.store)
        ds: xr.Dataset = xr.open_zarr(self.path)
        return ds[[name for name in (*VARIABLES, "samples") if name in ds]]
