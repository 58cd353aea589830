"""Tables that benchmarks recorded: read from their files, with the best values and the verdicts of their columns."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from bayesr.errors import DataNotFound, InvalidArgument
from bayesr_bench.figures import Merit, merit, target

Row = dict[str, Any]

_WITH_ERROR = re.compile(r"(-?[\d.]+(?:e[-+]?\d+)?) ± ([\d.]+(?:e[-+]?\d+)?)")
_REMEDY = "it needs rows and facts, as `bayesr bench` writes them. Leave it out."

LABELS = ("recipe", "system", "model", "rival", "segmentation of", "loss", "variant", "codec", "way", "shown", "engine")
"""Columns that name what is compared, the likeliest first."""

GROUPS = ("set", "image", "case", "domain", "input", "figure")
"""Columns within whose values alone rows are comparable."""

REFERENCES = ("exact posterior", "high resolution", "truth", "original")
"""How rows begin that others are measured by, and that are so never the best of them."""

SURE = 1.96
"""Standard errors beyond which a difference is more than noise: two-sided at 5%, normal."""


@dataclass(frozen=True)
class Table:
    """What ``benchmarks/NAME.json`` holds.

    Attributes
    ----------
    name : str
    rows : list of dict
        Column -> value; None where a row has none. The column ``X ±`` holds the standard error of ``X``.
    facts : dict
        How the table came about: command, date, machine, versions, estimators.
    """

    name: str
    rows: list[Row]
    facts: dict[str, Any]

    @cached_property
    def columns(self) -> list[str]:
        """Columns that are shown: a standard error stands beside its value."""
        every = list(dict.fromkeys(column for row in self.rows for column in row))
        return [column for column in every if not (column.endswith(" ±") and column[:-2] in every)]

    @cached_property
    def label(self) -> str | None:
        """The column that names what is compared."""
        return next((column for column in LABELS if column in self.columns), None)

    @cached_property
    def group(self) -> str | None:
        """The column within whose values rows are comparable; None where all are."""
        return next((column for column in GROUPS if column in self.columns and column != self.label), None)

    def groups(self) -> dict[str, list[Row]]:
        """Comparable rows, under the name of what they share; under "" where all are."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(str(row.get(self.group)) if self.group else "", []).append(row)
        return found

    def numeric(self, column: str) -> bool:
        """Whether the column holds numbers, in one row at least, and nothing else."""
        values = [row.get(column) for row in self.rows]
        return any(map(is_number, values)) and all(value is None or is_number(value) for value in values)

    @cached_property
    def nominal(self) -> float | None:
        """The level of the table's intervals, where its facts name one and only one."""
        said = {found for value in self.facts.values() for found in re.findall(r"(\d+)% interval", str(value))}
        said |= {
            str(round(100 * float(x))) for v in self.facts.values() for x in re.findall(r"at level (0\.\d+)", str(v))
        }
        return int(said.pop()) / 100 if len(said) == 1 else None

    def worth(self, column: str) -> Merit | None:
        """A function that is larger for better values of a column; None if no value is better.

        Columns that compare with others (``X minus Y's``, ``X / Y``) have none: `verdict` judges differences.
        """
        if minus(column) or (" / " in column and not column.startswith("spread / skill")):
            return None
        return merit(column, self.nominal)

    def best(self, column: str) -> set[int]:
        """Which rows have the best value of their group; none where the column has no better and worse.

        Rows that others are measured by are left out, and so is a group of one.
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
        """Of a difference ``X minus REFERENCE's``: "better" or "worse" beyond noise, "even" within it, else None."""
        found = minus(column)
        value, error = row.get(column), row.get(f"{column} ±")
        if found is None or not is_number(value) or not is_number(error):
            return None  # without its error, a difference is no verdict
        direction = target(column)
        if direction is None:
            return None
        if abs(value) <= SURE * error:
            return "even"
        return "better" if direction * value > 0 else "worse"

    def beaten(self) -> list[dict[str, Any]]:
        """Where the reference is beaten beyond noise: by which row, in what, on which group, by how much."""
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
        raise InvalidArgument(f"{path} is no recorded table ({error!r}): {_REMEDY}") from error
    if not valid:
        raise InvalidArgument(f"{path} is no recorded table: {_REMEDY}")
    return Table(path.stem, [_apart(row) for row in rows], facts)


def _apart(row: Row) -> Row:
    """``X: "0.91 ± 0.02"`` as ``X: 0.91`` and ``X ±: 0.02``."""
    cells: Row = {}
    for column, value in row.items():
        found = _WITH_ERROR.fullmatch(value) if isinstance(value, str) else None
        cells |= {column: float(found[1]), f"{column} ±": float(found[2])} if found else {column: value}
    return cells


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a cell is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def minus(column: str) -> tuple[str, str] | None:
    """``("X", "REFERENCE")`` of a column ``X minus REFERENCE's``."""
    found = re.fullmatch(r"(.+) minus (.+)'s", column)
    return (found[1], found[2]) if found else None


def values(rows: Iterable[Row], column: str) -> list[float | None]:
    """A column's numbers; None where a row has none."""
    return [row[column] if is_number(row.get(column)) else None for row in rows]


def bounds(rows: Sequence[Row], column: str) -> dict[str, list[float | None]]:
    """``low`` and ``high``, one standard error to both sides, for a chart; empty where none was recorded."""
    error = f"{column} ±"
    if not any(is_number(row.get(error)) for row in rows):
        return {}
    pairs = [(row.get(column), row.get(error)) for row in rows]
    known = [(v, e) if is_number(v) and is_number(e) else None for v, e in pairs]
    return {"low": [k[0] - k[1] if k else None for k in known], "high": [k[0] + k[1] if k else None for k in known]}
