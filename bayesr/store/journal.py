"""The journal of a store: how finished tiles are replaced without losing one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesr import product
from bayesr.errors import InvalidProduct
from bayesr.grid import Tile
from bayesr.product import DIMS, MASK_MEANS, SAMPLES, Arrays
from bayesr.store import places
from bayesr.store.groups import NEXT, NEXT_CHECKSUMS
from bayesr.store.layout import Store
from bayesr.store.places import PROGRESS


@dataclass(frozen=True)
class Journal:
    """Tiles that are about to replace those of a store, and are first written to arrays of their own.

    The old tile stays until the new one is complete, so that the store always holds one of them. A new tile is complete
    when the journal holds its checksums, which are written last.
    """

    store: Store

    @property
    def members(self) -> int | None:
        """The final number of members while some are being added, else None."""
        found: int | None = self.store.settings.get(NEXT)
        return found

    def open(self, n: int, masks: int) -> None:
        """Prepare the store for `n` members. What an interrupted call left undone is done again."""
        store = self.store
        try:
            # This is written first, so that the store is known to be extended before anything else changes.
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
        store, maps = self.store, sum(self._map_counts().values())
        mean, grid = store.array("mean"), store.array("done").shape
        slices, shape, ones = mean.shape[:-3], mean.shape[-3:], (1,) * (len(mean.shape) - 3)
        stack, sums = mean.dims[:-3], len(store.variables) + 1
        # An array of the right shape is kept. Tiles of a damaged one are drawn again, or reported as damaged.
        if not self._has_array(NEXT, (*slices, maps, *shape)):
            places.remove(f"{store.place}/{PROGRESS}/{NEXT_CHECKSUMS}")
            store.progress.create_array(
                NEXT, shape=(*slices, maps, *shape), chunks=(*ones, maps, shape[0], store.side, store.side),
                dtype=store.dtype, fill_value=np.nan, dimension_names=(*stack, "map", *DIMS), compressors=None,
                overwrite=True,
            )  # fmt: skip
        if not self._has_array(NEXT_CHECKSUMS, (*grid, sums)):
            store.progress.create_array(
                NEXT_CHECKSUMS, shape=(*grid, sums), chunks=(*ones, 1, 1, sums), dtype="uint32", fill_value=0,
                dimension_names=(*stack, "tile_y", "tile_x", "variable"), compressors=None, overwrite=True,
            )  # fmt: skip
        store.reload(NEXT, NEXT_CHECKSUMS)

    def _has_array(self, name: str, shape: tuple[int, ...]) -> bool:
        try:
            self.store.reload(name)
            return self.store.array(name).shape == shape
        except InvalidProduct:
            return False

    def replace(self, tile: Tile, arrays: Arrays, n: int, first: int) -> None:
        """Write a tile with `n` members; ``samples`` start with the member `first`."""
        store, index = self.store, self.store.tile_index(tile)
        try:
            crc = store.put_members(tile, arrays, first, store.checksums(index).get(SAMPLES, 0))
            stored = store.stored_maps(arrays)
            sums = store.checksums_to_record(stored, crc)
            parts = [values if name == MASK_MEANS else values[None] for name, values in stored.items()]
            store.array(NEXT)[(*tile.lead, ..., *store.region(tile))] = np.concatenate(parts)
            store.array(NEXT_CHECKSUMS)[index] = np.array([*sums, n], np.uint32)
            store.put_maps(tile, stored, n, sums)
            self._clear_entry(tile)
        except OSError as error:
            raise store.failed(error) from error

    def pending(self, index: tuple[int, ...], n: int) -> bool:
        """Whether replacing a tile was interrupted after the new tile was in the journal."""
        if not self._has_array(NEXT_CHECKSUMS, self._checksums_shape):
            return False
        return int(self.store.array(NEXT_CHECKSUMS)[index][-1]) == n

    def damage(self, index: tuple[int, ...], n: int) -> dict[str, str]:
        """Return the damaged variables of a tile whose replacement is pending, and what is wrong with each."""
        store, sums = self.store, self._recorded_checksums(index)
        actual = store.checksums_to_record(self._stored(store.array(NEXT)[(*index[:-2], ..., *store.window(index))]), 0)
        if SAMPLES in store.variables:
            actual[store.variables.index(SAMPLES)] = store.checksum_of(SAMPLES, index, n)
        return {
            name: "does not have its recorded checksum, and was being replaced"
            for name, crc, recorded in zip(store.variables, actual, sums, strict=True)
            if crc != recorded
        }

    def resume(self, tile: Tile, n: int) -> None:
        """Finish a pending replacement, whose tile in the journal is undamaged."""
        store = self.store
        try:
            stored = self._stored(store.array(NEXT)[(*tile.lead, ..., *store.region(tile))])
            store.put_maps(tile, stored, n, self._recorded_checksums(store.tile_index(tile)))
            self._clear_entry(tile)
        except OSError as error:
            raise store.failed(error) from error

    def close(self, n: int) -> None:
        """Record that all tiles describe all members. What an interrupted call left undone is done again."""
        store = self.store
        try:
            attributes = store.attributes
            if attributes["n"] != n:
                history = product.extended_history(attributes, f"extend(n={n})")
                store.root.update_attributes({"n": n, "history": history})  # one write, unlike `attrs.update`
            for name in (NEXT, NEXT_CHECKSUMS):
                places.remove(f"{store.place}/{PROGRESS}/{name}")
            metadata = store.metadata
            metadata.pop(NEXT, None)
            store.progress.attrs.put(metadata)
            store.reload(NEXT, NEXT_CHECKSUMS)
        except OSError as error:
            raise store.failed(error) from error

    @property
    def _checksums_shape(self) -> tuple[int, ...]:
        return (*self.store.array("done").shape, len(self.store.variables) + 1)

    def _recorded_checksums(self, index: tuple[int, ...]) -> list[int]:
        found: list[int] = self.store.array(NEXT_CHECKSUMS)[index][:-1].tolist()
        return found

    def _clear_entry(self, tile: Tile) -> None:
        """Remove a tile from the journal, beginning with what makes it complete."""
        self.store.array(NEXT_CHECKSUMS)[self.store.tile_index(tile)] = 0
        self.store.array(NEXT)[(*tile.lead, ..., *self.store.region(tile))] = np.nan

    def _stored(self, stack: np.ndarray) -> dict[str, np.ndarray]:
        """Return a tile's maps, which the journal holds one after the other."""
        maps = self._map_counts()
        parts = dict(zip(maps, np.split(stack, np.cumsum(list(maps.values()))[:-1]), strict=True))
        return self.store.stored_maps({name: part if name == MASK_MEANS else part[0] for name, part in parts.items()})

    def _map_counts(self) -> dict[str, int]:
        """Return the number of maps per band in the journal, by variable."""
        masks = self.store.array(MASK_MEANS).shape[-4] if MASK_MEANS in self.store.variables else 0
        return {name: masks if name == MASK_MEANS else 1 for name in self.store.variables if name != SAMPLES}
