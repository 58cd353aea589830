"""What changed between two recordings of a table, and whether noise explains it.

    bayesr bench compare benchmarks/quality.json new/quality.json

Rows are joined by their naming columns: the fewest leading ones by which every row is another. Noise of a figure is
the standard error beside it (``±``), both errors together, as if recordings were independent: a difference of more
than twice that is beyond noise, and recordings of the same images are then closer than this says. Timings have no
error beside them; theirs is stated below.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bayesr.bench.record import columns_of
from bayesr.errors import DataNotFound, InvalidArgument

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
LOWER = (
    "CRPS", "energy", "score", "error", "AUC", "Brier", "ECE", "distance", "total variation", "MAE", "seconds", "ms",
    "MiB", "minutes", "decades off", "with start", "32 members / ",
)  # fmt: skip
HIGHER = ("PSNR", "SSIM", "Dice", "dice", "F1", "jaccard", "precision", "Mpixel/s", "MB/s", "efficiency", "/ in memory")
"""Parts of the names of figures of which less, or more, is better; of others a change is a change."""
FIRST = ("seed", "n", "machine", "versions", "command", "budget")
"""Facts that are looked at before others."""
_ERROR = " ±"
_VALUE = re.compile(r"^(-?[\d.]+(?:e[-+]?\d+)?) ± ([\d.]+(?:e[-+]?\d+)?)$")
_LONG = 100

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A recorded table: its name, rows and facts."""

    name: str
    rows: list[Row]
    facts: Row


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
    direction : int
        1 where more is better, -1 where less is, 0 where neither is known.
    """

    row: tuple[Any, ...]
    figure: str
    before: Any
    after: Any
    noise: float | None
    direction: int

    @property
    def difference(self) -> float:
        """After minus before; NaN of what are no numbers."""
        values = _number(self.before)[0], _number(self.after)[0]
        return math.nan if None in values else values[1] - values[0]  # type: ignore[operator]

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
        return "changed" if not self.direction else "better" if self.direction * self.difference > 0 else "worse"


# -- reading -------------------------------------------------------------------------------------


def read(path: Path) -> Table:
    """A table that `bayesr.bench.record` wrote.

    Raises
    ------
    DataNotFound
        If there is no such file.
    InvalidArgument
        If it holds no table.
    """
    if not path.is_file():
        raise DataNotFound(
            f"There is no file {path}: give two tables as `bayesr bench` writes them, such as quality.json."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows, facts = found["rows"], found["facts"]
        valid = isinstance(facts, dict) and bool(rows) and all(isinstance(row, dict) for row in rows)
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InvalidArgument(f"{path} is no recorded table: it needs rows and facts, as `bayesr bench` writes them.")
    return Table(facts.get("table", path.stem), rows, facts)


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
    if before.name != after.name:
        raise InvalidArgument(
            f"{before.name} and {after.name} are different tables, whose figures cannot be compared. (A table is known "
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
        for change in _of_row(key, names, row, rows[key])
    ]
    return sorted(found, key=_weight, reverse=True)


def _of_row(key: tuple[Any, ...], names: tuple[str, ...], before: Row, after: Row) -> Iterator[Change]:
    for column in before:
        if column in names or column.endswith(_ERROR) or column not in after:
            continue
        # Where rows are figures, they have the name that says which way is better.
        figure = str(before["figure"]) if names[-1] == "figure" else column
        yield Change(
            key, column, before[column], after[column], _noise(column, figure, before, after), direction(figure)
        )


def _noise(column: str, figure: str, before: Row, after: Row) -> float | None:
    a, b = (_number(row[column]) for row in (before, after))
    errors = [row.get(f"{column}{_ERROR}", own[1]) for row, own in ((before, a), (after, b))]
    known = [float(error) for error in errors if isinstance(error, float | int)]
    if len(known) == 2:
        return math.hypot(*known)
    if a[0] is None or b[0] is None:
        return None
    for pattern, relative in TIMINGS:
        if re.search(pattern, figure):
            return relative * max(abs(a[0]), abs(b[0])) / BEYOND
    return None


def direction(figure: str) -> int:
    """1 where more of a figure is better, -1 where less is, 0 where neither is known, as of p-values."""
    if figure == "p" or figure.startswith("p, "):
        return 0
    if any(part in figure for part in HIGHER):
        return 1
    return -1 if any(part in figure for part in LOWER) else 0


def _number(value: Any) -> tuple[float | None, float | None]:
    """(value, standard error) of a cell, None where it has none: numbers, and strings such as ``0.9 ± 0.1``."""
    if isinstance(value, str) and (found := _VALUE.match(value)):
        return float(found[1]), float(found[2])
    known = isinstance(value, float | int) and not isinstance(value, bool)
    return (float(value) if known else None), None


def _beyond_rounding(before: Any, after: Any) -> bool:
    """Whether two cells differ by more than one of the last digit that either has."""
    a, b = _number(before)[0], _number(after)[0]
    if a is None or b is None:
        return bool(before != after)
    if isinstance(before, int) and isinstance(after, int):
        return before != after
    unit = min(0.0 if "e" in repr(value) else 10.0 ** -len(repr(value).partition(".")[2]) for value in (a, b))
    return abs(a - b) > unit * (1 + 1e-9)


def _weight(change: Change) -> tuple[bool, float]:
    known = not math.isnan(change.units)
    relative = abs(change.difference) / max(abs(_number(change.before)[0] or 0), 1e-12)
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
