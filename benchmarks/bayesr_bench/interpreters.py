"""Python interpreters on this machine, environments made with them, and tests run in these environments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from bayesr.errors import InvalidArgument

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that are looked for."""

# An interpreter describes itself: version, and whether environments can be made with it. Debian has some without pip;
# builds without the global lock need wheels of their own.
_ASK = (
    "import importlib.util as u, json, platform, sys, sysconfig; print(json.dumps([platform.python_version(), "
    "sys.version_info.releaselevel == 'final' and not sysconfig.get_config_var('Py_GIL_DISABLED') "
    "and all(u.find_spec(name) for name in ('venv', 'ensurepip'))]))"
)
_VERSIONS = (
    "import json, sys; from importlib.metadata import version; print(json.dumps({n: version(n) for n in sys.argv[1:]}))"
)
_CUDA = ("nvidia-", "cuda-", "triton")
"""Beginnings of the names of packages that builds of torch for GPUs need."""


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter: its file, and its version, such as 3.12.1."""

    path: Path
    version: str

    @property
    def minor(self) -> str:
        """The version without the last number, such as 3.12."""
        return self.version.rpartition(".")[0]


@dataclass(frozen=True)
class Outcome:
    """Numbers of tests by outcome, errors among the failed ones, with seconds and the names of the failed tests."""

    passed: int
    skipped: int
    failed: int
    seconds: float
    failures: tuple[str, ...] = ()


def found(versions: Sequence[str] = ()) -> list[Interpreter]:
    """Return the newest interpreter of every supported version, among those of pyenv and those on the search path.

    Parameters
    ----------
    versions : sequence of str, optional
        Only these, such as ``3.12``.

    Raises
    ------
    InvalidArgument
        If one of the given versions is not found, or none at all.
    """
    newest: dict[str, Interpreter] = {}
    for one in (known for path in _candidates() if (known := _asked(path)) is not None):
        before = newest.get(one.minor)
        if one.minor in SUPPORTED and (before is None or _order(one) > _order(before)):
            newest[one.minor] = one
    missing = [version for version in versions if version not in newest]
    if missing or not newest:
        raise InvalidArgument(
            f"There is no Python {', '.join(missing) or f'{SUPPORTED[0]} to {SUPPORTED[-1]}'} with which environments "
            f"can be made; found: {', '.join(sorted(newest)) or 'none'}. Install it with pyenv or put it on PATH."
        )
    return [newest[version] for version in SUPPORTED if version in (versions or newest) and version in newest]


def _candidates() -> Iterator[Path]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(root.glob("versions/*/bin/python"))
    for version in SUPPORTED:
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = shutil.which(f"python{version}", path=folder) if folder else None
            if path is not None:
                yield Path(path)


def _asked(path: Path) -> Interpreter | None:
    """Return an interpreter, or None where the file is none or cannot make environments."""
    try:
        done = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=60, check=True)
        version, usable = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None  # a shim of pyenv for a version that is not chosen, a Python 2
    return Interpreter(path, version) if usable else None


def _order(one: Interpreter) -> tuple[int, ...]:
    return tuple(int(part) for part in one.version.split("."))


def make(interpreter: Interpreter, folder: Path) -> Path:
    """Make a virtual environment in a folder, and return its interpreter."""
    _run([interpreter.path, "-m", "venv", folder])
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_build(python: Path, torch: str, options: Sequence[str]) -> None:
    """Check that pip would install a build of torch for CPUs, before gigabytes are downloaded.

    Parameters
    ----------
    python : Path
        Interpreter of an environment.
    torch : str
        Requirement, such as ``torch==2.13.0``.
    options : sequence of str
        Options of ``pip install``.

    Raises
    ------
    InvalidArgument
        If it would install one for GPUs.
    subprocess.CalledProcessError
        If pip finds none.
    """
    asked = ["--dry-run", "--quiet", "--report", "-", torch, *options]
    report = json.loads(_run([python, "-m", "pip", "install", *asked]))
    names = {part["metadata"]["name"]: part["metadata"]["version"] for part in report["install"]}
    others = [name for name in names if name.lower().startswith(_CUDA)]
    if others:
        raise InvalidArgument(
            f"pip would install torch {names['torch']} for GPUs, with {len(others)} packages such as {others[0]}: give "
            "--torch a version with a build for CPUs, name its place with --pip-option, or allow this with --gpu."
        )


def install(python: Path, requirements: Sequence[str], options: Sequence[str]) -> None:
    """Install requirements in one resolution.

    Raises
    ------
    subprocess.CalledProcessError
        If pip cannot.
    """
    _run([python, "-m", "pip", "install", "--quiet", *requirements, *options])


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of packages."""
    return dict(json.loads(_run([python, "-I", "-c", _VERSIONS, *packages])))


def test(python: Path, project: Path, paths: Sequence[str], folder: Path, workers: int = 1) -> Outcome:
    """Run the tests of a project, whose progress is shown, and return what became of them.

    Parameters
    ----------
    python : Path
        Interpreter of an environment.
    project : Path
        Folder in which pytest runs.
    paths : sequence of str
        Arguments of pytest; all tests without them.
    folder : Path
        An existing folder for the report.
    workers : int
        Processes.

    Raises
    ------
    subprocess.CalledProcessError
        If pytest ended without a report, or found no test.
    """
    report = folder / "tests.xml"
    given = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *paths]
    given += ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    done = subprocess.run([python, "-m", "pytest", *given], cwd=project, env=_environment(), check=False)
    outcome = read_report(report) if report.is_file() else None
    # 0 and 1: all tests ran; 2: files could not be imported, which the report counts as errors.
    if done.returncode not in (0, 1, 2) or outcome is None or outcome.passed + outcome.failed + outcome.skipped == 0:
        raise subprocess.CalledProcessError(done.returncode, "pytest", stderr="pytest ended without a result")
    return outcome


def read_report(path: Path) -> Outcome:
    """Read a report of pytest, which has the form of JUnit."""
    suites = list(ElementTree.parse(path).getroot().iter("testsuite"))

    def total(name: str) -> float:
        return sum(float(suite.get(name, 0)) for suite in suites)

    failed, skipped = int(total("failures") + total("errors")), int(total("skipped"))
    cases = [case for suite in suites for case in suite.iter("testcase")]
    names = [
        "::".join(part for part in (case.get("classname"), case.get("name")) if part)
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return Outcome(int(total("tests")) - failed - skipped, skipped, failed, total("time"), tuple(dict.fromkeys(names)))


def reason(error: Exception) -> str:
    """Return the last line of what a command said before it failed, or the message of another error."""
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    lines = [line.strip() for line in (error.stderr or error.stdout or "").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("ERROR")] or lines
    return f"{said[-1] if said else 'no message'} (exit status {error.returncode})"


def _environment() -> Mapping[str, str]:
    """Return the environment variables of a process, without those that show Python modules of other environments."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _run(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, env=_environment(), check=True).stdout
