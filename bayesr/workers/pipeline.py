"""The interface of work on tiles, and its run in one process: a thread writes a tile while the next one is drawn."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import lru_cache
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, Protocol

from bayesr.grid import Tile
from bayesr.progress import Advance

TILES_IN_MEMORY = 2
"""Tiles in memory at once: one is drawn or waits to be written, the other is written."""

_TILES_PER_RELEASE = 16
"""Tiles between releases of memory: few enough to bound memory, and so many that the cost is negligible."""


class Work(Protocol):
    """Work on each tile of an image. It can be pickled, and one object does many tiles."""

    @property
    def cost(self) -> float:
        """The sum of what one tile passes to `advance`."""

    def is_done(self, tile: Tile) -> bool:
        """Whether the tile is written; only clusters ask, where a task may run a second time."""

    def draw(self, tile: Tile, advance: Callable[[float], None]) -> Any:
        """Compute a tile, one at a time in a process. Exceptions raised by `advance` must propagate."""

    def write(self, tile: Tile, drawn: Any) -> None:
        """Write a drawn tile and mark it done; another thread may draw meanwhile."""


class Stopped(BaseException):
    """Ends the drawing of a tile that is no longer needed.

    It is no `Exception`, so that code in between does not handle it.
    """


def run(work: Work, tiles: Iterable[Tile | None], advance: Advance) -> None:
    """Draw tiles in this thread and write them in another one.

    None stands for a tile that is not ready yet, and is skipped. An error in either thread ends both. Drawn tiles are
    still written, whatever ends the drawing.
    """
    waiting: SimpleQueue[tuple[Tile, Any] | None] = SimpleQueue()
    room = Semaphore(TILES_IN_MEMORY)
    failed: list[BaseException] = []
    memory = MemoryReleaser()

    def write() -> None:
        while (item := waiting.get()) is not None:
            try:
                work.write(*item)
            except BaseException as error:
                failed.append(error)
                return
            finally:
                del item  # else it stays in memory while the thread waits
                memory.tile_done()
                room.release()

    def checked(amount: float) -> None:
        if failed:
            raise Stopped
        advance(amount)

    writer = Thread(target=write, name="bayesr-writer")
    writer.start()
    try:
        for tile in filter(None, tiles):
            room.acquire()
            if failed:
                break
            waiting.put((tile, work.draw(tile, checked)))
    except Stopped:
        pass
    finally:
        waiting.put(None)
        writer.join()
    if failed:
        raise failed[0]


class MemoryReleaser:
    """Count tiles, and return free memory to the system after every sixteenth.

    The C library of Linux retains memory freed by each thread, a little more with every tile.
    """

    def __init__(self) -> None:
        self._tiles = 0

    def tile_done(self) -> None:
        self._tiles += 1
        trim = _malloc_trim()
        if trim is not None and self._tiles % _TILES_PER_RELEASE == 0:
            trim(0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Any:
    """Return ``malloc_trim`` of the C library, if it has one."""
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # not on Windows
        return None
