"""Interpreters that are found, and tests that are run with them. No environments are made: that needs downloads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bayesr.errors import InvalidArgument
from bayesr_bench import interpreters
from bayesr_bench.interpreters import Interpreter, Outcome
from bayesr_bench.tables import pythons

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = next(version for version in interpreters.SUPPORTED if version != HERE)


def program(path: Path, text: str) -> Path:
    """Write a shell script that stands for an interpreter of another version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def says(version: str, usable: bool = True) -> str:
    return f"echo '{json.dumps([version, usable])}'"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder of pyenv and one on the search path, and no other."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]))
    monkeypatch.setattr(interpreters, "SUPPORTED", (HERE, OTHER))
    return tmp_path / "pyenv" / "versions", tmp_path / "bin"


pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts stand for other versions")


def test_the_newest_interpreter_of_every_version_is_found(places):
    versions, folder = places
    program(versions / "2.7.18/bin/python", "exit 1")
    program(versions / f"{OTHER}.2/bin/python", says(f"{OTHER}.2"))
    newest = program(versions / f"{OTHER}.11/bin/python", says(f"{OTHER}.11"))
    program(versions / f"{OTHER}.12/bin/python", says(f"{OTHER}.12", usable=False))
    program(versions / "9.1.0/bin/python", says("9.1.0"))
    program(folder / f"python{OTHER}", "echo no version >&2; exit 127")  # as shims of pyenv
    program(folder / f"python{HERE}", f'exec "{sys.executable}" "$@"')
    first, second = interpreters.found()
    assert (first.path.parent, first.minor) == (folder, HERE) or first.path.parent == Path("/usr/bin")
    assert second == Interpreter(newest, f"{OTHER}.11")
    assert interpreters.found((OTHER,)) == [second]


def test_a_version_that_is_not_there_is_refused(places):
    program(places[0] / "a/bin/python", says(f"{HERE}.99"))
    with pytest.raises(InvalidArgument, match=rf"no Python 9\.9 .* found: .*{HERE}.*\. Install it with pyenv"):
        interpreters.found(("9.9", HERE))


def test_the_interpreter_itself_can_make_environments(places):
    program(places[0] / "a/bin/python", f'exec "{sys.executable}" "$@"')
    assert HERE in [one.minor for one in interpreters.found()]


@pytest.mark.parametrize("others", [["nvidia-cublas", "sympy"], ["triton"], ["cuda-bindings"], ["sympy", "networkx"]])
def test_builds_for_gpus_are_refused_before_they_are_downloaded(tmp_path, others):
    parts = [{"metadata": {"name": name, "version": "2.0"}} for name in ("torch", *others)]
    python = program(tmp_path / "python", f"echo '{json.dumps({'install': parts})}'; echo \"$@\" > {tmp_path}/asked")
    if others == ["sympy", "networkx"]:
        interpreters.check_build(python, "torch==2.0", ["--find-links=here"])
    else:
        with pytest.raises(InvalidArgument, match=r"torch 2\.0 for GPUs, with 1 packages such as .*--gpu"):
            interpreters.check_build(python, "torch==2.0", ["--find-links=here"])
    asked = (tmp_path / "asked").read_text()
    assert "--dry-run" in asked and "torch==2.0 --find-links=here" in asked


TESTS = """
import os
import pytest

def test_right(): assert "PYTHONPATH" not in os.environ
def test_wrong(): assert 1 == 2
@pytest.fixture
def broken(): raise RuntimeError
def test_error(broken): pass
@pytest.mark.skip
def test_not(): pass
@pytest.mark.parametrize("i", range(3))
def test_many(i): pass
"""


def test_tests_are_counted_by_outcome(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "test_some.py").write_text(TESTS)
    found = interpreters.test(Path(sys.executable), tmp_path, ["test_some.py"], tmp_path)
    assert (found.passed, found.skipped, found.failed) == (4, 1, 2) and found.seconds > 0
    assert found.failures == ("test_some::test_wrong", "test_some::test_error")
    (tmp_path / "test_import.py").write_text("import no_such_module")
    (tmp_path / "again").mkdir()
    found = interpreters.test(Path(sys.executable), tmp_path, ["test_import.py"], tmp_path / "again")
    assert (found.passed, found.failed) == (0, 1)


def test_a_run_without_tests_is_an_error(tmp_path):
    for arguments in (["no_such_file.py"], ["."]):
        with pytest.raises(subprocess.CalledProcessError) as error:
            interpreters.test(Path(sys.executable), tmp_path, arguments, tmp_path)
        assert "without a result" in interpreters.reason(error.value)


def test_the_reason_is_what_pip_says_last():
    said = "noise\nERROR: first\nERROR: No matching distribution found for torch==99\nnotice\n"
    error = subprocess.CalledProcessError(1, "pip", stderr=said)
    assert interpreters.reason(error) == "ERROR: No matching distribution found for torch==99 (exit status 1)"
    assert interpreters.reason(subprocess.CalledProcessError(3, "pip")) == "no message (exit status 3)"
    assert interpreters.reason(InvalidArgument("so")) == "so"


def test_versions_are_those_of_the_interpreter():
    found = interpreters.versions(Path(sys.executable), ("numpy", "click"))
    code = "import numpy; print(numpy.__version__)"
    assert found["numpy"] == subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert list(found) == ["numpy", "click"]


def test_a_checkout_is_needed(tmp_path):
    assert (pythons.checkout(None) / "constraints.txt").is_file()
    with pytest.raises(InvalidArgument, match=r"has no pyproject\.toml, constraints\.txt.*--project"):
        pythons.checkout(tmp_path)


def test_each_python_is_a_row_and_what_is_not_run_a_fact(tmp_path, monkeypatch):
    """With environments that exist already, in the place of new ones."""
    both = [Interpreter(Path("one"), "3.12.1"), Interpreter(Path("other"), "3.13.0")]
    monkeypatch.setattr(interpreters, "found", lambda versions: both)

    def tested(one, versions, project, paths, workers, torch, options, gpu):
        if one.minor == "3.13" and (versions == "newest" or paths):
            raise InvalidArgument("no build for CPUs")
        failures = ("test_a::test_b",) * (one.minor == "3.13")
        outcome = Outcome(5, 1, len(failures), 2.04, failures)
        row = {"python": one.version, "dependencies": versions, "failed": outcome.failed, "seconds": 2.04}
        return row | {"failures": failures}

    monkeypatch.setattr(pythons, "tested", tested)
    done = CliRunner().invoke(pythons.command, ["--newest", "--out", str(tmp_path)])
    assert done.exit_code == 1 and "1 tests failed." in done.output
    table = json.loads((tmp_path / "pythons.json").read_text())
    assert [(row["python"], row["dependencies"], row["seconds"]) for row in table["rows"]] == [
        ("3.12.1", "constraints.txt", 2.0), ("3.12.1", "newest", 2.0), ("3.13.0", "constraints.txt", 2.0),
    ]  # fmt: skip
    assert table["facts"]["not run, Python 3.13.0, newest"] == "no build for CPUs"
    assert table["facts"]["failed, Python 3.13.0, constraints.txt"] == "test_a::test_b"
    assert table["facts"]["tests"] == "all"
    assert "failures" not in table["rows"][0]
    monkeypatch.setattr(interpreters, "found", lambda versions: both[1:])
    with pytest.raises(
        InvalidArgument, match=r"No test was run\. not run, Python 3\.13\.0, constraints\.txt: no build"
    ):
        options = ["--tests", "tests/store", "--out", str(tmp_path / "no")]
        CliRunner().invoke(pythons.command, options, catch_exceptions=False)
    assert not (tmp_path / "no").exists()


def test_rows_without_failures_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreters, "found", lambda versions: [Interpreter(Path("one"), "3.12.1")])
    runs, failures = [], ["test_a"]

    def tested(one, versions, *others):
        runs.append(versions)
        broken = tuple(failures) if versions == "newest" else ()
        return {"python": one.version, "dependencies": versions, "failed": len(broken), "failures": broken}

    monkeypatch.setattr(pythons, "tested", tested)
    options = ["--newest", "--keep", str(tmp_path / "keep"), "--out", str(tmp_path)]
    assert CliRunner().invoke(pythons.command, options).exit_code == 1
    failures.clear()
    assert CliRunner().invoke(pythons.command, options).exit_code == 0
    assert runs == ["constraints.txt", "newest", "newest"]
    assert [row["failed"] for row in json.loads((tmp_path / "pythons.json").read_text())["rows"]] == [0, 0]
