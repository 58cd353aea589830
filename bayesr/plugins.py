"""What other distributions add to bayesr by entry points.

An entry point has a name and an object, which is imported when the name is used. ``bayesr --help`` and the lists of
names import nothing. The groups:

- ``bayesr.models``: by the model's name, the path of its file, ``NAME.safetensors``;
- ``bayesr.segmenters``: by name, a function of an image ``(band, y, x)``, or the path of a segmenter file;
- ``bayesr.readers``: by a suffix such as ``.abc``, a function of a path that returns a DataArray;
- ``bayesr.exporters``: by a suffix, a function of a Dataset and a path that writes the file;
- ``bayesr.recipes``: by name, a `bayesr.training.recipe.Recipe`;
- ``bayesr.commands``: by name, a `click.Command`;
- ``bayesr.pages``: by a kind of ``bayesr report``, a function of paths and of the file to write.

What is part of bayesr itself is never replaced.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from bayesr.errors import PluginFailed

_log = logging.getLogger(__name__)

MODELS = "bayesr.models"
SEGMENTERS = "bayesr.segmenters"
READERS = "bayesr.readers"
EXPORTERS = "bayesr.exporters"
RECIPES = "bayesr.recipes"
COMMANDS = "bayesr.commands"
PAGES = "bayesr.pages"


class Point(NamedTuple):
    """An entry point: its name, its value ``MODULE:OBJECT``, and the name of its distribution."""

    name: str
    value: str
    dist: str = ""

    @property
    def owner(self) -> str:
        """The distribution, as far as it is known."""
        return self.dist or self.value

    def load(self) -> Any:
        """Import the object.

        Raises
        ------
        PluginFailed
            When that fails, for any reason.
        """
        _log.debug("importing %s of %s", self.value, self.owner)
        module, _, path = self.value.partition(":")
        try:
            found: Any = import_module(module.strip())
            for part in path.split(".") if path else ():
                found = getattr(found, part.strip())
        except Exception as error:  # its module may do anything
            raise self.failure(f"could not be loaded ({error})") from error
        return found

    def failure(self, what: str) -> PluginFailed:
        """Return an error that says what went wrong with the object."""
        return PluginFailed(f"{self.name} of {self.owner} {what}: install {self.owner} again, or remove it.")


def found(group: str) -> tuple[Point, ...]:
    """Return the installed entry points of a group, in the order of the search path.

    The files are read directly: importing `importlib.metadata` takes a third of the time of ``bayesr --help``.
    """
    return _found(group, tuple(dict.fromkeys(sys.path)))


def names(group: str) -> list[str]:
    """Return the names of a group, sorted."""
    return sorted({point.name for point in found(group)})


def first(group: str, name: str) -> Point | None:
    """Return the entry point of a name; None if none has it."""
    return next((point for point in found(group) if point.name == name), None)


def load(group: str, name: str) -> Any | None:
    """Import the object of a name; None if none has it.

    Raises
    ------
    PluginFailed
        When it cannot be imported.
    """
    point = first(group, name)
    return None if point is None else point.load()


@cache
def _found(group: str, places: tuple[str, ...]) -> tuple[Point, ...]:
    return tuple(point for folder in _metadata(places) for point in _read(folder, group))


def _metadata(places: tuple[str, ...]) -> Iterator[os.DirEntry[str]]:
    """Yield the metadata folders of installed distributions."""
    for place in places:
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
