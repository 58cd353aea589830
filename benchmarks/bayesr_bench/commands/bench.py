"""``bayesr bench``: the tables, and the tools that run and compare them.

Each module of `bayesr_bench.tables` is a table. The first line of its docstring is read from the file, so that
``bayesr bench --help`` imports no table.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click

from bayesr.cli.options import examples

_TOOLS = {
    "all": ("everything", "Run the main tables, one after the other."),
    "compare": ("compare", "Show what changed beyond noise between two recordings of a table."),
}
"""Commands that are not tables: the module of each, and its line of help."""
_FOLDER = Path(__file__).parent.parent / "tables"
_FIRST_LINE = re.compile(r'r?"""(.+?)(?:"""|\n|\Z)')


def tables() -> dict[str, str]:
    """Return the line of help of every table by its name: the first lines of the modules in `bayesr_bench.tables`."""
    found = {}
    for file in sorted(_FOLDER.glob("[!_]*.py")):
        with file.open(encoding="utf-8") as text:
            line = _FIRST_LINE.match(text.readline())
        found[file.stem] = line[1] if line else ""
    return found


def command_of(name: str) -> click.Command:
    """Import the module of a table or a tool, and return its command."""
    module = _TOOLS[name][0] if name in _TOOLS else f"tables.{name}"
    found: click.Command = import_module(f"bayesr_bench.{module}").command
    return found


class _Tables(click.Group):
    """A group that imports the module of a table only when it is called, since tables need most of bayesr."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_TOOLS, *tables()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return command_of(name) if name in self.list_commands(ctx) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _TOOLS.items()])
        with formatter.section("Tables"):
            formatter.write_dl(list(tables().items()))


@click.group(cls=_Tables, epilog=examples("bayesr bench quality --help", "bayesr bench compare old.json new.json"))
def bench() -> None:
    """Measure models and methods, and record the results as tables."""
