"""Clients of the clusters that a user can name, and local worker processes that end with the run."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import dask
from distributed import Client, LocalCluster, Security
from distributed.deploy.cluster import Cluster
from distributed.utils import silence_logging_cmgr

from bayesr.errors import InvalidArgument, WorkersFailed

ReplaceDeadWorkers = Callable[[int], None]
"""Replaces worker processes that have died; called with the number of tiles done so far."""

CONNECT_TIMEOUT = 30.0
"""Seconds within which a scheduler must answer."""

MAX_DEATHS = 5
"""Most deaths per worker process before a tile is finished."""

_LOGGER = logging.getLogger("bayesr")

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@contextmanager
def connected(cluster: int | str | Client | Cluster) -> Iterator[tuple[Client, ReplaceDeadWorkers]]:
    """Connect to a cluster: yield a client, and a function that replaces dead workers."""
    if isinstance(cluster, Client):
        if cluster.asynchronous or cluster.status != "running":
            raise InvalidArgument("The client given as cluster= is closed or asynchronous: give distributed.Client().")
        yield cluster, lambda done: None
    elif isinstance(cluster, int) and not isinstance(cluster, bool):
        if cluster < 1:
            raise InvalidArgument(f"There must be at least 1 worker process, not {cluster}.")
        with _WorkerProcesses(cluster) as processes, _client(processes.scheduler) as client:
            # Other clusters may have workers in this process, where dask would forward a record to itself for ever.
            client.forward_logging(_LOGGER.name)
            yield client, processes.replace_dead_workers
    elif isinstance(cluster, str | Cluster):
        with _client(cluster) as client:
            yield client, lambda done: None
    else:
        raise InvalidArgument(
            "cluster= must be a number of processes, the address of a scheduler, a distributed.Client or a dask "
            f"cluster, not {type(cluster).__name__}."
        )


@contextmanager
def _client(cluster: str | Cluster) -> Iterator[Client]:
    client, reason = None, ""
    try:
        client = Client(cluster, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error)
    if client is None:
        gc.collect()  # distributed waits for ever if a client that failed is collected while another starts
        raise InvalidArgument(
            f"No scheduler answers at {cluster} ({reason}): start one with `dask scheduler` and give its address, such "
            "as tcp://host:8786."
        )
    with client:
        yield client


class _WorkerProcesses:
    """A scheduler in this process, and worker processes with one thread each on this machine.

    A scheduler runs the code that its clients send. They are therefore admitted by a certificate, which is made for
    this cluster and exists only in the memory of its processes.

    Workers are commands: `multiprocessing` would run the user's script again in each, and fail for scripts without
    ``if __name__ == "__main__"``. Each holds one end of a pipe, and ends when this process ends in any way.
    """

    scheduler: LocalCluster

    def __init__(self, count: int) -> None:
        self._workers: list[_WorkerProcess] = []
        self._count, self._deaths, self._done = count, 0, 0

    def __enter__(self) -> _WorkerProcesses:
        with ExitStack() as stack:
            self._folder = Path(tempfile.mkdtemp(prefix="bayesr-"))
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            # Errors report workers that died. The cluster's own `silence_logs` ends before its last messages.
            stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
            self._security = Security.temporary()
            self.scheduler = self._scheduler()
            stack.callback(self.scheduler.close)
            stack.callback(self._end)
            for _ in range(self._count):
                self._workers.append(self._start())
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def _end(self) -> None:
        for worker in self._workers:
            worker.release()
        for worker in self._workers:
            worker.end()

    def _scheduler(self) -> LocalCluster:
        settings = {
            "temporary-directory": str(self._folder),
            "distributed.scheduler.http.routes": [],  # dask shows these pages without a certificate
        }
        with dask.config.set(settings):
            return LocalCluster(
                n_workers=0,
                processes=True,  # TLS over TCP, on the loopback interface only
                host="127.0.0.1",
                security=self._security,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # any free port
                silence_logs=False,
            )

    def replace_dead_workers(self, done: int) -> None:
        """Replace dead worker processes, unless they die repeatedly without finishing a tile."""
        dead = [worker for worker in self._workers if worker.exit_code is not None]
        if done > self._done:
            self._done, self._deaths = done, 0
        self._deaths += len(dead)
        if self._deaths > MAX_DEATHS * self._count:
            raise WorkersFailed(
                f"Worker processes die before they finish a tile, at last with exit code {dead[-1].exit_code} "
                f"({dead[-1].last_error_line}). If memory is short, use fewer workers or a smaller tile. Finished "
                "tiles are kept: call again with resume=True."
            )
        for worker in dead:
            worker.end()
            self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _WorkerProcess:
        return _WorkerProcess(self.scheduler.scheduler_address, self._folder, self._security)


class _WorkerProcess:
    """A local worker process, which ends when its standard input is closed."""

    def __init__(self, address: str, folder: Path, security: Security) -> None:
        search_path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
        environment = os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": search_path}
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bayesr.workers", address, str(folder), str(_LOGGER.getEffectiveLevel())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process only, which stops the others
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )
        # Through the pipe: other users can read the arguments of a process.
        with suppress(BrokenPipeError):  # it has died already, which `exit_code` tells
            self._stdin.write(json.dumps(security.get_tls_config_for_role("worker")).encode() + b"\n")
            self._stdin.flush()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def last_error_line(self) -> str:
        """The last line of the process's standard error."""
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def release(self) -> None:
        """Close the pipe, so that the process ends."""
        with suppress(BrokenPipeError):
            self._stdin.close()

    def end(self) -> None:
        self.release()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
