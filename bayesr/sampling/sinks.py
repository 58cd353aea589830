"""Where a job's product goes: into memory, or into a store.

`bayesr.sample` calls `Sink.check`, `Sink.read` for the image, and `Sink.begin` for the job, writes tiles to
`Sink.target`, and calls `Sink.finish`. A sink is a context manager: a store stays locked inside, and is cleared when
it could not be begun. A product that is overwritten stays in its place until the new one is complete.

Where `StoreSink.provisional_image` returns an image, a store can be begun with it before `StoreSink.survey` reads the
pixels; `StoreSink.complete` then records what the survey found.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
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
from bayesr.images import lazy
from bayesr.product import MASK_MEANS, Arrays
from bayesr.progress import Advance
from bayesr.progress import progress as show_progress
from bayesr.sampling.arguments import choose_shards
from bayesr.sampling.drawing import Target
from bayesr.sampling.job import Job
from bayesr.store import creation, places, replacing
from bayesr.store.groups import READING
from bayesr.store.layout import Store

BlockStored = Callable[[tuple[int | slice, ...]], None]
"""Called, from several threads, with the index of a block of the image that was just copied into a store."""

SurveyOptions = Mapping[str, Any]
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
    def read(self, array: xr.DataArray, options: SurveyOptions) -> images.Image:
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

    def read(self, array: xr.DataArray, options: SurveyOptions) -> images.Image:
        return images.survey(images.loaded(array), **options)

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
        self,
        place: str,
        *,
        overwrite: bool,
        resume: bool,
        keepbits: int | None,
        shards: bool | None,
        tile: int,
        progress: bool | None,
    ) -> None:
        self.place, self.keepbits, self.shards, self.tile, self.progress = place, keepbits, shards, tile, progress
        self.overwrite, self.resume = overwrite, resume
        self._store = Store(place)
        self._exit = ExitStack()
        self._resuming = False
        self._discard_on_error = False
        self._sharded = False

    def check(self, array: xr.DataArray, needed: int) -> None:
        """Check that a product of `needed` bytes can be written.

        Raises
        ------
        InvalidArgument
            When the image itself would be overwritten, or arguments contradict each other.
        StoreExists, StoreFailed
            See `bayesr.store.places.check`.
        """
        if self.overwrite and places.is_same_or_inside(array.encoding.get("source"), self.place):
            raise InvalidArgument(f"{self.place} is the image itself: write the product to another store.")
        places.check(self.place, needed, overwrite=self.overwrite, resume=self.resume)

    def __enter__(self) -> Sink:
        self._exit.enter_context(replacing.writing(self.place))
        try:
            self._store = Store(replacing.write_place(self.place, overwrite=self.overwrite))
            self._resuming = self.resume and self._store.declared
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exit:
            if error is not None and self._discard_on_error:
                replacing.discard(self._store.place)

    @property
    def target(self) -> Target:
        return self._store

    def read(self, array: xr.DataArray, options: SurveyOptions) -> images.Image:
        """Read the image, and copy it to a new store, which its pixels are then read from."""
        replaces_in_place = not self._resuming and self._replaces_in_place
        with show_progress("reading", array.size * (1 + replaces_in_place), self.progress) as advance:
            if self._resuming:
                return images.survey(array, **options, advance=advance)
            if replaces_in_place:
                images.survey(array, **options, advance=advance)
            self._create(array)
            return self.survey(array, options, advance=advance)

    @property
    def _replaces_in_place(self) -> bool:
        """Whether the new product is written to the place of an older one, which is removed first.

        Object stores cannot hold both. The older one is removed only once the image is known to be valid.
        """
        return self.overwrite and self._store.place == self.place and bool(places.names(self.place))

    def _create(self, array: xr.DataArray) -> None:
        self._discard_on_error = True
        self._sharded = choose_shards(array, self.tile, self.shards)
        creation.begin(self._store, array, shards=self._sharded)

    def provisional_image(self, array: xr.DataArray, options: SurveyOptions) -> images.Image | None:
        """Return the image as far as it is known before its pixels are read; None where they must be read first.

        A store that is resumed must not change before the image is known to be the same, and a product that cannot
        stay beside the new one must not be removed before the image is known to be one.
        """
        if self._resuming or self._replaces_in_place or images.leading(array):
            # The template of a stack has the checksum of every slice along its leading axes, which the pass finds.
            return None
        return images.provisional(array, **options)

    def survey(
        self,
        array: xr.DataArray,
        options: SurveyOptions,
        *,
        block_stored: BlockStored | None = None,
        advance: Advance | None = None,
    ) -> images.Image:
        """Read the image and copy it to the store, which its pixels are then read from."""

        def keep(where: tuple[int | slice, ...], block: NDArray[Any]) -> None:
            self._store.write_input(where, block)
            if block_stored is not None:
                block_stored(where)

        image = images.survey(array, **options, keep=keep, advance=advance)
        return replace(image, data=lazy.with_reader(image.data, self._store.array("input")))

    def begin(self, job: Job) -> Job:
        """Write the product's template, or compare it with the existing one.

        A store that is begun before its image was surveyed can be resumed only after `complete`.

        Raises
        ------
        StoreFailed
            When the store cannot be written, or is resumed with another job.
        """
        metadata = self._metadata(job)
        if self._resuming:
            creation.compare(self._store, job.provenance.attrs(), metadata, list(job.variables), self.shards)
        else:
            if not job.image.surveyed:
                self._create(job.image.data)
                metadata[READING] = True
            mask_means = job.plan.masks - 1 if MASK_MEANS in job.variables else 0
            creation.declare(self._store, job.template(), metadata, mask_means, shards=self._sharded)
        self._discard_on_error = not job.image.surveyed  # a store with a surveyed image can be resumed from now on
        return replace(job, image=replace(job.image, data=self._store.input()))

    def complete(self, job: Job) -> None:
        """Record what the survey of the image found; from now on the store can be resumed.

        Raises
        ------
        StoreFailed
            When the store cannot be written.
        """
        creation.complete(self._store, job.provenance.attrs(), self._metadata(job))
        self._discard_on_error = False

    def _metadata(self, job: Job) -> dict[str, Any]:
        return {"tile": job.plan.tile, "nodata": json.dumps(job.image.nodata), "keepbits": self.keepbits}

    def missing(self, job: Job) -> list[Tile]:
        done = self._store.finished()
        return [tile for tile in job.tiles() if not done[self._store.tile_index(tile)]]

    def finish(self) -> xr.Dataset:
        self._store.consolidate()
        replacing.commit(self.place)
        return Store(self.place).product()
