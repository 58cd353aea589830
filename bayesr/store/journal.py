"""The journal of a store: how finished tiles are replaced without losing one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from bayesr import product
from bayesr.grid import Tile
from bayesr.product import DIMS, MASK_MEANS, SAMPLES, Arrays
from bayesr.store.integrity import stored_checksum
from bayesr.store.layout import NEXT, Store


@dataclass(frozen=True)
class Journal:
    """Tiles that are about to replace those of a store, and are written beside them first.

    The old tile is needed until the new one is complete: at no moment the store lacks both.
    """

    store: Store

    @property
    def members(self) -> int | None:
        """Members in the end; None where none are being added."""
        found = self.store.metadata.get(NEXT)
        return None if found is None else int(found)

    def open(self, n: int, masks: int) -> None:
        """Prepare the store for `n` members."""
        if self.members is not None:
            return
        store = self.store
        try:
            shape, maps = store.array("mean").shape, sum(self._maps().values())
            store.progress.create_array(
                NEXT, shape=(maps, *shape), chunks=(maps, shape[0], store.side, store.side), dtype=store.dtype,
                fill_value=np.nan, dimension_names=("map", *DIMS), compressors=None, overwrite=True,
            )  # fmt: skip
            if SAMPLES in store.variables:
                store.array(SAMPLES).resize((n, *shape))
                for name, values in product.realizations(n, masks).items():
                    store.array(name).resize(values.shape)
                    store.array(name)[:] = values.to_numpy()
            store.progress.attrs[NEXT] = n
        except OSError as error:
            raise store.failed(error) from error

    def replace(self, tile: Tile, arrays: Arrays, n: int, first: int) -> None:
        """Write a tile with `n` members; ``samples`` start with the member `first`."""
        store = self.store
        try:
            crc = store.put_members(tile, arrays, first, store.checksums(store.at(tile)).get(SAMPLES, 0))
            parts = [arrays[name] if name == MASK_MEANS else arrays[name][None] for name in self._maps()]
            self._tiles[(..., *store.region(tile))] = np.concatenate(parts)
            self._finish_tile(tile, arrays, n, crc)
        except OSError as error:
            raise store.failed(error) from error

    def pending(self, tile: Tile) -> bool:
        """Whether replacing a tile was interrupted after the new tile was in the journal."""
        return not np.isnan(self._tiles[(..., *self.store.region(tile))]).all()

    def resume(self, tile: Tile, n: int) -> None:
        """Finish a pending replacement."""
        store, maps = self.store, self._maps()
        try:
            stack = np.asarray(self._tiles[(..., *store.region(tile))])
            parts = dict(zip(maps, np.split(stack, np.cumsum(list(maps.values()))[:-1]), strict=True))
            arrays = {name: part if name == MASK_MEANS else part[0] for name, part in parts.items()}
            crc = stored_checksum(store, SAMPLES, store.at(tile)) if SAMPLES in store.variables else 0
            self._finish_tile(tile, arrays, n, crc)
        except OSError as error:
            raise store.failed(error) from error

    def close(self, n: int) -> None:
        """Record that all tiles describe all members."""
        store = self.store
        try:
            known = store.attributes
            if known["n"] != n:
                history = product.extended_history(known, f"extend(n={n})")
                store.root.update_attributes({"n": n, "history": history})  # one write, unlike `attrs.update`
            metadata = store.metadata
            del metadata[NEXT]
            store.progress.attrs.put(metadata)
            del store.progress[NEXT]
        except OSError as error:
            raise store.failed(error) from error

    @property
    def _tiles(self) -> zarr.Array[Any]:
        return self.store.array(NEXT)

    def _finish_tile(self, tile: Tile, arrays: Arrays, n: int, crc: int) -> None:
        self.store.finish_tile(tile, arrays, n, crc)
        self._tiles[(..., *self.store.region(tile))] = np.nan  # which removes it

    def _maps(self) -> dict[str, int]:
        """The journal's number of maps per band, by variable."""
        masks = self.store.array(MASK_MEANS).shape[0] if MASK_MEANS in self.store.variables else 0
        return {name: masks if name == MASK_MEANS else 1 for name in self.store.variables if name != SAMPLES}
