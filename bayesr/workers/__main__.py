"""Run a one-thread worker process that ends with its parent: ``python -m bayesr.workers ADDRESS FOLDER LEVEL``.

The first line of standard input holds the certificate and the key of the cluster, as JSON. The level is that of the
parent's logger, to which records are forwarded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from threading import Thread


def _end_with_parent(folder: str) -> None:
    """Exit when standard input ends, which the parent process keeps open."""
    while sys.stdin.buffer.read(1):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # a killed parent leaves it behind
    os._exit(0)  # at once: another process may own the store by now


async def _serve(address: str, folder: str, tls: Mapping[str, str]) -> None:
    # Start-up time: standard input is watched from the start.
    import dask
    from distributed import Security, Worker

    security = Security(
        require_encryption=True, tls_ca_file=tls["ca_file"], tls_worker_cert=tls["cert"], tls_worker_key=tls["key"]
    )
    dask.config.set({"distributed.worker.http.routes": []})  # dask shows these pages without a certificate
    # No limit: tasks have no results that dask could spill to disk, and it would pause the worker.
    async with Worker(
        address, nthreads=1, host="127.0.0.1", local_directory=folder, memory_limit=0, security=security
    ) as worker:
        await worker.finished()


if __name__ == "__main__":
    _, address, folder, level = sys.argv
    logging.getLogger("bayesr").setLevel(int(level))
    first = sys.stdin.buffer.readline()
    if not first.endswith(b"\n"):  # the parent has ended already
        _end_with_parent(folder)
    Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    asyncio.run(_serve(address, folder, json.loads(first)))
