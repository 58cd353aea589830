"""Runs cases in a child process, and watches its time and memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import xarray as xr

from tests.fuzz import seeds
from tests.fuzz.judging import Verdict, judged
from tests.fuzz.kinds import case, chosen
from tests.fuzz.place import Place

SECONDS = 20
"""A case that takes longer hangs."""
BYTES = 2 * 2**30
"""A case that takes more memory fails."""
_CASES = 300
"""Cases of one child; a new one shows what is not released."""


@dataclass
class Findings:
    """What a run has found: the number of cases by kind and by end, and one example of each distinct failure."""

    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failures: dict[tuple[str, str, str], tuple[int, int, Verdict]] = field(default_factory=dict)

    def add(self, index: int, verdict: Verdict) -> None:
        """Count a case; failures of one kind at one place are one."""
        self.ends[verdict.end] += 1
        self.kinds[verdict.kind] += 1
        if verdict.passed:
            return
        where = re.sub(r"\d{3,}|0x[0-9a-f]+|'[^']*'", "#", verdict.detail.split(": ")[0])[:110]
        key = (verdict.kind, verdict.end, where)
        count, first, example = self.failures.get(key, (0, index, verdict))
        self.failures[key] = (count + 1, first, example)

    def lines(self) -> Iterator[str]:
        """Yield a line for each distinct failure, with the number of its first case."""
        for (kind, end, _), (count, index, verdict) in sorted(self.failures.items()):
            yield f"[{end} {kind}, {count} times, --seed {self.seed} --only {index}] {verdict.what} -> {verdict.detail}"


def run(seconds: float, seed: int, kinds: str = "", most: int | None = None) -> Findings:
    """Run cases for some seconds, or so many of them, and return what was found."""
    root = Path(tempfile.mkdtemp(prefix="bayesr-fuzz-"))
    place, found = Place(root), Findings(seed)
    end, index = time.monotonic() + seconds, 0
    context = multiprocessing.get_context("forkserver")  # a fork of this process could wait for threads it lacks
    context.set_forkserver_preload([__name__])
    try:
        preparing = context.Process(target=_prepare, args=(place,))
        preparing.start()
        preparing.join()
        if preparing.exitcode:
            raise RuntimeError("the undamaged files could not be written")
        end = time.monotonic() + seconds
        while time.monotonic() < end and (most is None or index < most):
            ours, theirs = context.Pipe()
            last = min(index + _CASES, index + _CASES if most is None else most)
            child = context.Process(target=_work, args=(theirs, kinds, seed, index, last, end, place))
            child.start()
            theirs.close()
            index = _watch(child.pid or 0, ours, index, found, kinds, place)
            child.join()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return found


def _prepare(place: Place) -> None:
    place.prepare()
    seeds.write(place)


def only(seed: int, index: int, kinds: str = "") -> Verdict:
    """Run one case of a run, in this process."""
    root = Path(tempfile.mkdtemp(prefix="bayesr-fuzz-"))
    place = Place(root)
    try:
        _prepare(place)
        os.chdir(root)
        return judged(chosen(kinds), seed, index, place)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _work(to_parent: Connection, kinds: str, seed: int, first: int, last: int, end: float, place: Place) -> None:
    """Run cases, and send each verdict."""
    place.prepare()
    os.chdir(place.root)
    _warm_up(place)
    for index in range(first, last):
        if time.monotonic() > end:
            break
        to_parent.send(("begin", index, ""))
        try:
            verdict = judged(chosen(kinds), seed, index, place)
        except BaseException as error:
            verdict = Verdict("fuzzer", "", "broken", f"{type(error).__name__}: {error}")
        to_parent.send(("end", index, json.dumps(asdict(verdict))))
    to_parent.close()
    os._exit(0)


def _warm_up(place: Place) -> None:
    """Import what is imported late, so that no case is charged for it."""
    import importlib

    for name in ("matplotlib.pyplot", "h5py", "scipy.stats", "netCDF4", "rioxarray", "imagecodecs", "skimage.filters"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    xr.decode_cf(xr.Dataset())  # the first time, xarray adds a filter of warnings


def _watch(child: int, pipe: Connection, index: int, found: Findings, kinds: str, place: Place) -> int:
    """Collect the verdicts of a child, end it if it hangs or takes too much memory, and return the next number."""
    began, reason = time.monotonic(), ""
    running = False
    while True:
        try:
            if pipe.poll(0.05):
                word, index, text = pipe.recv()
                began, running = time.monotonic(), word == "begin"
                if word == "end":
                    found.add(index, Verdict(**json.loads(text)))
                    index += 1
        except EOFError:
            break
        reason = reason or _excess(child, began if running else None)
        if reason:
            os.kill(child, signal.SIGKILL)
    if running:
        found.add(index, _lost(reason, kinds, found.seed, index, place))
        index += 1
    return index


def _excess(child: int, began: float | None) -> str:
    """Return ``hung`` or ``memory`` with details, where a child must be ended."""
    if began is not None and time.monotonic() - began > SECONDS:
        return f"hung for more than {SECONDS} s"
    try:
        used = psutil.Process(child).memory_info().rss
    except psutil.Error:
        return ""
    return f"memory {used / 2**30:.1f} GiB" if used > BYTES else ""


def _lost(reason: str, kinds: str, seed: int, index: int, place: Place) -> Verdict:
    """Return the verdict of a case whose process has ended."""
    place.clear()
    try:
        kind, one = case(chosen(kinds), seed, index, place)
        what = one.what
    except Exception as error:
        kind, what = "fuzzer", repr(error)
    word = reason.partition(" ")[0] or "crashed"
    return Verdict(kind, what, word, reason or "the process ended")
