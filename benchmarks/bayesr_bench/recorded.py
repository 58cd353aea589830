"""Recorded tables: their format, the best values of their columns, and the significance of differences.

This module needs neither NumPy nor torch, so that recordings can be compared and shown at once.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from bayesr.errors import DataNotFound, InvalidArgument
from bayesr_bench.figures import Merit, merit, target

Row = dict[str, Any]

_WITH_ERROR = re.compile(r"(-?[\d.]+(?:e[-+]?\d+)?) ± ([\d.]+(?:e[-+]?\d+)?)")
_REMEDY = "a table has rows and facts, as `bayesr bench` writes them. Leave this file out."

LABELS = ("recipe", "system", "model", "segmentation of", "loss", "codec", "way", "shown", "engine")
"""Columns that name what is compared, in order of preference."""

GROUPS = ("set", "image", "case", "domain", "input", "figure")
"""Columns that divide a table into groups of comparable rows."""

REFERENCES = ("exact posterior", "high resolution", "truth", "original")
"""Beginnings of the labels of reference rows, which are never marked as the best."""

SURE = 1.96
"""Standard errors beyond which a difference is significant: a two-sided normal test at 5%."""


@dataclass(frozen=True)
class Table:
    """A recorded table, ``NAME.json``.

    Attributes
    ----------
    name : str
    rows : list of dict
        Values by column; None if a row has no value. The column ``X ±`` holds the standard error of ``X``.
    facts : dict
        Facts of the run: command, date, machine, versions, estimators, notes.
    """

    name: str
    rows: list[Row]
    facts: dict[str, Any]

    @cached_property
    def columns(self) -> list[str]:
        """Columns to show. A standard error is shown with its value."""
        every = columns_of(self.rows)
        return [column for column in every if not (column.endswith(" ±") and column[:-2] in every)]

    @cached_property
    def label(self) -> str | None:
        """The column that names what is compared."""
        return next((column for column in LABELS if column in self.columns), None)

    @cached_property
    def group(self) -> str | None:
        """The column that divides the table into groups of comparable rows; None if all rows are comparable."""
        return next((column for column in GROUPS if column in self.columns and column != self.label), None)

    def groups(self) -> dict[str, list[Row]]:
        """Return the groups of comparable rows by their value in `group`; one group "" if all rows are comparable."""
        return grouped(self.rows, self.group)

    def numeric(self, column: str) -> bool:
        """Return whether the column holds at least one number, and nothing else."""
        values = [row.get(column) for row in self.rows]
        return any(map(is_number, values)) and all(value is None or is_number(value) for value in values)

    @cached_property
    def nominal(self) -> float | None:
        """The level of the table's intervals; None unless its facts name exactly one."""
        facts = [str(value) for value in self.facts.values()]
        percents = {int(level) for fact in facts for level in re.findall(r"(\d+)% interval", fact)}
        percents |= {round(100 * float(level)) for fact in facts for level in re.findall(r"at level (0\.\d+)", fact)}
        return percents.pop() / 100 if len(percents) == 1 else None

    def worth(self, column: str) -> Merit | None:
        """Return a function that is larger for better values of a column; None if no value is better.

        It is None for columns of differences and ratios (``X minus Y's``, ``X / Y``): for differences see `verdict`.
        """
        if minus(column) or (" / " in column and not column.startswith("spread / skill")):
            return None
        return merit(column, self.nominal)

    def best(self, column: str) -> set[int]:
        """Return the indices of the rows with the best value in their group; none if no value is better.

        Reference rows, and groups of one row, are left out.
        """
        worth = self.worth(column)
        if worth is None or self.label is None or not self.numeric(column):
            return set()
        found = set()
        for rows in self.groups().values():
            known = [row for row in rows if is_number(row.get(column)) and not self._is_reference(row)]
            if len(known) > 1:
                top = max(worth(row[column]) for row in known)
                found |= {i for i, row in enumerate(self.rows) if row in known and worth(row[column]) == top}
        return found

    def verdict(self, column: str, row: Row) -> str | None:
        """Judge a difference ``X minus REFERENCE's``: "better" or "worse" if it is significant, otherwise "even".

        It is None for other columns, and without a standard error.
        """
        found = minus(column)
        value, error = row.get(column), row.get(f"{column} ±")
        if found is None or not is_number(value) or not is_number(error):
            return None
        direction = target(column)
        if direction is None:
            return None
        if abs(value) <= SURE * error:
            return "even"
        return "better" if direction * value > 0 else "worse"

    def beaten(self) -> list[dict[str, Any]]:
        """Return all significant differences in which a row beats the reference."""
        found = []
        for row in self.rows:
            for column in self.columns:
                if self.verdict(column, row) == "better" and (of := minus(column)) is not None:
                    found.append(
                        {
                            "by": str(row.get(self.label)) if self.label else "",
                            "group": str(row.get(self.group)) if self.group else "",
                            "figure": of[0], "reference": of[1],
                            "difference": row[column], "error": row[f"{column} ±"],
                        }
                    )  # fmt: skip
        return found

    def _is_reference(self, row: Row) -> bool:
        return self.label is not None and str(row.get(self.label)).startswith(REFERENCES)


# -- the format ----------------------------------------------------------------------------------


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return all columns of the rows, in the order of their first occurrence."""
    return list(dict.fromkeys(column for row in rows for column in row))


def cell(value: Any, digits: int = 4) -> str:
    """Return a value as text for readers: numbers with some significant digits, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def as_markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *rows)]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as comma-separated values with a line of column names. Missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(path: Path) -> Table:
    """Read a recorded table.

    Raises
    ------
    DataNotFound
        If there is no such file.
    InvalidArgument
        If the file cannot be read or holds something else.
    """
    if not path.is_file():
        raise DataNotFound(f"There is no file {path}: give tables as `bayesr bench` writes them, such as quality.json.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows, facts = found["rows"], found["facts"]
        valid = isinstance(facts, dict) and isinstance(rows, list) and bool(rows)
        valid = valid and all(isinstance(row, dict) and row for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{path} is not a recorded table ({error!r}): {_REMEDY}") from error
    if not valid:
        raise InvalidArgument(f"{path} is not a recorded table: {_REMEDY}")
    return Table(path.stem, [_split(row) for row in rows], facts)


def _split(row: Row) -> Row:
    """Split cells ``X: "0.91 ± 0.02"`` into ``X: 0.91`` and ``X ±: 0.02``."""
    cells: Row = {}
    for column, value in row.items():
        found = _WITH_ERROR.fullmatch(value) if isinstance(value, str) else None
        cells |= {column: float(found[1]), f"{column} ±": float(found[2])} if found else {column: value}
    return cells


# -- columns -------------------------------------------------------------------------------------


def grouped(rows: Iterable[Row], column: str | None) -> dict[str, list[Row]]:
    """Return rows by their values in a column, in their order; without a column, all of them as one group ""."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row.get(column)) if column else "", []).append(row)
    return found


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a cell is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def minus(column: str) -> tuple[str, str] | None:
    """Return ``("X", "REFERENCE")`` for a column ``X minus REFERENCE's``; None for others."""
    found = re.fullmatch(r"(.+) minus (.+)'s", column)
    return (found[1], found[2]) if found else None


def values(rows: Iterable[Row], column: str) -> list[float | None]:
    """Return the numbers in a column; None for a row without one."""
    return [row[column] if is_number(row.get(column)) else None for row in rows]


def bounds(rows: Sequence[Row], column: str, error: str | None = None) -> dict[str, list[float | None]]:
    """Return ``low`` and ``high``, one standard error on either side, for a chart; empty without standard errors.

    Standard errors are in the column `error`, by default ``COLUMN ±``.
    """
    error = error or f"{column} ±"
    if not any(is_number(row.get(error)) for row in rows):
        return {}
    pairs = [(row.get(column), row.get(error)) for row in rows]
    known = [(v, e) if is_number(v) and is_number(e) else None for v, e in pairs]
    return {"low": [k[0] - k[1] if k else None for k in known], "high": [k[0] + k[1] if k else None for k in known]}
