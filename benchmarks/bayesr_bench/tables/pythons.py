"""Run the tests under every Python that is installed.

    bayesr bench pythons --newest --workers 2
    bayesr bench pythons --python 3.12 --tests tests/store

Interpreters are those of pyenv and those named python3.11 to python3.14 on PATH, the newest one of each version. For
each a fresh environment is made in a temporary folder. The project is installed in it with its tests, with the versions
of constraints.txt; with --newest also with the newest versions of all dependencies, but for torch, which --torch pins.
Then pytest runs. A row has the versions, and the number of tests that passed, were skipped, or failed.

Builds of torch for GPUs need gigabytes. pip is therefore asked first what it would install, and such a build is
refused without --gpu. Options of pip, such as the place of a build for CPUs, are given with --pip-option. What
could not be run is a fact of the table, with the reason. The exit status is 1 if a test failed, or if nothing was run.

With --keep, rows without failures are kept in a folder, and the next run tests only what is missing. Each row states
the commit that was tested.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import click

import bayesr
from bayesr.errors import InvalidArgument
from bayesr_bench import interpreters
from bayesr_bench.harness import NONE, Result, decimals, option, table
from bayesr_bench.kept import Figures, Kept
from bayesr_bench.options import Keep, Workers
from bayesr_bench.record import code_of

PACKAGES = ("torch", "numpy", "xarray", "zarr")
"""Packages whose versions a row has."""
_CONSTRAINTS, _NEWEST = "constraints.txt", "newest"
_MOST_NAMES = 20


def checkout(given: Path | None) -> Path:
    """Return the folder of a checkout, by default that of the imported package.

    Raises
    ------
    InvalidArgument
        If it has no tests.
    """
    folder = (given or Path(bayesr.__file__).parent.parent).resolve()
    missing = [name for name in ("pyproject.toml", _CONSTRAINTS, "tests", "benchmarks") if not (folder / name).exists()]
    if missing:
        raise InvalidArgument(
            f"{folder} has no {', '.join(missing)}: give a checkout of the repository with --project."
        )
    return folder


def tested(
    one: interpreters.Interpreter, versions: str, project: Path, paths: tuple[str, ...], workers: int,
    torch: str, options: tuple[str, ...], gpu: bool,
) -> Figures:  # fmt: skip
    """Make an environment, run the tests in it, and return the row, and in ``failures`` the tests that failed."""
    newest, code = versions == _NEWEST, code_of(project / "bayesr")
    with tempfile.TemporaryDirectory(prefix="bayesr-") as temporary:
        folder = Path(temporary)
        python = interpreters.make(one, folder / "environment")
        given = [*options, *([] if newest else ["-c", str(project / _CONSTRAINTS)])]
        wanted = torch if newest else "torch"
        if not gpu:
            interpreters.check_build(python, wanted, given)
        interpreters.install(python, [wanted, "-e", f"{project}[test]", "-e", str(project / "benchmarks")], given)
        row = {"python": one.version, "dependencies": versions, **interpreters.versions(python, PACKAGES)}
        outcome = interpreters.test(python, project, paths, folder, workers)
    counts = {"passed": outcome.passed, "skipped": outcome.skipped, "failed": outcome.failed}
    return {**row, **counts, "seconds": outcome.seconds, "code": code, "failures": outcome.failures}


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


@table(
    estimators="numbers of tests; errors count as failed; seconds of the tests, without those of installing",
    seed=NONE,
    rounding=decimals(1),
)
def command(
    python: Annotated[tuple[str, ...], "Version, such as 3.12; may be repeated. By default all that are found."] = (),
    newest: Annotated[bool, "Run the tests also with the newest versions of all dependencies."] = False,
    torch: Annotated[str, "What is required of torch with --newest."] = "torch==2.13.0",
    tests: Annotated[
        tuple[str, ...], "Argument of pytest, such as a path; may be repeated. By default all tests."
    ] = (),
    workers: Workers = 1,
    pip_option: Annotated[
        tuple[str, ...],
        option(metavar="OPTION", help="Option of pip install, such as --find-links=DIR; may be repeated."),
    ] = (),
    gpu: Annotated[bool, "Allow builds of torch for GPUs."] = False,
    project: Annotated[Path | None, "Checkout whose tests are run. By default that of the imported package."] = None,
    keep: Annotated[Keep, "Folder for rows without failures, to resume from."] = None,
) -> Iterator[Result]:
    folder, found = checkout(project), interpreters.found(python)
    rows: list[dict[str, Any]] = []
    notes = {"tests": " ".join(tests) or "all"}
    kept = Kept(None if keep is None else keep / "pythons.jsonl")
    for one in found:
        for versions in (_CONSTRAINTS, *([_NEWEST] if newest else [])):
            name = f"Python {one.version}, {versions}"
            click.echo(name, err=True)
            try:
                measure = partial(tested, one, versions, folder, tests, workers, torch, pip_option, gpu)
                key = " ".join((name, *([torch] if versions == _NEWEST else []), *tests))
                figures = kept.figures(key, measure, final=lambda found: not found["failed"])
                rows.append({name: value for name, value in figures.items() if name != "failures"})
                if figures["failures"]:
                    notes[f"failed, {name}"] = _listed(figures["failures"])
            except (InvalidArgument, subprocess.CalledProcessError) as error:
                notes[f"not run, {name}"] = interpreters.reason(error)
            if rows:
                yield Result(rows, notes)
    if not rows:
        reasons = [f"{what}: {why}" for what, why in notes.items() if what.startswith("not run")]
        raise InvalidArgument(f"No test was run. {' '.join(reasons)}")
    failed = sum(row["failed"] for row in rows)
    if failed:
        raise click.ClickException(f"{failed} tests failed.")
