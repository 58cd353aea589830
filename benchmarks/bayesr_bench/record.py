"""The record of a table: its rows with the facts that are needed to repeat it, printed and written to three files."""

from __future__ import annotations

import datetime
import io
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import bayesr
from bayesr.files import make_folder, write_atomically
from bayesr_bench.options import spent
from bayesr_bench.recorded import as_csv, as_markdown, cell, columns_of

PACKAGES = ("torch", "numpy", "xarray", "zarr", "scoringrules")
"""Packages whose versions are recorded, since figures may depend on them."""
NONE = "none"
"""The seed of a table without random numbers, and the n of a table without members."""

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
    """Print rows, and write them to ``NAME.json``, ``NAME.csv`` and ``NAME.md`` with the facts about the run.

    Parameters
    ----------
    name : str
        Name of the table.
    rows : sequence of mappings
        Values by column; NaN where a row has no value.
    notes : mapping
        Further facts, by name.
    out : Path
        Folder, which is made if it does not exist.
    seed : int or str
        Seed of all random numbers; `NONE` if there are none.
    n : int or str
        Number of members behind a row; `NONE` if there are none.
    estimators : str
        Description of the figures and their estimators.
    """
    budget = spent()
    facts = {
        "table": name,
        # Only the last parts of paths: the folders of this machine help nobody.
        "command": " ".join(["bayesr", *(Path(arg).name for arg in sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "code": code(),
    }
    facts |= {} if budget is None else {"budget": budget}
    facts |= {"seed": str(seed), "n": str(n), "estimators": estimators}
    write(name, rows, facts | dict(notes), out)


def write(name: str, rows: Sequence[Row], facts: Mapping[str, Any], out: Path) -> None:
    """Print a table and write its three files, with the given facts only."""
    plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    columns = columns_of(plain)
    table = as_markdown(columns, [[cell(row.get(column)) for column in columns] for row in plain])
    text = "\n".join([f"# {name}", "", *table, "", *(f"- {key}: {cell(value)}" for key, value in facts.items()), ""])
    print(text, flush=True)
    make_folder(out)
    write_atomically(out / f"{name}.json", json.dumps({"rows": plain, "facts": dict(facts)}, indent=1) + "\n")
    write_atomically(out / f"{name}.csv", as_csv(plain))
    write_atomically(out / f"{name}.md", text)


def save_figure(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure of Matplotlib as PNG, in a folder that is made if it does not exist."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi, format="png")
    make_folder(path.parent)
    write_atomically(path, drawn.getvalue())


def machine() -> str:
    """Return processor, cores, memory, and the number of threads that torch uses."""
    memory = psutil.virtual_memory().total / 2**30
    threads = torch.get_num_threads()
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB memory, {threads} thread{'s' * (threads > 1)}"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.is_file():  # Linux, where Python knows the architecture only
        for line in known.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


def versions() -> str:
    """Return the versions of Python, of `PACKAGES`, and of bayesr."""
    own = platform.python_version()
    return f"Python {own}, {versions_of(PACKAGES)}, bayesr {bayesr.__version__}"


def versions_of(packages: Iterable[str]) -> str:
    """Return the installed versions of packages."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


@cache
def code() -> str:
    """Return `code_of` the imported package, as it is at the first call."""
    return code_of(Path(bayesr.__file__).parent)


def code_of(source: Path) -> str:
    """Return the version of bayesr with the commit of its source, and whether the source has changed since.

    An installed copy has no commit, even if the environment lies in a folder of some repository.
    """
    folder = source.parent
    commit = _git(folder, "ls-files", "--", str(source / "__init__.py")) and _git(folder, "rev-parse", "HEAD")
    if not commit:
        return f"bayesr {bayesr.__version__}"
    parts = [str(part) for part in (source, Path(__file__).parent) if part.is_relative_to(folder)]
    changed = _git(folder, "status", "--porcelain", "--", *parts)
    return f"bayesr {bayesr.__version__}, commit {commit[:12]}{', with changes' if changed else ''}"


def _git(folder: Path, *arguments: str) -> str:
    """Return what a command of git prints; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def error_of_mean(values: Any) -> float:
    """Return the standard error of the mean of the finite values, from their spread; NaN for fewer than two."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else math.nan
