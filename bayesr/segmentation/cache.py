"""What a segmenter said of each member, on disk: a failure loses nothing, and a resumed run asks no member twice."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from bayesr.errors import StoreFailed
from bayesr.segmentation.description import MAPS
from bayesr.segmentation.segmenter import Segmentation
from bayesr.store import places

_CHUNK = 1024
_IDENTITY, _FINISHED = "identity", "finished"


class SegmentationCache:
    """Segmentations of members in a Zarr store, written one by one, each marked done after its data.

    Parameters
    ----------
    path : Path
    n : int
        Members.
    identity : dict
        What must be equal for the store to be gone on with.
    overwrite, resume : bool
        Replace a store that is there, or go on with it.
    public : bool
        Whether they stay, as ``member_probability`` and ``member_labels``; else they go when all is done.

    Raises
    ------
    StoreExists, StoreFailed
        When the place cannot be used.
    """

    def __init__(
        self, path: Path, n: int, identity: dict[str, Any], *, overwrite: bool, resume: bool, public: bool
    ) -> None:
        places.check(str(path), 0, overwrite=overwrite, resume=resume)
        self.path, self.n, self._public, self._overwrite, self._identity = path, n, public, overwrite, identity
        self._known: zarr.Group | None = None
        if resume:
            try:
                self._known = zarr.open_group(path, mode="r+")
                self._compare(identity)
            except KeyError as error:
                raise StoreFailed(f"{path} is no store of bayesr.segment that can be resumed ({error}).") from error

    @property
    def _root(self) -> zarr.Group:
        """The store, which begins with the first member, so that a failure before it leaves nothing behind."""
        if self._known is None:
            try:
                self._known = zarr.open_group(self.path, mode="w" if self._overwrite else "w-")
                progress = self._known.create_group("progress", attributes={_IDENTITY: json.dumps(self._identity)})
                progress.create_array("done", shape=(self.n,), chunks=(1,), dtype="uint8", fill_value=0)
            except OSError as error:
                raise StoreFailed(f"{self.path} could not be created ({error}).") from error
        return self._known

    @property
    def _done(self) -> zarr.Array[Any]:
        found = self._root["progress/done"]
        assert isinstance(found, zarr.Array)
        return found

    @property
    def begun(self) -> bool:
        """Whether something is on disk."""
        return self._known is not None

    def _compare(self, identity: dict[str, Any]) -> None:
        known = json.loads(str(self._root["progress"].attrs[_IDENTITY]))
        for name, value in identity.items():
            if known.get(name) != value:
                raise StoreFailed(
                    f"{self.path} was begun with another {name}: {known.get(name)!r}, not {value!r}. Use "
                    "overwrite=True, or another store."
                )

    def get(self, i: int) -> Segmentation | None:
        """What was said of member `i`, if it was."""
        if not self.begun or not int(np.asarray(self._done[i])):
            return None
        probability, labels = (self._root.get(self._name(part)) for part in ("probability", "labels"))
        assert isinstance(probability, zarr.Array)
        found = np.asarray(probability[i], np.float32)
        return Segmentation(found, np.asarray(labels[i], np.int32) if isinstance(labels, zarr.Array) else None)

    def put(self, i: int, found: Segmentation) -> None:
        """Write what is said of member `i`, then mark it done."""
        try:
            for part, values in (("probability", found.probability), ("labels", found.labels)):
                if values is not None:
                    self._array(part, values)[i] = values
            self._done[i] = 1
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, ds: xr.Dataset) -> xr.Dataset:
        """Write what all members say together, drop what each said unless it is public, and open the store."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            try:
                ds.to_zarr(self.path, mode="a", zarr_format=3, consolidated=False)
                for part in ("probability", "labels"):
                    shutil.rmtree(self.path / "progress" / part, ignore_errors=True)
                self._root["progress"].attrs[_FINISHED] = True
                zarr.consolidate_metadata(self._root.store)
            except OSError as error:
                raise self._failed(error) from error
        return self.read()

    @property
    def finished(self) -> bool:
        """Whether `finish` ran to its end."""
        return self.begun and bool(self._root["progress"].attrs.get(_FINISHED, False))

    def read(self) -> xr.Dataset:
        """What was finished, lazily."""
        ds: xr.Dataset = xr.open_zarr(self.path)
        maps = [name for name in MAPS if name in ds]
        return ds[[*maps, *(name for name in ds if name not in maps)]]

    def _failed(self, error: OSError) -> StoreFailed:
        return StoreFailed(
            f"Writing to {self.path} failed ({error}). What was finished stays: mend the cause (free some space) and "
            "call again with resume=True."
        )

    def _name(self, part: str) -> str:
        return f"member_{part}" if self._public else f"progress/{part}"

    def _array(self, part: str, values: Any) -> zarr.Array[Any]:
        name = self._name(part)
        if name not in self._root:
            shape = (self.n, *values.shape)
            dims = ("realization", *(("class",) if values.ndim == 3 else ()), "y", "x")
            chunks = (*(1,) * (len(shape) - 2), *(min(_CHUNK, side) for side in shape[-2:]))
            fill = np.nan if values.dtype.kind == "f" else 0
            self._root.create_array(
                name, shape=shape, chunks=chunks, dtype=values.dtype, fill_value=fill, dimension_names=dims,
                attributes={"long_name": f"{part} of every member"},
            )  # fmt: skip
        found = self._root[name]
        assert isinstance(found, zarr.Array)
        return found
