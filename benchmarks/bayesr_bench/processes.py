"""Run tasks in processes of their own, each on one thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

import torch

Given = TypeVar("Given")
Result = TypeVar("Result")


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
