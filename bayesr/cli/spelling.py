"""Messages of the library in the spelling of the command line: ``--overwrite`` for ``overwrite=True``.

The library speaks Python: ``nodata=-9999``, ``bayesr.extend('a.zarr', 8)``. Which options there are is asked of the
command that was called. Arguments that it lacks are options of ``bayesr sample``, which draws products first; other
Python, such as ``ds.isel(y=...)``, stays as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import click

FUNCTIONS = {
    "aggregate": (),
    "calibrate": ("model", "data"),
    "check": ("store",),
    "components": (),
    "extend": ("store", "n"),
    "models": (),
    "sample": ("img", "store"),
    "score": ("store", "reference"),
    "segment": (),
    "train": ("recipe", "data"),
}
"""Functions that are commands, and the names of their first arguments."""

_AGAIN = ("overwrite", "resume")
"""Flags for calling the same command again. Where a command lacks them, they are left out of the advice."""

_OPPOSITES = {"calibrated": "raw"}
"""Arguments whose flag says the opposite."""

_NESTED = r"""\((?:'[^']*'|"[^"]*"|[^()'"]|\((?:'[^']*'|"[^"]*"|[^()'"]|\([^()]*\))*\))*\)"""
_VALUE = r"""float\('\w+'\)|'[^']*'|"[^"]*"|\([^()]*\)|[-+]?\w+(?:\.\w+)?(?:[-+]\d+)?|"""
_PYTHON = re.compile(
    rf"""(?<![\w.])(?:bayesr\.)?(?P<function>{"|".join(FUNCTIONS)})(?P<arguments>{_NESTED})
    | (?<![\w./-])bayesr\.(?P<bare>{"|".join(FUNCTIONS)})\b(?!\.\w|\()
    | (?<![\w.])(?P<other>[A-Za-z_][\w.]*{_NESTED})
    | (?<![\w./'"-])(?P<name>[a-z][a-z_]*)=(?P<value>{_VALUE})""",
    re.VERBOSE,
)
_ARGUMENT = re.compile(rf"""\s*(?:(?P<name>[a-z_]+)=)?(?P<value>\.\.\.|{_VALUE})\s*(?:,|$)""")


@dataclass(frozen=True)
class Spelling:
    """The spelling of messages for the user of a command.

    Attributes
    ----------
    command : Command
        The command that was called.
    find : callable
        Returns the command of a name.
    """

    command: click.Command
    find: Callable[[str], click.Command | None]

    def __call__(self, message: str) -> str:
        """Return a message in the spelling of the command line."""
        for flag in set(_AGAIN) - {option.name for option in options(self.command)}:
            message = _without(flag, message)
        parts, end = list[str](), 0
        for match in _PYTHON.finditer(message):
            before = message[end : match.start()]
            parts += [before, self._replaced(match, "".join([*parts, before]))]
            end = match.end()
        return self._names("".join([*parts, message[end:]]))

    def _replaced(self, match: re.Match[str], before: str) -> str:
        if match["function"]:
            return self._call(match["function"], match["arguments"][1:-1])
        if match["bare"]:
            return f"bayesr {match['bare']}"
        if match["name"]:
            return self._argument(match["name"], match["value"], before) or match[0]
        return match[0]

    def _call(self, function: str, arguments: str) -> str:
        """Return the command for a call, such as ``sample(..., resume=True)``."""
        command, words = self.find(function), [f"bayesr {function}"]
        positions = iter(FUNCTIONS[function])
        for match in _ARGUMENT.finditer(arguments):
            name, value = match["name"], match["value"]
            if value == "...":
                words.append(value)
            elif value or name:
                words.append(_word(command, name or next(positions, ""), value, named=name is not None))
        return " ".join(words)

    def _argument(self, name: str, value: str, before: str) -> str | None:
        """Return an argument of the command, or of ``bayesr sample``; None if neither has it."""
        found = spelled(self.command, name, value)
        if found is not None:
            return found
        sample = self.find("sample")
        found = None if sample is None else spelled(sample, name, value)
        if found is None or re.search(r"\bsample\b[^.:;]*$", before):  # the sentence speaks of sampling already
            return found
        if name == "store":
            return f"bayesr sample IN {found}"
        return f"bayesr sample {found}".replace("sample no --", "sample without --")

    def _names(self, message: str) -> str:
        """Replace names of arguments that stand alone, at the beginning or where they are to be left out."""
        known = {option.name: _longest(option) for option in options(self.command) if option.name}
        name = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
        if not name:
            return message
        for pattern in (rf"(?<=: )({name})(?= must )", rf"\A({name})(?= (?:must|are|goes|and) )",
                        rf"(?<=\A--overwrite and )({name})(?= )", rf"(?<=leave )({name})(?= out)"):  # fmt: skip
            message = re.sub(pattern, lambda match: known[match[1]], message)
        return message


def _without(flag: str, message: str) -> str:
    """Return a message that does not advise a flag."""
    message = re.sub(rf" \(with {flag}=True[^()]*\)", "", message)
    message = re.sub(rf", ([^,.;:]+), or {flag}=True(?=[.;]|$)", r" or \1", message)
    return re.sub(rf"(?:,? or| with|,) {flag}=True(?=[,.;]|$)", "", message)


def options(command: click.Command) -> list[click.Option]:
    """Return the options of a command."""
    return [one for one in command.params if isinstance(one, click.Option)]


def spelled(command: click.Command, name: str, value: str) -> str | None:
    """Return an argument of a function, and its value in Python, as part of a command; None if it has no such option.

    Examples
    --------
    ``("overwrite", "True")`` becomes ``--overwrite``, ``("nodata", "float('nan')")`` becomes ``--nodata nan``.
    """
    if name == "store":
        place = next((one for one in arguments(command) if one.name in ("out", "store")), None)
        return None if place is None else (place.metavar or str(place.name).upper()).strip("[]")
    found = {option.name: option for option in options(command)}
    if name == "cluster" and {"workers", "cluster"} <= set(found):
        return f"--workers {value}" if value.isdecimal() else "--workers or --cluster"
    if name in _OPPOSITES and _OPPOSITES[name] in found:
        name, value = _OPPOSITES[name], str(value == "False")
    if name not in found:
        return None
    text = _longest(found[name])
    if found[name].is_flag:
        return f"no {text}" if value == "False" else text
    return f"{text} {_plain(name, value)}".rstrip()


def arguments(command: click.Command) -> list[click.Argument]:
    """Return the arguments of a command that are no options."""
    return [one for one in command.params if isinstance(one, click.Argument)]


def _word(command: click.Command | None, name: str, value: str, *, named: bool) -> str:
    """Return one argument of a call; what stands for a value, such as ``model``, becomes ``MODEL``."""
    found = None
    if command is not None and (named or name in {option.name for option in options(command)}):
        found = spelled(command, name, value)
    if found is not None:
        return found
    return name.upper() if value.isidentifier() else shlex.quote(_plain(name, value))


def _longest(option: click.Option) -> str:
    return max(option.opts, key=len)


def _plain(name: str, value: str) -> str:
    """Return a value of Python as one types it: texts without quotation marks, pairs without parentheses."""
    words = re.findall(r"""'([^']*)'|"([^"]*)"|([^\s,()'"]+)""", value.removeprefix("float"))
    flat: Iterable[str] = (next(filter(None, word), "") for word in words)
    if name == "dims":
        return "".join(word if len(words) == 1 else word[0] for word in flat)
    return " ".join(flat)
