"""What every benchmark does with its rows: print them, and write them with all that is needed to run it again."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

import bayesr

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("benchmarks"),
    show_default=True,
    help="Folder for the table, as JSON and Markdown.",
)
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with a folder for each data set.",
)


def record(name: str, rows: list[dict[str, Any]], notes: dict[str, Any], out: Path) -> None:
    """Write `rows` as ``NAME.json`` and ``NAME.md`` into `out`, and print the table."""
    facts = {
        # Folders by their last name: where they lie on the machine that recorded helps nobody.
        "command": " ".join(["bayesr", *(Path(arg).name for arg in sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, bayesr {bayesr.__version__}",
    } | notes
    write(name, rows, facts, out)


def write(name: str, rows: list[dict[str, Any]], facts: dict[str, Any], out: Path) -> None:
    """Print the table and write both files; a figure that a row does not have is NaN."""
    rows = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    table = ["| " + " | ".join(line) + " |" for line in (columns, ["---"] * len(columns), *cells)]
    text = "\n".join([f"# {name}", "", *table, "", *(f"- {key}: {_cell(value)}" for key, value in facts.items()), ""])
    print(text, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps({"rows": rows, "facts": facts}, indent=1) + "\n")
    (out / f"{name}.md").write_text(text)


def error_of_mean(values: Any) -> float:
    """The standard error of the mean of what is not NaN, from its spread; NaN for fewer than two values."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else math.nan


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
