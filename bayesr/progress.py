"""Progress of long computations: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float], None]

_PLAIN_EVERY = 10.0
"""Seconds between plain lines."""


@contextmanager
def progress(label: str, total: float, show: bool | None) -> Iterator[Advance]:
    """Provide a function to call with the amount of work just done.

    Parameters
    ----------
    label : str
        Text before the bar.
    total : float
        The total amount of work.
    show : bool or None
        True shows a bar on a terminal, else a plain line every ten seconds. None shows the bar on a terminal only.
        False shows nothing.
    """
    terminal = sys.stderr.isatty()
    if show is False or (show is None and not terminal):
        yield lambda amount: None
        return
    if terminal:
        from rich.console import Console  # start-up time
        from rich.progress import Progress  # start-up time

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda amount: bar.advance(task, amount)
        return
    done, printed = 0.0, time.monotonic()

    def advance(amount: float) -> None:
        nonlocal done, printed
        done += amount
        if time.monotonic() - printed > _PLAIN_EVERY:
            printed = time.monotonic()
            print(f"{label}: {100 * done / total:.0f}%", file=sys.stderr, flush=True)

    yield advance
