"""Draw the tiles of an image while the first pass over it goes on, which reads, checks and copies its pixels.

The pass is one process, and a thousand workers would wait for it. Where its findings cannot change what is drawn
(see `bayesr.images.foreseen`), a tile is drawn as soon as its pixels are in the store. The pass is never slowed down
by the drawing, so that an image is refused as early as without it; the store is then removed with its tiles. Until the
pass has ended well, a store is marked as one that cannot be resumed: an interruption costs the time since the
beginning, as it does when nothing is drawn meanwhile.
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
from bayesr.sampling.sinks import Reading, StoreSink

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_WAIT = 0.05
"""Seconds to wait for pixels, before tasks that have ended meanwhile are looked after."""


class Unforeseen(Exception):
    """The pixels need another type of results than was foreseen, so that all tiles have to be drawn again."""


class _Ended(Exception):
    """Ends the first pass when nobody needs it any more."""


def run(
    job: Job,
    sink: StoreSink,
    array: xr.DataArray,
    reading: Reading,
    cluster: int | str | Client | Cluster | None,
    progress: bool | None,
) -> xr.Dataset:
    """Draw all tiles of an image that is not read yet, and return the product.

    Products, warnings and errors are those of reading it first, but for warnings, which come later.

    Parameters
    ----------
    job : Job
        With the foreseen image, see `StoreSink.foreseen`.
    sink : StoreSink
    array, reading
        The image and how it is read, see `StoreSink.survey`.
    cluster, progress
        See `bayesr.sample`.

    Raises
    ------
    Unforeseen
        When the pixels need another type of results.
    BayesrError
        Of reading the image, or of drawing. After the latter, the store can be resumed.
    """
    begun = sink.begin(job)
    total = job.cost * sum(1 for _ in job.tiles())
    with FirstPass(job, sink, array, reading) as tiles, show_progress("sampling", total, progress) as advance:
        try:
            workers.run(Drawing(begun, sink.target), tiles, total, advance, cluster)
        except Exception:
            tiles.settle()  # so that what was drawn is kept
            raise
    return sink.finish()


class FirstPass:
    """A first pass in a thread of its own; iteration yields tiles whose pixels are in the store, in their order.

    None is yielded where the next tile has not become ready in a short wait. In between, the thread that iterates
    settles the pass once it has ended; the iteration ends after that.
    """

    def __init__(self, job: Job, sink: StoreSink, array: xr.DataArray, reading: Reading) -> None:
        self._job, self._sink, self._source = job, sink, (array, reading)
        self._kept: set[tuple[int, int]] = set()
        self._news = Condition()
        self._ended = self._settled = False

    def __enter__(self) -> FirstPass:
        self._threads = ThreadPoolExecutor(1, "bayesr-first-pass")
        self._image = self._threads.submit(self._survey)
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._threads.shutdown()

    def __iter__(self) -> Iterator[Tile | None]:
        for tile in self._job.tiles():
            while not self._ready(tile):
                yield None
            yield tile
        while not self._settled:
            self.settle()

    def settle(self) -> None:
        """Wait until the pass has ended, warn of what it found, and record it in the store; raise what it refuses."""
        if self._settled:
            return
        self._settled = True
        image = self._image.result()
        if image.dtype != self._job.image.dtype:
            raise Unforeseen
        job = replace(self._job, image=image)
        job.warn()
        self._sink.settle(job)

    def _survey(self) -> images.Image:
        try:
            return self._sink.survey(*self._source, kept=self._keep)
        finally:
            with self._news:
                self._news.notify_all()

    def _keep(self, where: tuple[int | slice, ...]) -> None:
        rows, columns = (part for part in where[-2:] if isinstance(part, slice))
        with self._news:
            self._kept.add((rows.start // lazy.BLOCK, columns.start // lazy.BLOCK))
            self._news.notify_all()
        if self._ended:
            raise _Ended

    def _ready(self, tile: Tile) -> bool:
        """Whether the pixels that a tile is drawn from are in the store, now or after a short wait."""
        rows, columns = self._job.image.around(*tile.window)
        needed = {(y, x) for y in _blocks(rows) for x in _blocks(columns)}
        with self._news:
            if not (needed <= self._kept or self._image.done()):
                self._news.wait(_WAIT)
            ready = needed <= self._kept
        if self._image.done():
            self.settle()
        return ready


def _blocks(part: slice) -> range:
    """Return the numbers of the blocks along an axis that a part of it lies in."""
    return range(part.start // lazy.BLOCK, (part.stop - 1) // lazy.BLOCK + 1)
