"""Progress of long computations: a bar on a terminal, plain lines elsewhere, and programs that listen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Advance = Callable[[float], None]
Listener = Callable[[str, float], None]
"""Called with the label of a computation, and the share of it that is done, in [0, 1]."""

_PLAIN_EVERY = 10.0
"""Seconds between plain lines."""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a function about the progress of what this thread computes inside, whatever else is shown.

    Programs with windows draw bars of their own from it. What the listener raises ends the computation as an interrupt
    does: an unfinished store can be resumed, and of products in memory nothing is left.

    Parameters
    ----------
    listener : callable
        Called with a label, such as ``"sampling"``, and the share that is done, in [0, 1].
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


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
    with _shown(label, total, show) as advance:
        listener = _listener.get()
        yield advance if listener is None else _heard(label, total, advance, listener)


def _heard(label: str, total: float, advance: Advance, listener: Listener) -> Advance:
    """Return a function that also tells a listener, which hears of the beginning at once."""
    done = 0.0
    listener(label, done)

    def both(amount: float) -> None:
        nonlocal done
        done += amount
        listener(label, min(1.0, done / total) if total else 1.0)
        advance(amount)

    return both


@contextmanager
def _shown(label: str, total: float, show: bool | None) -> Iterator[Advance]:
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
