"""``python -m bayesr.workers ADDRESS FOLDER``: a worker process of one thread that lives as long as its parent."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from threading import Thread


def _end_with_parent(folder: str) -> None:
    """Wait for the end of standard input, which the parent holds open for as long as it lives."""
    while sys.stdin.buffer.read(1):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # a parent that was killed left it behind
    os._exit(0)  # at once: finishing a tile would write to a store that somebody else may have taken over


async def _serve(address: str, folder: str) -> None:
    from distributed import Worker

    # No limit of memory: dask could only put aside results, of which there are none, and would pause the worker.
    async with Worker(address, nthreads=1, host="127.0.0.1", local_directory=folder, memory_limit=0) as worker:
        await worker.finished()


if __name__ == "__main__":
    Thread(target=_end_with_parent, args=(sys.argv[2],), daemon=True).start()
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
