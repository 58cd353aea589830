"""Run tasks in processes of their own: functions, each on one thread, and code whose time and memory are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

Given = TypeVar("Given")
Result = TypeVar("Result")

_BEGIN = """
import json, resource, sys, time
given = json.loads(sys.argv[1])

def peak(who=resource.RUSAGE_SELF):
    # Linux counts what a large process that started this one had at that moment, but for VmHWM.
    if who == resource.RUSAGE_SELF and sys.platform == "linux":
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**10
    return resource.getrusage(who).ru_maxrss / 2**10
"""


def run_code(code: str, folder: Path | None = None, **given: Any) -> Any:
    """Run Python code in a process of its own, and return what it prints last, which is JSON; None without a line.

    In the code, `given` is a dict of the arguments, and ``peak()`` returns the largest resident size of the process
    until then, in MiB. Warnings are not shown.

    Parameters
    ----------
    code : str
    folder : Path, optional
        The working folder.
    **given
        Plain values.

    Raises
    ------
    subprocess.CalledProcessError
        If the code fails.
    """
    command = [sys.executable, "-W", "ignore", "-c", _BEGIN + code, json.dumps(given)]
    printed = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return json.loads(printed[-1]) if printed else None


def run_each(
    work: Callable[[Given], Result], tasks: Sequence[Given], workers: int
) -> Iterator[tuple[Given, Result | BaseException]]:
    """Run every task on one thread, and yield it with its result, or with its error, when it ends.

    With one worker the tasks run in this process. With several workers each task has a process of its own: its memory
    is released when it ends, and if it is killed only this task fails.

    Parameters
    ----------
    work : callable
        A function at the top of a module, since it is pickled.
    tasks : sequence
    workers : int
        Tasks at a time.
    """
    if workers == 1:
        yield from _run_here(work, tasks)
        return

    def alone(task: Given) -> Result:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(work, task).result()

    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # torch and other packages read it in each new process
    pool = ThreadPoolExecutor(workers)
    try:
        running = {pool.submit(alone, task): task for task in tasks}
        for one in as_completed(running):
            yield running[one], one.exception() or one.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after an interruption no further task starts
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _run_here(
    work: Callable[[Given], Result], tasks: Sequence[Given]
) -> Iterator[tuple[Given, Result | BaseException]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for task in tasks:
            try:
                found: Result | BaseException = work(task)
            except Exception as error:
                found = error
            yield task, found
    finally:
        torch.set_num_threads(threads)
