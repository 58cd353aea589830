"""Run the main tables, one after the other, each in its own process.

    bayesr bench all --data FOLDER --budget small

Memory is thus freed after each table, and a table that fails does not stop the others. A table of its own records
which tables ran, for how long, and which files they wrote.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.model.catalogue import models as bundled
from bayesr_bench.commands.bench import command_of
from bayesr_bench.options import BUDGETS, data_option, out_option
from bayesr_bench.record import record

TABLES = ("quality", "posterior", "systems", "baselines", "segmentation", "scale", "speed")
"""The tables, in the order in which they run."""


def divided(given: Sequence[str]) -> tuple[dict[int, list[str]], Path | None]:
    """Divide the arguments of ``--models`` into models and a folder.

    Returns
    -------
    dict
        For each number of bands, the models to measure.
    Path or None
        The folder for trained models.

    Raises
    ------
    InvalidArgument
        If more than one folder is named.
    """
    files = [one for one in dict.fromkeys(given) if _is_model(one)]
    folders = [one for one in dict.fromkeys(given) if one not in files]
    if len(folders) > 1:
        raise InvalidArgument(
            f"--models names {len(folders)} folders for trained models, {', '.join(folders)}: give one folder only."
        )
    models: dict[int, list[str]] = {}
    for one in files:
        models.setdefault(bayesr.load(one).bands, []).append(one)
    return models, Path(folders[0]) if folders else None


def _is_model(name: str) -> bool:
    known = name in {info.name for info in bundled()} or name.endswith(".safetensors")
    return known and not Path(name).is_dir()


def arguments(
    name: str, data: Path, models: Mapping[int, Sequence[str]], folder: Path | None, budget: str, seed: int, out: Path
) -> list[str]:
    """Return the arguments with which a table is called, without the options that it does not have.

    A table that measures given models gets those with as many bands as its default model has.
    """
    takes = {option.name: option for option in command_of(name).params if isinstance(option, click.Option)}
    flags = {flag for option in takes.values() for flag in option.opts}
    call = ["bench", name, "--budget", budget, "--out", str(out)]
    call += ["--data", str(data)] if "--data" in flags else []
    call += ["--seed", str(seed)] if "--seed" in flags else []
    measured = next((option for option in takes.values() if "--models" in option.opts), None)
    if measured is not None and measured.multiple:
        default: Any = measured.default
        bands = bayesr.load(default[0]).bands
        return [*call, *(part for model in models.get(bands, ()) for part in ("--models", model))]
    return [*call, "--models", str(folder)] if measured is not None and folder is not None else call


def run(name: str, call: Sequence[str], out: Path) -> dict[str, Any]:
    """Run a table in its own process; return a row with its result, its time and its files."""
    before = _written(out)
    begun = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "bayesr.cli", *call], check=False).returncode
    seconds = time.monotonic() - begun
    new = [file for file, when in _written(out).items() if before.get(file) != when]
    rows = sum(len(json.loads(file.read_text(encoding="utf-8"))["rows"]) for file in new)
    ended = "done" if status == 0 else f"failed, exit status {status}"
    files = " ".join(sorted(file.stem for file in new)) or "none"
    return {"table": name, "ended": ended, "seconds": round(seconds, 1), "rows": rows, "files": files}


def _written(out: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in out.glob("*.json")} if out.is_dir() else {}


@click.command()
@data_option
@click.option(
    "--models", "given", multiple=True,
    help="Model to measure, by name or file, in the tables for its number of bands, or the folder for trained models, "
    "which are not trained again; may be repeated.",
)  # fmt: skip
@click.option("--budget", type=click.Choice(BUDGETS), default="full", show_default=True, help="Budget of each table.")
@click.option("--seed", default=0, show_default=True, help="Seed of the tables that have one.")
@click.option("--only", multiple=True, type=click.Choice(list(TABLES)), help="Run this table only; may be repeated.")
@out_option
def command(data: Path, given: tuple[str, ...], budget: str, seed: int, only: tuple[str, ...], out: Path) -> None:
    """Run the main tables, one after the other: quality, posterior, systems, baselines, segmentation, scale, speed."""
    models, folder = divided(given)
    chosen = [name for name in TABLES if not only or name in only]
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(chosen):
        click.echo(f"{name}: {i + 1} of {len(chosen)} begins", err=True)
        rows.append(run(name, arguments(name, data, models, folder, budget, seed, out), out))
        click.echo(f"{name}: {rows[-1]['ended']} after {rows[-1]['seconds']:.0f} s", err=True)
    failed = [row["table"] for row in rows if row["ended"] != "done"]
    ended = f"failed: {' '.join(failed)}" if failed else "done"
    sums = {"seconds": round(sum(row["seconds"] for row in rows), 1), "rows": sum(row["rows"] for row in rows)}
    everything = {"table": "all", "ended": ended, **sums, "files": ""}
    notes = {"tables": f"each in its own process, with a {budget} budget", "files": "each as JSON, CSV and Markdown"}
    record(
        "all", [*rows, everything], notes, out, seed=seed, n="of each table",
        estimators="wall time of whole processes, including start-up and reading",
    )  # fmt: skip
    if failed:
        raise click.ClickException(f"No complete table of {', '.join(failed)}: see the messages above.")
