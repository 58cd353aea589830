"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing when not asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float], None]

_PLAIN_EVERY = 10.0


@contextmanager
def progress(what: str, total: float, show: bool | None) -> Iterator[Advance]:
    """A function to call with the amount of work just done.

    Parameters
    ----------
    what : str
        Shown before the bar.
    total : float
        All the work there is.
    show : bool or None
        True shows a bar on a terminal and plain lines elsewhere, every ten seconds; None shows the
        bar on a terminal only; False shows nothing.
    """
    terminal = sys.stderr.isatty()
    if show is False or (show is None and not terminal):
        yield lambda amount: None
        return
    if terminal:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda amount: bar.advance(task, amount)
        return
    done, said = 0.0, time.monotonic()

    def advance(amount: float) -> None:
        nonlocal done, said
        done += amount
        if time.monotonic() - said > _PLAIN_EVERY:
            said = time.monotonic()
            print(f"{what}: {100 * done / total:.0f}%", file=sys.stderr, flush=True)

    yield advance
