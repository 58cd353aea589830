"""What every benchmark does with its rows: print them, and write them with all that is needed to run it again."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import bayesr
from bayesr_bench.options import spent

PACKAGES = ("torch", "numpy", "xarray", "zarr", "scoringrules")
"""Those whose versions figures may depend on."""
NONE = "none"
"""The seed of a table in which nothing is random, and the n of one without members."""

Row = Mapping[str, Any]


def record(
    name: str,
    rows: Sequence[Row],
    notes: Mapping[str, Any],
    out: Path,
    *,
    seed: int | str,
    n: int | str,
    estimators: str,
) -> None:
    """Print `rows`, and write them as ``NAME.json``, ``NAME.csv`` and ``NAME.md`` with all that made them.

    Parameters
    ----------
    name : str
    rows : sequence of mappings
        By column; a figure that a row does not have is NaN.
    notes : mapping
        What else there is to know, by name.
    out : Path
        A folder, made where it is not there.
    seed : int or str
        Of all that is random; `NONE` where nothing is.
    n : int or str
        The number of members behind a row; `NONE` where there are none.
    estimators : str
        What was computed of them, by which estimator.
    """
    budget = spent()
    facts = {
        "table": name,
        # Folders by their last name: where they lie on the machine that recorded helps nobody.
        "command": " ".join(["bayesr", *(Path(arg).name for arg in sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
    }
    facts |= {} if budget is None else {"budget": budget}
    facts |= {"seed": str(seed), "n": str(n), "estimators": estimators}
    write(name, rows, facts | dict(notes), out)


def write(name: str, rows: Sequence[Row], facts: Mapping[str, Any], out: Path) -> None:
    """Print a table and write its three files, with these facts and no others."""
    plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    columns = columns_of(plain)
    cells = [[_cell(row.get(column)) for column in columns] for row in plain]
    table = ["| " + " | ".join(line) + " |" for line in (columns, ["---"] * len(columns), *cells)]
    text = "\n".join([f"# {name}", "", *table, "", *(f"- {key}: {_cell(value)}" for key, value in facts.items()), ""])
    print(text, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps({"rows": plain, "facts": dict(facts)}, indent=1) + "\n")
    (out / f"{name}.csv").write_text(as_csv(plain), encoding="utf-8", newline="")
    (out / f"{name}.md").write_text(text)


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as comma-separated values with a line of column names; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def columns_of(rows: Sequence[Row]) -> list[str]:
    """All columns that any row has, in the order in which they first come."""
    return list(dict.fromkeys(column for row in rows for column in row))


def machine() -> str:
    """Processor, cores, memory, and the threads that torch uses here."""
    memory = psutil.virtual_memory().total / 2**30
    threads = torch.get_num_threads()
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB memory, {threads} thread{'s' * (threads > 1)}"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.is_file():  # where Python knows the architecture alone
        for line in known.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


def versions() -> str:
    """Of Python, of `PACKAGES`, and of bayesr."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} unknown")
    return ", ".join([*found, f"bayesr {bayesr.__version__}"])


def error_of_mean(values: Any) -> float:
    """The standard error of the mean of what is not NaN, from its spread; NaN for fewer than two values."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else math.nan


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
