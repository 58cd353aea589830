"""Command line. Commands import slow packages when they run, so help appears at once."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import Any

import click

from bayesr import errors
from bayesr.cli import plugins
from bayesr.cli.options import examples
from bayesr.cli.spelling import Spelling
from bayesr.progress import hidden
from bayesr.version import __version__

COMMANDS = {
    "aggregate": "products:aggregate",
    "calibrate": "models:calibrate",
    "card": "catalogue:card",
    "check": "sampling:check",
    "components": "products:components",
    "curves": "models:curves",
    "demo": "sampling:demo",
    "examples": "sampling:examples",
    "export": "products:export",
    "export-model": "catalogue:export_model",
    "extend": "sampling:extend",
    "models": "catalogue:models",
    "observe": "observing:observe",
    "report": "pages:report",
    "sample": "sampling:sample",
    "score": "products:score",
    "segment": "products:segment",
    "train": "models:train",
    "train-segmenter": "segmenters:train_segmenter",
}
"""The module and function of each command. Other distributions add theirs by `plugins`."""


class _Group(click.Group):
    """Loads commands when used, and shows errors and warnings without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *plugins.names()})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return plugins.command(name)
        module, function = COMMANDS[name].split(":")
        command: click.Command = getattr(import_module(f"bayesr.cli.{module}"), function)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if ctx.params["quiet"]:
                return
            ours = category.__module__ == errors.__name__
            text = self._spelled(ctx, str(message)) if ours else f"{category.__name__}: {message}"
            click.echo(f"Warning: {text}", err=True)

        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # names of files need not be UTF-8
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings(), _orderly_end(), ExitStack() as stack:
                warnings.showwarning = show
                stack.enter_context(_logged(ctx.params["verbose"]))
                if ctx.params["quiet"]:
                    stack.enter_context(hidden())
                return super().invoke(ctx)
        except errors.BayesrError as error:
            raise click.ClickException(self._spelled(ctx, str(error))) from error

    def _spelled(self, ctx: click.Context, message: str) -> str:
        """Return a message of the library in the spelling of the command that was called."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        return message if command is None else Spelling(command, lambda name: self.get_command(ctx, name))(message)


class _Lines(logging.Handler):
    """Writes records to standard error, above a bar of progress if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


@contextmanager
def _logged(verbose: int) -> Iterator[None]:
    """Show what bayesr logs: nothing, INFO for 1, DEBUG for more."""
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("bayesr"), _Lines()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """End at SIGTERM as at Ctrl-C, so that temporary files are removed and what is half written is taken back."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # it may come again, to the process and to its group
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("bayesr demo", "bayesr -v sample photo.png photo.zarr", "bayesr sample --help"),
)
@click.option("-v", "--verbose", count=True, help="Also say what is done, on standard error; -vv says more.")
@click.option("-q", "--quiet", is_flag=True, help="Show results and errors alone: no progress and no warnings.")
@click.version_option(__version__, prog_name="bayesr")
def main(verbose: int, quiet: bool) -> None:
    """Stochastic super-resolution with calibrated uncertainty."""
    if verbose and quiet:
        raise click.UsageError("-v and -q contradict each other: choose one.")
