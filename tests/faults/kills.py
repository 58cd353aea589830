"""Operations that are killed before each of their file operations, one after the other."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "tests.workers.test_faults",
        "tests.faults.test_kills_of_training",
        "bayesr_bench.rating.session",
        "click.testing",
        "torch._dynamo",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ]
)
"""Processes start in no time: one server for all tests has imported what they need."""

KILLED = 77
_CHANGING = {"os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Operation = Callable[[Path], Any]
"""What is killed, given its folder. It can be pickled."""
Numbers = Callable[[int], Iterable[int]]
"""Returns some of the numbers from 1 to the given one."""


def watch(inside: str, kill: int | None, count: int) -> None:
    """Count the file operations below a folder in the file `count`, and end the process before number `kill`."""
    lock, seen = Lock(), [0]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(args[2], int) or not args[2] & _WRITING:
                return
        elif event not in _CHANGING:
            return
        path, where = args[0], args[-1] if event in ("os.remove", "os.rmdir") else -1
        if isinstance(path, int):  # an open file
            path = os.readlink(f"/proc/self/fd/{path}")  # noqa: PTH115
        path = os.fsdecode(path)
        if isinstance(where, int) and where >= 0:  # a name in an open folder
            path = os.readlink(f"/proc/self/fd/{where}") + f"/{path}"  # noqa: PTH115
        if not path.startswith(inside):
            return
        with lock:
            seen[0] += 1
            os.pwrite(count, b"%9d" % seen[0], 0)
            if seen[0] == kill:
                os._exit(KILLED)

    sys.addaudithook(hook)


def _child(operation: Operation, folder: Path, kill: int | None, count: Path) -> None:
    watch(f"{folder}/", kill, os.open(count, os.O_WRONLY | os.O_CREAT))
    operation(folder)


def run(operation: Operation, folder: Path, kill: int | None = None) -> int:
    """Run an operation in a process of its own, killed or not; return the number of its file operations."""
    count = folder.with_name(f"{folder.name}.count")
    process = PROCESSES.Process(target=_child, args=(operation, folder, kill, count))
    process.start()
    process.join()
    assert process.exitcode == (0 if kill is None else KILLED), (kill, process.exitcode)
    found = int(count.read_text())
    count.unlink()
    return found


def cuts(operation: Operation, folder: Path, at: Numbers = lambda total: range(1, total + 1)) -> Iterator[Path]:
    """Yield copies of `folder`, in which `operation` was killed before its first, second, ... file operation.

    `at` chooses some of these numbers. The folder with the suffix ``-whole`` is one in which it was not killed.
    """
    whole = shutil.copytree(folder, folder.with_name(f"{folder.name}-whole"))
    total = run(operation, whole)
    for k in at(total):
        copy = shutil.copytree(folder, folder.with_name(f"{folder.name}-{k}"))
        run(operation, copy, k)
        yield copy
        shutil.rmtree(copy)


def spaced(count: int) -> Numbers:
    """Choose that many numbers, evenly spaced, the last one included."""
    return lambda total: [k for k in range(1, total + 1) if k * count // total > (k - 1) * count // total]
