"""Work in one process: a second thread writes a tile while the next one is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers.memory import MemoryReleaser
from bayesr.workers.work import Work

IN_HAND = 2
"""Tiles in memory at once: one is drawn or waits to be written, the other is written."""


class Stopped(BaseException):
    """Ends the drawing of a tile that is no longer needed.

    It is no `Exception`, so that code in between does not handle it.
    """


def run(work: Work, tiles: Iterable[Tile | None], advance: Advance) -> None:
    """Draw tiles in this thread and write them in another one; None among them has waited for the next one already.

    An error in either thread ends both. Drawn tiles are still written, whatever ends the drawing.
    """
    waiting: SimpleQueue[tuple[Tile, Any] | None] = SimpleQueue()
    room = Semaphore(IN_HAND)
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
