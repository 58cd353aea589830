"""Where a job's product goes: into memory, or into a store.

`bayesr.sample` calls `Sink.check`, `Sink.read` for the image, and `Sink.begin` for the job, writes tiles to
`Sink.target`, and calls `Sink.finish`. A sink is a context manager: a store stays locked inside, and is cleared when
it could not be begun. A product that is overwritten stays in its place until the new one is complete.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from bayesr import images
from bayesr.errors import InvalidArgument, TooLarge
from bayesr.grid import Tile
from bayesr.product import MASK_MEANS, Arrays
from bayesr.progress import progress as show_progress
from bayesr.sampling.drawing import Target
from bayesr.sampling.job import Job
from bayesr.store import creation, places, replacing
from bayesr.store.layout import Store

Reading = Mapping[str, Any]
"""The arguments ``nodata``, ``value_range`` and ``per_band`` of `bayesr.images.survey`."""


class Sink(ABC):
    """Where a product goes."""

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def check(self, array: xr.DataArray, needed: int) -> None:
        """Refuse, before any work, a product of `needed` bytes that does not fit."""

    @property
    @abstractmethod
    def target(self) -> Target:
        """Where tiles are written."""

    @abstractmethod
    def read(self, array: xr.DataArray, reading: Reading) -> images.Image:
        """Read an image once, and keep its pixels for drawing tiles."""

    @abstractmethod
    def begin(self, job: Job) -> Job:
        """Make room for a product; return the job, with the image that tiles are drawn from."""

    @abstractmethod
    def missing(self, job: Job) -> list[Tile]:
        """Return the tiles that are not written yet."""

    @abstractmethod
    def finish(self) -> xr.Dataset:
        """Return the finished product."""


class MemorySink(Sink):
    def __init__(self) -> None:
        self._job: Job
        self._arrays: dict[str, NDArray[np.floating]] = {}

    def check(self, array: xr.DataArray, needed: int) -> None:
        """Check that the product fits into memory.

        Raises
        ------
        TooLarge
            When it does not.
        """
        free = psutil.virtual_memory().available
        if needed > free:
            raise TooLarge(
                f"The result takes {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free: give "
                "store= to write it tile by tile, keep_samples=False, or a smaller n."
            )

    @property
    def target(self) -> Target:
        return self

    def read(self, array: xr.DataArray, reading: Reading) -> images.Image:
        return images.survey(images.loaded(array), **reading)

    def begin(self, job: Job) -> Job:
        """Check that double precision, which few images need, fits into memory, too."""
        if job.image.dtype.itemsize > 4:
            self.check(job.image.data, 2 * job.bytes)
        self._job = job
        return job

    def missing(self, job: Job) -> list[Tile]:
        return list(job.tiles())

    def is_done(self, tile: Tile, n: int) -> bool:
        """Return False: only clusters ask, which never write into memory."""
        return False

    def write(self, tile: Tile, arrays: Arrays, n: int) -> None:
        for name, values in arrays.items():
            shape = self._job.shape_of(name)
            if values.shape == shape and not tile.lead and name not in self._arrays:
                self._arrays[name] = values
                continue
            if name not in self._arrays:
                self._arrays[name] = np.empty(shape, values.dtype)
            where: tuple[Any, ...] = (*tile.lead, ..., *tile.high(self._job.model.scale))
            self._arrays[name][where] = values

    def finish(self) -> xr.Dataset:
        return self._job.dataset(self._arrays)


class StoreSink(Sink):
    """A product in a store at a path or a URL, which also holds a copy of the image. See `bayesr.sample`."""

    def __init__(
        self, place: str, *, overwrite: bool, resume: bool, keepbits: int | None, progress: bool | None
    ) -> None:
        self.place, self.keepbits, self.progress = place, keepbits, progress
        self.overwrite, self.resume = overwrite, resume
        self._store = Store(place)
        self._exit = ExitStack()
        self._goes_on = self._begun = False

    def check(self, array: xr.DataArray, needed: int) -> None:
        """Check that a product of `needed` bytes can be written.

        Raises
        ------
        InvalidArgument
            When the image itself would be overwritten, or arguments contradict each other.
        StoreExists, StoreFailed
            See `bayesr.store.places.check`.
        """
        if self.overwrite and places.same(array.encoding.get("source"), self.place):
            raise InvalidArgument(f"{self.place} is the image itself: write the product to another store.")
        places.check(self.place, needed, overwrite=self.overwrite, resume=self.resume)

    def __enter__(self) -> Sink:
        self._exit.enter_context(replacing.writing(self.place))
        try:
            self._store = Store(replacing.target(self.place, overwrite=self.overwrite))
            self._goes_on = self.resume and self._store.declared
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exit:
            if error is not None and self._begun:
                replacing.drop(self._store.place)

    @property
    def target(self) -> Target:
        return self._store

    def read(self, array: xr.DataArray, reading: Reading) -> images.Image:
        """Read the image, and copy it to a new store."""
        if self._goes_on:
            return self._survey(array, reading, keep=None)
        if self.overwrite and self._store.place == self.place and places.names(self.place):
            # An object store holds no second product, and the old one stays until the image is known to be one.
            self._survey(array, reading, keep=None)
        self._begun = True
        creation.begin(self._store, array)
        return self._survey(array, reading, keep=self._store.keep)

    def begin(self, job: Job) -> Job:
        """Write the product's template, or compare it with the existing one.

        Raises
        ------
        StoreFailed
            When the store cannot be written, or is resumed with another job.
        """
        attributes = job.provenance.attrs()
        metadata = {"tile": job.plan.tile, "nodata": json.dumps(job.image.nodata), "keepbits": self.keepbits}
        if self._goes_on:
            creation.compare(self._store, attributes, metadata, list(job.variables))
        else:
            mask_means = job.plan.masks - 1 if MASK_MEANS in job.variables else 0
            creation.declare(self._store, job.template(), metadata, mask_means)
        self._begun = False  # from now on the store can be resumed
        return replace(job, image=replace(job.image, data=self._store.input()))

    def missing(self, job: Job) -> list[Tile]:
        done = self._store.finished()
        return [tile for tile in job.tiles() if not done[self._store.at(tile)]]

    def finish(self) -> xr.Dataset:
        self._store.consolidate()
        replacing.commit(self.place)
        return Store(self.place).product()

    def _survey(self, array: xr.DataArray, reading: Reading, keep: Any) -> images.Image:
        with show_progress("reading", array.size, self.progress) as advance:
            return images.survey(array, **reading, keep=keep, advance=advance)
