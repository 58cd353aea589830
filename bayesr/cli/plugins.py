"""Commands and pages of other distributions, which announce them as entry points.

A distribution adds a command to ``bayesr`` with an entry point of the group ``bayesr.commands``, whose name is that of
the command and whose object is a `click.Command`. Commands of bayesr itself are not replaced.

The group ``bayesr.pages`` has one name, ``tables``. Its object is a function of (sources, out) with which
``bayesr report`` writes the page of recorded tables and training histories; bayesr-bench provides it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

COMMANDS = "bayesr.commands"
PAGES = "bayesr.pages"
INSTALL = "pip install ./benchmarks, in a copy of the repository, or pip install bayesr-bench"
"""How the distribution of `KNOWN` is installed."""
KNOWN = ("bench", "data", "rate")
"""Commands of bayesr-bench: their names exist without it, too."""


def names() -> list[str]:
    """The names of all commands that come from elsewhere, and of those that could."""
    return sorted({*found(COMMANDS).names, *KNOWN})


@cache
def found(group: str) -> EntryPoints:
    """The entry points of a group, of everything that is installed."""
    from importlib.metadata import entry_points  # start-up time: most commands are bayesr's own

    return entry_points(group=group)


def command(name: str) -> click.Command | None:
    """The command that another distribution has under a name; None where there is none."""
    point = _first(COMMANDS, name)
    if point is None:
        return _absent(name) if name in KNOWN else None
    try:
        loaded: click.Command = point.load()
    except ImportError as error:
        owner = point.value if point.dist is None else point.dist.name
        message = f"`bayesr {name}` of {owner} could not be loaded ({error}): install {owner} again, or remove it."
        return _failing(name, message, f"Could not be loaded from {owner}.")
    return loaded


def page(name: str) -> Any | None:
    """What another distribution registered for a kind of page; None where there is nothing."""
    point = _first(PAGES, name)
    return None if point is None else point.load()


def _first(group: str, name: str) -> EntryPoint | None:
    return next((point for point in found(group) if point.name == name), None)


def _absent(name: str) -> click.Command:
    message = f"`bayesr {name}` is part of bayesr-bench, which is not installed: {INSTALL}."
    return _failing(name, message, "Part of bayesr-bench, which is not installed.")


def _failing(name: str, message: str, summary: str) -> click.Command:
    """A command that takes whatever it is given and ends with a message."""

    def fail(rest: tuple[str, ...]) -> None:
        raise click.ClickException(message)

    rest = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(
        name, params=[rest], callback=fail, short_help=summary, add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )  # fmt: skip
