"""From what a user says of a cluster to a client of it; processes of our own end with the run."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.deploy.cluster import Cluster

from bayesr.errors import InvalidArgument, WorkersFailed

Tend = Callable[[int], None]
"""Keeps workers alive; called with the number of tiles done so far."""

CONNECT_TIMEOUT = 30.0
"""Seconds that a scheduler has to answer."""

MAX_DEATHS = 5
"""How many times over all worker processes may die before a tile is finished."""

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@contextmanager
def connected(cluster: int | str | Client | Cluster) -> Iterator[tuple[Client, Tend]]:
    """A client of the cluster, and a function that keeps its workers alive, to be called with the tiles done so far."""
    if isinstance(cluster, Client):
        if cluster.asynchronous or cluster.status != "running":
            raise InvalidArgument("The client given as cluster= is closed or asynchronous: give distributed.Client().")
        yield cluster, lambda done: None
    elif isinstance(cluster, int) and not isinstance(cluster, bool):
        if cluster < 1:
            raise InvalidArgument(f"There must be at least 1 worker process, not {cluster}.")
        with _Processes(cluster) as processes, _client(processes.scheduler) as client:
            yield client, processes.tend
    elif isinstance(cluster, str | Cluster):
        with _client(cluster) as client:
            yield client, lambda done: None
    else:
        raise InvalidArgument(
            "cluster= is a number of processes, the address of a scheduler, a distributed.Client or a dask cluster, "
            f"not {type(cluster).__name__}."
        )


@contextmanager
def _client(cluster: str | Cluster) -> Iterator[Client]:
    try:
        client = Client(cluster, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidArgument(
            f"There is no scheduler at {cluster} that answers ({error}): start one with `dask scheduler` and give its "
            "address, such as tcp://host:8786."
        ) from error
    with client:
        yield client


class _Processes:
    """A scheduler in this process, and worker processes of one thread each on this machine.

    Workers are started by command, not by `multiprocessing`, which would run the user's script once more in each of
    them and fail where that has no ``if __name__ == "__main__"``. Each holds one end of a pipe, and ends at once when
    this process does, in whatever way that happens.
    """

    def __init__(self, count: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bayesr-"))
        with dask.config.set({"temporary-directory": str(self._folder)}):
            self.scheduler = LocalCluster(
                n_workers=0,
                processes=True,  # TCP, on the loopback interface alone
                host="127.0.0.1",
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # any free port
                silence_logs=logging.CRITICAL,  # workers that come and go are told of in errors, where it matters
            )
        self._workers: list[_Process] = []
        self._count, self._deaths, self._done = count, 0, 0

    def __enter__(self) -> _Processes:
        self._workers = [self._start() for _ in range(self._count)]
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.let_go()
        for worker in self._workers:
            worker.end()
        self.scheduler.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def tend(self, done: int) -> None:
        """Start another process for each that died, unless they do nothing but die."""
        dead = [worker for worker in self._workers if worker.exit_code is not None]
        if done > self._done:
            self._done, self._deaths = done, 0
        self._deaths += len(dead)
        if self._deaths > MAX_DEATHS * self._count:
            raise WorkersFailed(
                f"Worker processes die before they finish a tile, at last with exit code {dead[-1].exit_code} "
                f"({dead[-1].last_words}). Where memory is short, take fewer workers or a smaller tile. What was "
                "finished stays: call again with resume=True."
            )
        for worker in dead:
            worker.end()
            self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Process:
        return _Process(self.scheduler.scheduler_address, self._folder)


class _Process:
    """One worker process."""

    def __init__(self, address: str, folder: Path) -> None:
        here = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)  # what we can import, it can
        environment = os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": here}
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bayesr.workers", address, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C on a terminal reaches this process alone, which then stops the others
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )

    @property
    def exit_code(self) -> int | None:
        """None as long as it lives."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def let_go(self) -> None:
        """Make it end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self) -> None:
        """Let it go, and wait for its end."""
        self.let_go()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
