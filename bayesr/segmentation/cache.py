"""A Zarr store of the segmentations of members, from which a run resumes after a failure."""

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
    """The segmentations of members in a Zarr store, each marked as done after it is written.

    Parameters
    ----------
    path : Path
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
        self, path: Path, n: int, identity: dict[str, Any], *, overwrite: bool, resume: bool, public: bool
    ) -> None:
        places.check(str(path), 0, overwrite=overwrite, resume=resume)
        self.path, self.n, self._public, self._overwrite, self._identity = path, n, public, overwrite, identity
        self._group: zarr.Group | None = None
        if resume:
            try:
                self._group = zarr.open_group(path, mode="r+")
                self._compare(identity)
            except KeyError as error:
                raise StoreFailed(f"{path} is not a store of bayesr.segment that can be resumed ({error}).") from error

    @property
    def _root(self) -> zarr.Group:
        """The store, created with the first member, so that an earlier failure leaves nothing behind."""
        if self._group is None:
            try:
                self._group = zarr.open_group(self.path, mode="w" if self._overwrite else "w-")
                progress = self._group.create_group("progress", attributes={_IDENTITY: json.dumps(self._identity)})
                progress.create_array("done", shape=(self.n,), chunks=(1,), dtype="uint8", fill_value=0)
            except OSError as error:
                raise StoreFailed(f"{self.path} could not be created ({error}).") from error
        return self._group

    @property
    def _done(self) -> zarr.Array[Any]:
        done = self._root["progress/done"]
        assert isinstance(done, zarr.Array)
        return done

    @property
    def begun(self) -> bool:
        """Whether anything is on disk."""
        return self._group is not None

    def _compare(self, identity: dict[str, Any]) -> None:
        stored = json.loads(str(self._root["progress"].attrs[_IDENTITY]))
        for name, value in identity.items():
            if stored.get(name) != value:
                raise StoreFailed(
                    f"{self.path} was created with another {name}: {stored.get(name)!r}, not {value!r}. Use "
                    "overwrite=True, or another store."
                )

    def get(self, i: int) -> Segmentation | None:
        """Return the segmentation of member `i`, None if not done."""
        if not self.begun or not int(np.asarray(self._done[i])):
            return None
        probability, labels = (self._root.get(self._name(part)) for part in ("probability", "labels"))
        assert isinstance(probability, zarr.Array)
        return Segmentation(
            np.asarray(probability[i], np.float32),
            np.asarray(labels[i], np.int32) if isinstance(labels, zarr.Array) else None,
        )

    def put(self, i: int, segmentation: Segmentation) -> None:
        """Write the segmentation of member `i`, then mark it as done."""
        try:
            for part, values in (("probability", segmentation.probability), ("labels", segmentation.labels)):
                if values is not None:
                    self._array(part, values)[i] = values
            self._done[i] = 1
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, ds: xr.Dataset) -> xr.Dataset:
        """Write the result, delete members unless they are public, and open the store."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidated metadata is not part of the Zarr v3 specification
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
        """Whether `finish` was completed."""
        return self.begun and bool(self._root["progress"].attrs.get(_FINISHED, False))

    def read(self) -> xr.Dataset:
        """Open the finished result lazily."""
        ds: xr.Dataset = xr.open_zarr(self.path)
        maps = [name for name in MAPS if name in ds]
        return ds[[*maps, *(name for name in ds if name not in maps)]]

    def _failed(self, error: OSError) -> StoreFailed:
        return StoreFailed(
            f"Writing to {self.path} failed ({error}). Finished members are kept: remove the cause (free some space) "
            "and call again with resume=True."
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
        array = self._root[name]
        assert isinstance(array, zarr.Array)
        return array
