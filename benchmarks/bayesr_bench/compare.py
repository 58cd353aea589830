"""Compare two recordings of a table, and show the differences that are larger than noise.

    bayesr bench compare benchmarks/quality.json new/quality.json

Rows are matched by their naming columns: the fewest leading columns whose values identify every row. The noise of a
figure is the root of the sum of both squared standard errors (``±``), as for independent recordings. A difference of
more than twice the noise is beyond noise. This is conservative if both recordings measured the same images. Timings
have no standard errors, and the differences between two runs on one machine are used instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bayesr.errors import InvalidArgument
from bayesr_bench.figures import Merit, merit
from bayesr_bench.recorded import Row, Table, as_markdown, cell, columns_of, is_number, read

BEYOND = 2.0
"""Differences larger than this number of noise units are beyond noise."""
TIMINGS = (
    (r" / (in memory|one SRResNet|32 naive|SRResNet|none's|sampling)|^/ |^efficiency|seconds / ", 0.10),
    (r"seconds|^ms\b|\bms\b|minutes|^with start|Mpixel/s|MB/s|\bMiB\b", 0.25),
)
"""Patterns of timings, with the relative difference that two runs on one machine may have.

Ratios of times measured in turn are equally affected by other work on the machine, and agree within a tenth. Seconds
of single runs, and figures computed from them, vary by a quarter with clock rates and other work.
"""
FIRST = ("seed", "n", "machine", "versions", "command", "budget")
"""Facts that are shown before others."""
_ERROR = " ±"
_LONG = 100


@dataclass(frozen=True)
class Change:
    """A cell in two recordings.

    Attributes
    ----------
    row : tuple
        The values of the naming columns.
    figure : str
        The name of the column.
    before, after : object
    noise : float or None
        The standard deviation of a difference between equal systems; None if it is unknown.
    merit : callable or None
        A function that is larger for better values; None if no value is better.
    """

    row: tuple[Any, ...]
    figure: str
    before: Any
    after: Any
    noise: float | None
    merit: Merit | None

    @property
    def difference(self) -> float:
        """After minus before; NaN if a cell is not a number."""
        if not is_number(self.before) or not is_number(self.after):
            return math.nan
        return self.after - self.before

    @property
    def units(self) -> float:
        """The difference in units of noise: infinite for a difference without noise, NaN for unknown noise."""
        if self.noise is None or math.isnan(self.difference):
            return math.nan
        if self.noise == 0:
            return math.copysign(math.inf, self.difference) if self.difference else 0.0
        return self.difference / self.noise

    @property
    def verdict(self) -> str:
        """``same``, ``within noise``, ``better``, ``worse``, ``changed``, or ``changed, noise unknown``."""
        if not _beyond_rounding(self.before, self.after):
            return "same"
        if math.isnan(self.units):
            return "changed, noise unknown"
        if abs(self.units) <= BEYOND:
            return "within noise"
        if self.merit is None:
            return "changed"
        return "better" if self.merit(self.after) > self.merit(self.before) else "worse"


# -- matching rows -----------------------------------------------------------------------------------


def naming(*tables: Table) -> tuple[str, ...]:
    """Return the fewest leading columns whose values identify every row of each table.

    Raises
    ------
    InvalidArgument
        If the tables begin with different columns, or a table has equal rows.
    """
    longest: tuple[str, ...] = ()
    for table in tables:
        columns = columns_of(table.rows)
        for count in range(1, len(columns) + 1):
            names = tuple(columns[:count])
            if len({_key(row, names) for row in table.rows}) == len(table.rows):
                break
        else:
            raise InvalidArgument(f"{table.name} has equal rows, which cannot be matched.")
        longest = max(longest, names, key=len)
    for table in tables:
        if tuple(columns_of(table.rows)[: len(longest)]) != longest:
            raise InvalidArgument(
                f"The tables have different columns: rows of one are named by {', '.join(longest)}, those of "
                f"{table.name} begin with {', '.join(columns_of(table.rows)[: len(longest)])}."
            )
    return longest


def _key(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)


def alike(before: Table, after: Table) -> None:
    """Check that two files are recordings of one table by one protocol.

    Raises
    ------
    InvalidArgument
        If they are not.
    """
    names = [str(one.facts.get("table", one.name)) for one in (before, after)]
    if names[0] != names[1]:
        raise InvalidArgument(
            f"{names[0]} and {names[1]} are different tables, whose figures cannot be compared. (The name of a table "
            "is that of its recording, or of its file if no name was recorded.)"
        )
    protocols = before.facts.get("protocol"), after.facts.get("protocol")
    if protocols[0] != protocols[1]:
        raise InvalidArgument(
            "The recordings were made by different protocols, and cannot be compared: "
            f"{protocols[0]!r} and {protocols[1]!r}."
        )


# -- comparing -----------------------------------------------------------------------------------


def differing_facts(before: Table, after: Table) -> list[tuple[str, str, str]]:
    """Return ``(fact, before, after)`` for all facts that differ, the most important ones first."""
    names = dict.fromkeys((*FIRST, *before.facts, *after.facts))
    names.pop("table", None)
    pairs = [(name, before.facts.get(name), after.facts.get(name)) for name in names]
    return [(name, _short(a), _short(b)) for name, a, b in pairs if a != b]


def _short(value: Any) -> str:
    text = "not recorded" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def changes(before: Table, after: Table) -> list[Change]:
    """Return all figures in both recordings, sorted by difference in units of noise; unknown noise comes last."""
    names = naming(before, after)
    rows = {_key(row, names): row for row in after.rows}
    found = [
        change
        for row in before.rows
        if (key := _key(row, names)) in rows
        for change in _of_row(key, names, row, rows[key], before.nominal if before.nominal == after.nominal else None)
    ]
    return sorted(found, key=_weight, reverse=True)


def _of_row(
    key: tuple[Any, ...], names: tuple[str, ...], before: Row, after: Row, nominal: float | None
) -> Iterator[Change]:
    for column in before:
        if column in names or column.endswith(_ERROR) or column not in after:
            continue
        # In tables with a row for each figure, its name tells the better direction.
        figure = str(before["figure"]) if names[-1] == "figure" else column
        yield Change(
            key, column, before[column], after[column], _noise(column, figure, before, after), merit(figure, nominal)
        )


def _noise(column: str, figure: str, before: Row, after: Row) -> float | None:
    errors = [row.get(f"{column}{_ERROR}") for row in (before, after)]
    known = [float(error) for error in errors if is_number(error)]
    if len(known) == 2:
        return math.hypot(*known)
    a, b = before[column], after[column]
    if not is_number(a) or not is_number(b):
        return None
    for pattern, relative in TIMINGS:
        if re.search(pattern, figure):
            return relative * max(abs(a), abs(b)) / BEYOND
    return None


def _beyond_rounding(before: Any, after: Any) -> bool:
    """Return whether two cells differ by more than one unit in the last digit of the less precise one."""
    if not is_number(before) or not is_number(after) or (isinstance(before, int) and isinstance(after, int)):
        return bool(before != after)
    texts = [repr(float(value)) for value in (before, after)]
    unit = min(0.0 if "e" in text else 10.0 ** -len(text.partition(".")[2]) for text in texts)
    return abs(before - after) > unit * (1 + 1e-9)


def _weight(change: Change) -> tuple[bool, float]:
    known = not math.isnan(change.units)
    relative = abs(change.difference) / max(abs(change.before) if is_number(change.before) else 0, 1e-12)
    return known, abs(change.units) if known else 0.0 if math.isnan(relative) else relative


# -- the command ---------------------------------------------------------------------------------


def rows_of(found: Sequence[Change]) -> list[list[str]]:
    """Return the cells of the lines that show changes."""
    rows = []
    for change in found:
        values = (change.before, change.after, change.difference)
        noise = "unknown" if change.noise is None else cell(BEYOND * change.noise, 5)
        row = [", ".join(map(str, change.row)), change.figure, *(cell(value, 5) for value in values)]
        rows.append([*row, noise, change.verdict])
    return rows


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Show unchanged figures, too.")
@click.option("--fail", is_flag=True, help="Exit with status 1 if anything is worse beyond noise.")
def command(before: Path, after: Path, everything: bool, fail: bool) -> None:
    """Show the differences beyond noise between two recordings of a table, the JSON files BEFORE and AFTER."""
    old, new = read(before), read(after)
    alike(old, new)
    names = naming(old, new)
    for fact, a, b in differing_facts(old, new):
        click.echo(f"{fact} differs: {a} | {b}")
    found = changes(old, new)
    mine, theirs = ({_key(row, names): None for row in table.rows} for table in (old, new))
    columns = [dict.fromkeys((column,) for column in columns_of(table.rows)) for table in (old, new)]
    for kind, first, second in (("row", mine, theirs), ("figure", *columns)):
        for where, here, there in ((before, first, second), (after, second, first)):
            for key in here:
                if key not in there:
                    click.echo(f"{kind} only in {where}: {', '.join(map(str, key))}")
    if not found:
        raise InvalidArgument(
            f"{before} and {after} have no row and figure in common, so that nothing can be compared."
        )
    shown = found if everything else [c for c in found if c.verdict not in ("same", "within noise")]
    if shown:
        head = ["row", "figure", "before", "after", "difference", "noise allows", "verdict"]
        for line in as_markdown(head, rows_of(shown)):
            click.echo(line)
    verdicts = [change.verdict for change in found]
    kinds = ("better", "worse", "changed", "changed, noise unknown", "within noise", "same")
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds if kind in verdicts)
    click.echo(f"{len(found)} figures of {old.name}: {counts}.")
    if fail and "worse" in verdicts:
        raise click.exceptions.Exit(1)
