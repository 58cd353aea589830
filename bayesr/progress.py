"""Progress of long computations: a bar on terminals and in notebooks, plain lines elsewhere; programs may listen."""

from __future__ import annotations

import html
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Advance = Callable[[float], None]
Listener = Callable[[str, float], None]
"""Called with the label of a computation, and the share of it that is done, in [0, 1]."""

_PLAIN_EVERY = 10.0
"""Seconds between plain lines."""
_NOTEBOOK_AFTER, _NOTEBOOK_EVERY = 0.5, 0.2
"""Seconds until a notebook shows a bar, and between its updates."""
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)
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
def hidden() -> Iterator[None]:
    """Show no progress of what this thread computes inside, whatever is asked for; listeners hear of it."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def is_hidden() -> bool:
    """Return whether this runs inside `hidden`."""
    return _hidden.get()


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
        True shows a bar on a terminal or in a notebook, else a plain line every ten seconds. None shows the bar on a
        terminal or in a notebook only. False shows nothing.
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
    notebook, terminal = _in_notebook(), sys.stderr.isatty()
    if show is False or is_hidden() or (show is None and not (terminal or notebook)):
        yield lambda amount: None
        return
    if notebook:
        with _notebook_bar(label, total) as shown:
            yield shown
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


def _in_notebook() -> bool:
    """Return whether this runs in a kernel of Jupyter, whose outputs can be replaced."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)  # loaded, where it runs the program
    return find is not None and getattr(find(), "kernel", None) is not None


@contextmanager
def _notebook_bar(label: str, total: float) -> Iterator[Advance]:
    """Show a bar in a notebook as long as the computation takes.

    It is an output of HTML that is replaced. The bars of rich and tqdm need ipywidgets in the notebook and an extension
    in JupyterLab, warn without them, and stay in the saved notebook.
    """
    from IPython.display import display, update_display  # there, as this runs in its kernel

    name = f"bayesr-{secrets.token_hex(8)}"
    shown, done, printed = False, 0.0, time.monotonic()

    def show(share: float) -> None:
        nonlocal shown
        text = f"{label}: {share:.0%}"
        bar = f"<label>{html.escape(text)} <progress value='{share:.3f}' max='1'></progress></label>"
        put: Callable[..., Any] = update_display if shown else display
        put({"text/html": bar, "text/plain": text}, raw=True, display_id=name)
        shown = True

    def advance(amount: float) -> None:
        nonlocal done, printed
        done += amount
        if time.monotonic() - printed > (_NOTEBOOK_EVERY if shown else _NOTEBOOK_AFTER):
            printed = time.monotonic()
            show(min(1.0, done / total) if total else 1.0)

    try:
        yield advance
    finally:
        if shown:
            update_display({"text/html": "", "text/plain": ""}, raw=True, display_id=name)
