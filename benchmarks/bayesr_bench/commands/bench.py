"""``bayesr bench``: the tables, and the tools that run and compare them.

Tables are found by their files, and the first line of a file is its line of help, so that ``bayesr bench --help``
imports none of them.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.resources import files

import click

_TOOLS = {
    "all": ("everything", "Run the main tables, one after the other."),
    "compare": ("compare", "Show what changed beyond noise between two recordings of a table."),
}
"""Commands that are no tables: their module and their line of help."""
_FIRST_LINE = re.compile(r'r?"""(.+?)(?:"""|\n|\Z)')


def tables() -> dict[str, str]:
    """The line of help of every table, by name: the first line of the modules in `bayesr_bench.tables`."""
    found = {}
    for file in files("bayesr_bench.tables").iterdir():
        name = file.name.removesuffix(".py")
        if name == file.name or name.startswith("_"):
            continue
        with file.open(encoding="utf-8") as text:
            line = _FIRST_LINE.match(text.readline())
        found[name] = line[1] if line else ""
    return dict(sorted(found.items()))


def command_of(name: str) -> click.Command:
    """The command of a table or a tool; its module is imported."""
    module = _TOOLS[name][0] if name in _TOOLS else f"tables.{name}"
    found: click.Command = import_module(f"bayesr_bench.{module}").command
    return found


class _Tables(click.Group):
    """Imports the module of a table only when it is called: tables need nearly all of bayesr."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_TOOLS, *tables()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return command_of(name) if name in self.list_commands(ctx) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _TOOLS.items()])
        with formatter.section("Tables"):
            formatter.write_dl(list(tables().items()))


@click.group(cls=_Tables)
def bench() -> None:
    """Measure what bayesr claims, and record it."""
