"""Commands and pages that other distributions add by entry points.

An entry point of the group ``bayesr.commands`` adds a command to ``bayesr``: its name is that of the command, and its
object is a `click.Command`. One of the group ``bayesr.pages`` adds a kind of page to ``bayesr report``.
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
"""How to install the commands of `KNOWN`."""
KNOWN = ("bench", "data", "rate")
"""Commands of bayesr-bench, which are listed even if it is not installed."""


class Point(NamedTuple):
    """An entry point: its name, its value ``MODULE:OBJECT``, and the name of its distribution."""

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
    """Return the names of other distributions' commands, and those of `KNOWN`."""
    return sorted({*(point.name for point in found(COMMANDS)), *KNOWN})


@cache
def found(group: str) -> tuple[Point, ...]:
    """Return the installed entry points of a group.

    The files are read directly: importing `importlib.metadata` takes a third of the time of ``bayesr --help``.
    """
    return tuple(point for folder in _metadata() for point in _read(folder, group))


def _metadata() -> Iterator[os.DirEntry[str]]:
    """Yield the metadata folders of installed distributions, in the order of the search path."""
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
    """Return another distribution's command; None if none has this name."""
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
    """Return the function that writes a kind of page; None if none has this name."""
    point = _first(PAGES, name)
    return None if point is None else point.load()


def _first(group: str, name: str) -> Point | None:
    return next((point for point in found(group) if point.name == name), None)


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
