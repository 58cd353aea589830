"""The journal of a store: how finished tiles are replaced without losing one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesr import product
from bayesr.errors import InvalidProduct
from bayesr.grid import Tile
from bayesr.product import DIMS, MASK_MEANS, SAMPLES, Arrays
from bayesr.store import places
from bayesr.store.groups import NEXT, NEXT_SUMS
from bayesr.store.layout import Store
from bayesr.store.places import PROGRESS


@dataclass(frozen=True)
class Journal:
    """Tiles that are about to replace those of a store, and are written beside them first.

    The old tile is needed until the new one is complete: at no moment the store lacks both. A new tile is complete when
    the journal holds its checksums, which are written last.
    """

    store: Store

    @property
    def members(self) -> int | None:
        """Members in the end; None where none are being added."""
        found: int | None = self.store.settings.get(NEXT)
        return found

    def open(self, n: int, masks: int) -> None:
        """Prepare the store for `n` members. What an interrupted call left undone is done again."""
        store = self.store
        try:
            # First, so that a store is being extended as soon as anything differs.
            store.progress.update_attributes({NEXT: n})
            self._create_arrays()
            if SAMPLES in store.variables:
                mean = store.array("mean").shape
                shape = (*mean[:-3], n, *mean[-3:])
                if store.array(SAMPLES).shape != shape:
                    store.array(SAMPLES).resize(shape)
                for name, values in product.realizations(n, masks).items():
                    if store.array(name).shape != values.shape:
                        store.array(name).resize(values.shape)
                    store.array(name)[:] = values.to_numpy()
        except OSError as error:
            raise store.failed(error) from error

    def _create_arrays(self) -> None:
        store, maps = self.store, sum(self._maps().values())
        mean, grid = store.array("mean"), store.array("done").shape
        slices, shape, ones = mean.shape[:-3], mean.shape[-3:], (1,) * (len(mean.shape) - 3)
        stack, sums = mean.dims[:-3], len(store.variables) + 1
        # Each is kept if it is whole; else tiles that were in it are drawn again, or known as damaged.
        if not self._has(NEXT, (*slices, maps, *shape)):
            places.remove(f"{store.place}/{PROGRESS}/{NEXT_SUMS}")
            store.progress.create_array(
                NEXT, shape=(*slices, maps, *shape), chunks=(*ones, maps, shape[0], store.side, store.side),
                dtype=store.dtype, fill_value=np.nan, dimension_names=(*stack, "map", *DIMS), compressors=None,
                overwrite=True,
            )  # fmt: skip
        if not self._has(NEXT_SUMS, (*grid, sums)):
            store.progress.create_array(
                NEXT_SUMS, shape=(*grid, sums), chunks=(*ones, 1, 1, sums), dtype="uint32", fill_value=0,
                dimension_names=(*stack, "tile_y", "tile_x", "variable"), compressors=None, overwrite=True,
            )  # fmt: skip
        store.forget(NEXT, NEXT_SUMS)

    def _has(self, name: str, shape: tuple[int, ...]) -> bool:
        try:
            self.store.forget(name)
            return self.store.array(name).shape == shape
        except InvalidProduct:
            return False

    def replace(self, tile: Tile, arrays: Arrays, n: int, first: int) -> None:
        """Write a tile with `n` members; ``samples`` start with the member `first`."""
        store, at = self.store, self.store.at(tile)
        try:
            crc = store.put_members(tile, arrays, first, store.checksums(at).get(SAMPLES, 0))
            stored = store.stored_maps(arrays)
            sums = store.sums(stored, crc)
            parts = [values if name == MASK_MEANS else values[None] for name, values in stored.items()]
            store.array(NEXT)[(*tile.lead, ..., *store.region(tile))] = np.concatenate(parts)
            store.array(NEXT_SUMS)[at] = np.array([*sums, n], np.uint32)
            store.put_maps(tile, stored, n, sums)
            self._forget(tile)
        except OSError as error:
            raise store.failed(error) from error

    def pending(self, at: tuple[int, ...], n: int) -> bool:
        """Whether replacing a tile was interrupted after the new tile was in the journal."""
        return self._has(NEXT_SUMS, self._sums_shape) and int(self.store.array(NEXT_SUMS)[at][-1]) == n

    def damage(self, at: tuple[int, ...], n: int) -> dict[str, str]:
        """Return the damaged variables of a tile whose replacement is pending, and what is wrong with each."""
        store, sums = self.store, self._sums(at)
        found = store.sums(self._stored(store.array(NEXT)[(*at[:-2], ..., *store.window(at))]), 0)
        if SAMPLES in store.variables:
            found[store.variables.index(SAMPLES)] = store.checksum_of(SAMPLES, at, n)
        return {
            name: "does not have its recorded checksum, and was being replaced"
            for name, crc, recorded in zip(store.variables, found, sums, strict=True)
            if crc != recorded
        }

    def resume(self, tile: Tile, n: int) -> None:
        """Finish a pending replacement, whose tile in the journal is undamaged."""
        store = self.store
        try:
            stored = self._stored(store.array(NEXT)[(*tile.lead, ..., *store.region(tile))])
            store.put_maps(tile, stored, n, self._sums(store.at(tile)))
            self._forget(tile)
        except OSError as error:
            raise store.failed(error) from error

    def close(self, n: int) -> None:
        """Record that all tiles describe all members. What an interrupted call left undone is done again."""
        store = self.store
        try:
            known = store.attributes
            if known["n"] != n:
                history = product.extended_history(known, f"extend(n={n})")
                store.root.update_attributes({"n": n, "history": history})  # one write, unlike `attrs.update`
            for name in (NEXT, NEXT_SUMS):
                places.remove(f"{store.place}/{PROGRESS}/{name}")
            metadata = store.metadata
            metadata.pop(NEXT, None)
            store.progress.attrs.put(metadata)
            store.forget(NEXT, NEXT_SUMS)
        except OSError as error:
            raise store.failed(error) from error

    @property
    def _sums_shape(self) -> tuple[int, ...]:
        return (*self.store.array("done").shape, len(self.store.variables) + 1)

    def _sums(self, at: tuple[int, ...]) -> list[int]:
        found: list[int] = self.store.array(NEXT_SUMS)[at][:-1].tolist()
        return found

    def _forget(self, tile: Tile) -> None:
        """Remove a tile from the journal, beginning with what makes it complete."""
        self.store.array(NEXT_SUMS)[self.store.at(tile)] = 0
        self.store.array(NEXT)[(*tile.lead, ..., *self.store.region(tile))] = np.nan

    def _stored(self, stack: np.ndarray) -> dict[str, np.ndarray]:
        """Return a tile's maps, which the journal holds one after the other."""
        maps = self._maps()
        parts = dict(zip(maps, np.split(stack, np.cumsum(list(maps.values()))[:-1]), strict=True))
        return self.store.stored_maps({name: part if name == MASK_MEANS else part[0] for name, part in parts.items()})

    def _maps(self) -> dict[str, int]:
        """The journal's number of maps per band, by variable."""
        masks = self.store.array(MASK_MEANS).shape[-4] if MASK_MEANS in self.store.variables else 0
        return {name: masks if name == MASK_MEANS else 1 for name in self.store.variables if name != SAMPLES}
