"""What changed between two recordings of a table, and whether noise explains it.

    bayesr bench compare benchmarks/quality.json new/quality.json

Rows are joined by their naming columns: the fewest leading ones by which every row is another. Noise of a figure is
the standard error beside it (``±``), both errors together, as if recordings were independent: a difference of more
than twice that is beyond noise, and recordings of the same images are then closer than this says. Timings have no
error beside them; theirs is stated below.
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
from bayesr_bench.record import columns_of
from bayesr_bench.recorded import Row, Table, is_number, read

BEYOND = 2.0
"""Noise units from which on a difference is more than noise."""
TIMINGS = (
    (r" / (in memory|one SRResNet|32 naive|SRResNet|none's|sampling)|^/ |^efficiency|seconds / ", 0.10),
    (r"seconds|^ms\b|\bms\b|minutes|^with start|Mpixel/s|MB/s|\bMiB\b", 0.25),
)
"""Patterns of what is timed, with the relative difference that two runs on one machine may have.

Ratios of times taken in turn share what else the machine does, and agree within a tenth; seconds of single runs,
and what is computed of them, do not, and move by a quarter with clock rates and neighbours.
"""
FIRST = ("seed", "n", "machine", "versions", "command", "budget")
"""Facts that are looked at before others."""
_ERROR = " ±"
_LONG = 100


@dataclass(frozen=True)
class Change:
    """A cell of two tables.

    Attributes
    ----------
    row : tuple
        The values of the naming columns.
    figure : str
        The name of the column.
    before, after : object
    noise : float or None
        The standard deviation of a difference that is noise, or None where none is known.
    merit : callable or None
        Larger for better values; None if no value is known to be better.
    """

    row: tuple[Any, ...]
    figure: str
    before: Any
    after: Any
    noise: float | None
    merit: Merit | None

    @property
    def difference(self) -> float:
        """After minus before; NaN of what are no numbers."""
        if not is_number(self.before) or not is_number(self.after):
            return math.nan
        return self.after - self.before

    @property
    def units(self) -> float:
        """The difference in units of noise; infinite where noise is zero and there is a difference, NaN unknown."""
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


# -- which rows -----------------------------------------------------------------------------------


def naming(*tables: Table) -> tuple[str, ...]:
    """The fewest leading columns by which every row of each table is another.

    Raises
    ------
    InvalidArgument
        If tables begin with other columns, or have rows that nothing tells apart.
    """
    longest: tuple[str, ...] = ()
    for table in tables:
        columns = columns_of(table.rows)
        for count in range(1, len(columns) + 1):
            names = tuple(columns[:count])
            if len({_key(row, names) for row in table.rows}) == len(table.rows):
                break
        else:
            raise InvalidArgument(f"{table.name} has rows that are equal, which cannot be told apart.")
        longest = max(longest, names, key=len)
    for table in tables:
        if tuple(columns_of(table.rows)[: len(longest)]) != longest:
            raise InvalidArgument(
                f"These are other tables: rows of one are named by {', '.join(longest)}, those of {table.name} begin "
                f"with {', '.join(columns_of(table.rows)[: len(longest)])}."
            )
    return longest


def _key(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)


def alike(before: Table, after: Table) -> None:
    """The two are recordings of one table, made by one protocol.

    Raises
    ------
    InvalidArgument
        If they are not.
    """
    names = [str(one.facts.get("table", one.name)) for one in (before, after)]
    if names[0] != names[1]:
        raise InvalidArgument(
            f"{names[0]} and {names[1]} are different tables, whose figures cannot be compared. (A table is known "
            "by the name it was recorded under; where that is not recorded, by the name of its file.)"
        )
    ways = before.facts.get("protocol"), after.facts.get("protocol")
    if ways[0] != ways[1]:
        raise InvalidArgument(
            f"The two were measured by different protocols, and cannot be compared: {ways[0]!r} and {ways[1]!r}."
        )


# -- comparing -----------------------------------------------------------------------------------


def differing_facts(before: Table, after: Table) -> list[tuple[str, str, str]]:
    """(fact, before, after) of what the two do not have in common, what matters most first."""
    names = dict.fromkeys((*FIRST, *before.facts, *after.facts))
    names.pop("table", None)
    pairs = [(name, before.facts.get(name), after.facts.get(name)) for name in names]
    return [(name, _short(a), _short(b)) for name, a, b in pairs if a != b]


def _short(value: Any) -> str:
    text = "not recorded" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def changes(before: Table, after: Table) -> list[Change]:
    """Every figure that both have, the largest differences in units of noise first, then those of unknown noise."""
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
        # Where rows are figures, they have the name that says which way is better.
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
    """Whether two cells differ by more than one of the last digit that either has."""
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


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def rows_of(found: Sequence[Change]) -> list[list[str]]:
    """What is shown of changes, a line each."""
    return [
        [
            ", ".join(map(str, change.row)), change.figure, _cell(change.before), _cell(change.after),
            _cell(change.difference), "unknown" if change.noise is None else _cell(BEYOND * change.noise),
            change.verdict,
        ]
        for change in found
    ]  # fmt: skip


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Show what did not change, too.")
@click.option("--fail", is_flag=True, help="Exit with status 1 if anything is worse beyond noise.")
def command(before: Path, after: Path, everything: bool, fail: bool) -> None:
    """What changed beyond noise between two recordings of a table, JSON files BEFORE and AFTER."""
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
        raise InvalidArgument(f"{before} and {after} have no figure of a row in common: there is nothing to compare.")
    shown = found if everything else [c for c in found if c.verdict not in ("same", "within noise")]
    if shown:
        head = ["row", "figure", "before", "after", "difference", "noise allows", "verdict"]
        for line in (head, ["---"] * len(head), *rows_of(shown)):
            click.echo("| " + " | ".join(line) + " |")
    verdicts = [change.verdict for change in found]
    kinds = ("better", "worse", "changed", "changed, noise unknown", "within noise", "same")
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds if kind in verdicts)
    click.echo(f"{len(found)} figures of {old.name}: {counts}.")
    if fail and "worse" in verdicts:
        raise click.exceptions.Exit(1)
