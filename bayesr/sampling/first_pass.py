"""Draw the tiles of an image during the first pass over it, which reads, checks and copies its pixels.

The pass is one process, and a thousand workers would wait for it. Where its result cannot change what is drawn
(see `bayesr.images.provisional`), a tile is drawn as soon as its pixels are in the store. Drawing does not slow the
pass down, so that an invalid image is refused as early as without drawing; the store is then removed with its tiles.
Until the pass has ended, the store is marked as one that cannot be resumed: after an interruption, the image is read
again from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Condition
from typing import TYPE_CHECKING

import xarray as xr

from bayesr import images, workers
from bayesr.grid import Tile
from bayesr.images import lazy
from bayesr.progress import progress as show_progress
from bayesr.sampling.drawing import Drawing
from bayesr.sampling.job import Job
from bayesr.sampling.sinks import StoreSink, SurveyOptions

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_WAIT = 0.05
"""Seconds to wait for pixels before the caller may handle finished tasks."""


class ResultTypeChanged(Exception):
    """The pixels need another type of results than the provisional image has, so all tiles must be drawn again."""


class _Abandoned(Exception):
    """Ends the first pass when its result is no longer needed."""


def run(
    job: Job,
    sink: StoreSink,
    array: xr.DataArray,
    options: SurveyOptions,
    cluster: int | str | Client | Cluster | None,
    progress: bool | None,
) -> xr.Dataset:
    """Draw all tiles of an image that is not read yet, and return the product.

    Products, warnings and errors are the same as if the image were read first, but warnings come later.

    Parameters
    ----------
    job : Job
        With the provisional image, see `StoreSink.provisional_image`.
    sink : StoreSink
    array, options
        The image and how it is read, see `StoreSink.survey`.
    cluster, progress
        See `bayesr.sample`.

    Raises
    ------
    ResultTypeChanged
        When the pixels need another type of results.
    BayesrError
        When the image is invalid, or drawing fails. After a failure of drawing, the store can be resumed.
    """
    stored_job = sink.begin(job)
    total = job.cost * sum(1 for _ in job.tiles())
    with FirstPass(job, sink, array, options) as tiles, show_progress("sampling", total, progress) as advance:
        try:
            workers.run(Drawing(stored_job, sink.target), tiles, total, advance, cluster)
        except Exception:
            tiles.complete()  # so that finished tiles are kept
            raise
    return sink.finish()


class FirstPass:
    """A first pass in a thread of its own; iteration yields tiles whose pixels are in the store, in their order.

    None is yielded where the next tile has not become ready within a short wait. The thread that iterates calls
    `complete` as soon as the pass has ended, and the iteration ends after that.
    """

    def __init__(self, job: Job, sink: StoreSink, array: xr.DataArray, options: SurveyOptions) -> None:
        self._job, self._sink, self._source = job, sink, (array, options)
        self._stored_blocks: set[tuple[int, int]] = set()
        self._changed = Condition()
        self._abandoned = False
        self._completed = False

    def __enter__(self) -> FirstPass:
        self._threads = ThreadPoolExecutor(1, "bayesr-first-pass")
        self._image = self._threads.submit(self._survey)
        return self

    def __exit__(self, *error: object) -> None:
        self._abandoned = True
        self._threads.shutdown()

    def __iter__(self) -> Iterator[Tile | None]:
        for tile in self._job.tiles():
            while not self._ready(tile):
                yield None
            yield tile
        while not self._completed:
            self.complete()

    def complete(self) -> None:
        """Wait until the pass has ended, record its result in the store, and issue its warnings; raise its errors."""
        if self._completed:
            return
        self._completed = True
        image = self._image.result()
        if image.dtype != self._job.image.dtype:
            raise ResultTypeChanged
        job = replace(self._job, image=image)
        job.warn()
        self._sink.complete(job)

    def _survey(self) -> images.Image:
        try:
            return self._sink.survey(*self._source, block_stored=self._block_stored)
        finally:
            with self._changed:
                self._changed.notify_all()

    def _block_stored(self, where: tuple[int | slice, ...]) -> None:
        rows, columns = (part for part in where[-2:] if isinstance(part, slice))
        with self._changed:
            self._stored_blocks.add((rows.start // lazy.BLOCK, columns.start // lazy.BLOCK))
            self._changed.notify_all()
        if self._abandoned:
            raise _Abandoned

    def _ready(self, tile: Tile) -> bool:
        """Whether the pixels that a tile is drawn from are in the store, now or after a short wait."""
        rows, columns = self._job.image.around(*tile.window)
        needed = {(y, x) for y in _blocks(rows) for x in _blocks(columns)}
        with self._changed:
            if not (needed <= self._stored_blocks or self._image.done()):
                self._changed.wait(_WAIT)
            ready = needed <= self._stored_blocks
        if self._image.done():
            self.complete()
        return ready


def _blocks(part: slice) -> range:
    """Return the numbers of the blocks that a part of an axis lies in."""
    return range(part.start // lazy.BLOCK, (part.stop - 1) // lazy.BLOCK + 1)
