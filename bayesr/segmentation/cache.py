"""A Zarr store of the segmentations of members, from which a run resumes after a failure."""

from __future__ import annotations

import json
import warnings
import zlib
from contextlib import ExitStack
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.files import zarr_store
from bayesr.segmentation.description import MAPS
from bayesr.segmentation.segmenter import Segmentation
from bayesr.store import places, replacing
from bayesr.store.access import StoredArray, check_members, opened, reading
from bayesr.store.groups import IDENTITY, Groups
from bayesr.store.places import PROGRESS

_CHUNK = 1024
_FINISHED = "finished"
_PARTS = ("probability", "labels")


class SegmentationCache:
    """The segmentations of members in a Zarr store, each marked as done after it is written.

    It is a context manager: the store is locked inside. A store that is overwritten stays until the new one is whole.

    Parameters
    ----------
    place : str
        See `bayesr.store.places.place_of`.
    n : int
    identity : dict
        Settings that must be equal to resume.
    overwrite, resume : bool
        Replace an existing store, or resume it.
    public : bool
        Whether segmentations stay in the store, as ``member_probability`` and ``member_labels``, or are deleted at the
        end.

    Raises
    ------
    StoreExists, StoreFailed
        If the store cannot be used.
    """

    def __init__(
        self, place: str, n: int, identity: dict[str, Any], *, overwrite: bool, resume: bool, public: bool
    ) -> None:
        places.check(place, 0, overwrite=overwrite, resume=resume)
        self.place, self.n, self._public, self._identity = place, n, public, identity
        self._overwrite, self._resume = overwrite, resume
        self._groups, self.begun = Groups(place), False
        self._arrays: dict[str, StoredArray] = {}
        self._exit = ExitStack()

    def __enter__(self) -> SegmentationCache:
        """Lock the store.

        Raises
        ------
        StoreFailed
            If the store to resume is of another run, or none of `bayesr.segment`, or another process writes to it.
        InvalidProduct
            If it is damaged.
        """
        self._exit.enter_context(replacing.writing(self.place))
        try:
            self._groups = Groups(replacing.write_place(self.place, overwrite=self._overwrite))
            if self._resume:
                self.begun = self._compare()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def _compare(self) -> bool:
        """Compare an existing store with this run; return whether its creation was completed."""
        inside = self._groups.place
        if PROGRESS not in places.names(inside) or "zarr.json" not in places.names(f"{inside}/{PROGRESS}"):
            return False
        attributes = self._groups.metadata
        if IDENTITY not in attributes:
            if "tile" in attributes:
                raise StoreFailed(f"{self.place} is a product, and no store of bayesr.segment that can be resumed.")
            return False
        with reading(self.place, "The metadata"):
            stored = json.loads(attributes[IDENTITY])
            differing = [name for name, value in self._identity.items() if stored.get(name) != value]
        for name in differing:
            raise StoreFailed(
                f"{self.place} was created with another {name}: {stored.get(name)!r}, not {self._identity[name]!r}. "
                "Use overwrite=True, or another store."
            )
        return True

    def _begin(self) -> None:
        """Create the store, with the first member, so that an earlier failure leaves nothing behind."""
        groups = self._groups
        try:
            groups.clear()
            root = zarr.open_group(zarr_store(groups.place), mode="a", zarr_format=3)
            progress = root.create_group(PROGRESS)
            progress.create_array("done", shape=(self.n,), chunks=(1,), dtype="uint8", fill_value=0)
            self._create_sums(progress)
            # Last, since it marks the store as one that can be resumed.
            progress.update_attributes({IDENTITY: json.dumps(self._identity)})
        except OSError as error:
            replacing.discard(groups.place)
            raise StoreFailed(f"{self.place} could not be created ({error}); nothing is left behind.") from error
        self.begun = True

    def _create_sums(self, progress: zarr.Group) -> None:
        progress.create_array("checksum", shape=(self.n, 2), chunks=(1, 2), dtype="uint32", fill_value=0)

    def get(self, i: int) -> Segmentation | None:
        """Return the segmentation of member `i`, None if it is not done, or is damaged and to be computed again."""
        if not self.begun:
            return None
        try:
            if not int(self._array(f"{PROGRESS}/done", (self.n,))[i]):
                return None
            found = [self._stored(part)[i] if self._has(part) else None for part in _PARTS]
            sums = self._array(f"{PROGRESS}/checksum", (self.n, 2))[i]
        except InvalidProduct:
            return None
        if found[0] is None or [_sum(values) for values in found] != sums.tolist():
            return None
        return Segmentation(np.asarray(found[0], np.float32), None if found[1] is None else found[1].astype(np.int32))

    def put(self, i: int, segmentation: Segmentation) -> None:
        """Write the segmentation of member `i`, then mark it as done."""
        if not self.begun:
            self._begin()
        try:
            for part, values in zip(_PARTS, segmentation, strict=True):
                if values is not None:
                    self._stored(part, values)[i] = values
            if "checksum" not in self._groups.progress:  # of a version that wrote none
                self._create_sums(self._groups.progress)
            sums = [_sum(values) for values in segmentation]
            self._array(f"{PROGRESS}/checksum", (self.n, 2))[i] = np.array(sums, np.uint32)
            self._array(f"{PROGRESS}/done", (self.n,))[i] = 1
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, ds: xr.Dataset) -> xr.Dataset:
        """Write the result, delete members unless they are public, and open the store."""
        inside = self._groups.place
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidated metadata is not part of the Zarr v3 specification
            try:
                kept = {PROGRESS, "zarr.json", *(self._name(part) for part in _PARTS)}
                for name in places.names(inside) - kept:  # of a call that was interrupted here
                    places.remove(f"{inside}/{name}")
                check_members(inside, self._groups.root)
                ds.to_zarr(zarr_store(inside), mode="a", zarr_format=3, consolidated=False)
                self._groups = Groups(inside)
                self._groups.progress.update_attributes({_FINISHED: True})
            except OSError as error:
                raise self._failed(error) from error
        return self.close()

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return self.begun and bool(self._groups.metadata.get(_FINISHED, False))

    def close(self) -> xr.Dataset:
        """Delete members unless they are public, put the finished result in its place, and open it lazily."""
        try:
            for part in _PARTS:
                places.remove(f"{self._groups.place}/{PROGRESS}/{part}")
            self._groups.consolidate()
        except OSError as error:
            raise self._failed(error) from error
        replacing.commit(self.place)
        ds = opened(self.place)
        maps = [name for name in MAPS if name in ds]
        return ds[[*maps, *(name for name in ds if name not in maps)]]

    def _failed(self, error: OSError) -> StoreFailed:
        return StoreFailed(
            f"Writing to {self.place} failed ({error}). Finished members are kept: remove the cause (free some space) "
            "and call again with resume=True."
        )

    def _name(self, part: str) -> str:
        return f"member_{part}" if self._public else f"{PROGRESS}/{part}"

    def _has(self, part: str) -> bool:
        with reading(self.place, self._name(part)):
            return self._name(part) in self._groups.root

    def _stored(self, part: str, values: NDArray[Any] | None = None) -> StoredArray:
        """Return the array of all members, which is created for the first `values`."""
        name = self._name(part)
        if values is not None and not self._has(part):
            shape = (self.n, *values.shape)
            dims = ("realization", *(("class",) if values.ndim == 3 else ()), "y", "x")
            chunks = (*(1,) * (len(shape) - 2), *(min(_CHUNK, side) for side in shape[-2:]))
            fill = np.nan if values.dtype.kind == "f" else 0
            self._groups.root.create_array(
                name, shape=shape, chunks=chunks, dtype=values.dtype, fill_value=fill, dimension_names=dims,
                attributes={"long_name": f"{part} of every member"},
            )  # fmt: skip
        return self._array(name, None if values is None else (self.n, *values.shape))

    def _array(self, name: str, shape: tuple[int, ...] | None) -> StoredArray:
        if name not in self._arrays:
            with reading(self.place, name):
                found = self._groups.root[name]
                if not isinstance(found, zarr.Array):
                    raise TypeError("it is a group")
                self._arrays[name] = StoredArray(self.place, found)
        array = self._arrays[name]
        if shape is not None and array.shape != shape:
            raise InvalidProduct(f"{self.place} is damaged: {name} has the shape {array.shape}: use overwrite=True.")
        return array


def _sum(values: NDArray[Any] | None) -> int:
    return 0 if values is None else zlib.crc32(np.ascontiguousarray(values).data)
