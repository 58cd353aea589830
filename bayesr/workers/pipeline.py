"""In one process: a tile is written by a second thread while the next one is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers.memory import Releasing
from bayesr.workers.work import Work

IN_HAND = 2
"""Tiles that are in memory at once: one is drawn, or drawn and waits, while the other one is written."""


class Stopped(BaseException):
    """Ends the drawing of a tile that nobody waits for any more.

    No `Exception`, so that nothing on the way takes it for a failure of its own.
    """


def run(work: Work, tiles: Iterable[Tile], advance: Advance) -> None:
    """Draw tiles in this thread and write them in another one.

    An error in either ends both. Tiles that are drawn are still written, whatever ends the drawing.
    """
    waiting: SimpleQueue[tuple[Tile, Any] | None] = SimpleQueue()
    room = Semaphore(IN_HAND)
    failed: list[BaseException] = []
    memory = Releasing()

    def write() -> None:
        while (item := waiting.get()) is not None:
            try:
                work.write(*item)
            except BaseException as error:
                failed.append(error)
                return
            finally:
                del item  # or it would stay in memory while the next one is waited for
                memory.tile()
                room.release()

    def checked(amount: float) -> None:
        if failed:
            raise Stopped
        advance(amount)

    writer = Thread(target=write, name="bayesr-writer")
    writer.start()
    try:
        for tile in tiles:
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
