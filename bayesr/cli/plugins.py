"""Commands and pages that other distributions add, found by their entry points.

A distribution adds a command to ``bayesr`` with an entry point of the group ``bayesr.commands``. The name of the entry
point is the name of the command, and its object is a `click.Command`. An entry point of the group ``bayesr.pages``
adds a kind of page to ``bayesr report``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click

COMMANDS = "bayesr.commands"
PAGES = "bayesr.pages"
INSTALL = "pip install ./benchmarks, in a copy of the repository, or pip install bayesr-bench"
"""How to install the distribution that has the commands of `KNOWN`."""
KNOWN = ("bench", "data", "rate")
"""Commands of bayesr-bench. Their names exist even if it is not installed."""


class Point(NamedTuple):
    """An entry point.

    Attributes
    ----------
    name : str
    value : str
        ``MODULE:OBJECT``.
    dist : str
        The name of the distribution.
    """

    name: str
    value: str
    dist: str = ""

    def load(self) -> Any:
        """Import the object."""
        module, _, path = self.value.partition(":")
        found: Any = import_module(module.strip())
        for part in path.split(".") if path else ():
            found = getattr(found, part.strip())
        return found


def names() -> list[str]:
    """Return the names of the commands of other distributions, and those of `KNOWN`."""
    return sorted({*(point.name for point in found(COMMANDS)), *KNOWN})


@cache
def found(group: str) -> tuple[Point, ...]:
    """Return the entry points of a group in all installed distributions.

    The files are read directly: importing `importlib.metadata` takes a third of the time of ``bayesr --help``.
    """
    return tuple(point for folder in _metadata() for point in _read(folder, group))


def _metadata() -> Iterator[os.DirEntry[str]]:
    """The folders with the metadata of installed distributions, in the order of the module search path."""
    for place in dict.fromkeys(sys.path):
        try:
            with os.scandir(place or ".") as entries:
                yield from (entry for entry in entries if entry.name.endswith((".dist-info", ".egg-info")))
        except OSError:  # an archive, or a folder that does not exist
            continue


def _read(folder: os.DirEntry[str], group: str) -> Iterator[Point]:
    try:
        text = Path(folder.path, "entry_points.txt").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # most distributions have none
        return
    section = ""
    for line in map(str.strip, text.splitlines() if group in text else ()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == group and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            distribution = folder.name.rpartition(".")[0].partition("-")[0].replace("_", "-")
            yield Point(name.strip(), value.strip(), distribution)


def command(name: str) -> click.Command | None:
    """Return the command of another distribution; None if no distribution has one of this name."""
    point = _first(COMMANDS, name)
    if point is None:
        return _missing(name) if name in KNOWN else None
    try:
        loaded: click.Command = point.load()
    except ImportError as error:
        owner = point.dist or point.value
        message = f"`bayesr {name}` of {owner} could not be loaded ({error}): install {owner} again, or remove it."
        return _failing(name, message, f"Could not be loaded from {owner}.")
    return loaded


def page(name: str) -> Any | None:
    """Return the function that writes a kind of page; None if no distribution has one of this name."""
    point = _first(PAGES, name)
    return None if point is None else point.load()


def _first(group: str, name: str) -> Point | None:
    return next((point for point in found(group) if point.name == name), None)


def _missing(name: str) -> click.Command:
    message = f"`bayesr {name}` is part of bayesr-bench, which is not installed: {INSTALL}."
    return _failing(name, message, "Part of bayesr-bench, which is not installed.")


def _failing(name: str, message: str, summary: str) -> click.Command:
    """Return a command that accepts any arguments and ends with an error message."""

    def fail(rest: tuple[str, ...]) -> None:
        raise click.ClickException(message)

    rest = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(
        name, params=[rest], callback=fail, short_help=summary, add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )  # fmt: skip
