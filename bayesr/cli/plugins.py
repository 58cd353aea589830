"""Commands and pages that other distributions add by entry points (`bayesr.plugins`)."""

from __future__ import annotations

from typing import Any

import click

from bayesr import plugins
from bayesr.errors import PluginFailed

INSTALL = "pip install ./benchmarks, in a copy of the repository, or pip install bayesr-bench"
"""How to install the commands of `KNOWN`."""
KNOWN = ("bench", "data", "rate")
"""Commands of bayesr-bench, which are listed even if it is not installed."""


def names() -> list[str]:
    """Return the names of other distributions' commands, and those of `KNOWN`."""
    return sorted({*plugins.names(plugins.COMMANDS), *KNOWN})


def command(name: str) -> click.Command | None:
    """Return another distribution's command; None if none has this name."""
    point = plugins.first(plugins.COMMANDS, name)
    if point is None:
        return _missing(name) if name in KNOWN else None
    try:
        loaded: click.Command = point.load()
    except PluginFailed as error:
        return _failing(name, str(error), f"Could not be loaded from {point.owner}.")
    return loaded


def page(name: str) -> Any | None:
    """Return the function that writes a kind of page; None if none has this name."""
    return plugins.load(plugins.PAGES, name)


def _missing(name: str) -> click.Command:
    message = f"`bayesr {name}` is part of bayesr-bench, which is not installed: {INSTALL}."
    return _failing(name, message, "Part of bayesr-bench, which is not installed.")


def _failing(name: str, message: str, summary: str) -> click.Command:
    """Return a command that takes any arguments and fails with a message."""

    def fail(rest: tuple[str, ...]) -> None:
        raise click.ClickException(message)

    rest = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(
        name, params=[rest], callback=fail, short_help=summary, add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )  # fmt: skip
