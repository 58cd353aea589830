"""Run a one-thread worker process that ends with its parent: ``python -m bayesr.workers ADDRESS FOLDER``."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from threading import Thread


def _end_with_parent(folder: str) -> None:
    """Exit when standard input ends, which the parent process keeps open."""
    while sys.stdin.buffer.read(1):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # a killed parent leaves it behind
    os._exit(0)  # at once: another process may own the store by now


async def _serve(address: str, folder: str) -> None:
    from distributed import Worker  # start-up time: standard input is watched from the start

    # No limit: tasks have no results that dask could spill to disk, and it would pause the worker.
    async with Worker(address, nthreads=1, host="127.0.0.1", local_directory=folder, memory_limit=0) as worker:
        await worker.finished()


if __name__ == "__main__":
    Thread(target=_end_with_parent, args=(sys.argv[2],), daemon=True).start()
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
