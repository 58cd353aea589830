"""The record of a table: the same rows in three files, and the facts to repeat it."""

import csv
import io
import json
import math
import platform
import subprocess
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr_bench.harness import Result, option, table
from bayesr_bench.record import NONE, code, code_of, error_of_mean, record, write
from bayesr_bench.recorded import as_csv, columns_of

RECORDED = sorted(Path(__file__).parents[1].glob("*.json"))
CELLS = st.none() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text("ab,\"'\n;±", max_size=5)


@given(st.lists(st.dictionaries(st.text('abc ,"', min_size=1, max_size=4), CELLS, min_size=1), min_size=1, max_size=5))
def test_csv_holds_what_json_holds(rows):
    found = list(csv.DictReader(io.StringIO(as_csv(rows), newline="")))
    assert len(found) == len(rows)
    for read, row in zip(found, rows, strict=True):
        assert list(read) == columns_of(rows)
        for column, text in read.items():
            value = row.get(column)
            assert text == ("" if value is None else value if isinstance(value, str) else repr(value))


def test_rows_of_different_columns_make_one_table(tmp_path):
    write("some", [{"a": 1.23456, "b": math.nan}, {"a": 2, "c": "x"}], {"why": "a test"}, tmp_path)
    assert json.loads((tmp_path / "some.json").read_text())["rows"] == [{"a": 1.23456, "b": None}, {"a": 2, "c": "x"}]
    assert (tmp_path / "some.csv").read_bytes().decode() == "a,b,c\n1.23456,,\n2,,x\n"
    assert "| a | b | c |" in (tmp_path / "some.md").read_text()
    assert "| 2 | – | x |" in (tmp_path / "some.md").read_text()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_tables_are_the_same_in_every_format(path):
    table = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".csv").read_bytes().decode() == as_csv(table["rows"]), "written from other rows"
    lines = path.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(table["rows"]) + 2


def test_facts_state_machine_versions_and_estimators(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bayesr", "bench", "some", "--data", "/a/secret/place/data"])
    record("some", [{"a": 1}], {"more": "here"}, tmp_path, seed=3, n=32, estimators="fair CRPS")
    facts = json.loads((tmp_path / "some.json").read_text())["facts"]
    assert facts["command"] == "bayesr bench some --data data" and "secret" not in json.dumps(facts)
    assert (facts["table"], facts["seed"], facts["n"], facts["estimators"]) == ("some", "3", "32", "fair CRPS")
    for word in ("core", "GiB memory", "thread", platform.machine()):
        assert word in facts["machine"]
    for word in ("Python", "torch", "numpy", "xarray", "zarr", "scoringrules", f"bayesr {bayesr.__version__}"):
        assert word in facts["versions"]
    assert facts["more"] == "here" and "budget" not in facts
    assert facts["code"] == code()


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_code_is_the_commit_of_the_source(tmp_path, monkeypatch):
    source = tmp_path / "bayesr" / "__init__.py"
    source.parent.mkdir()
    source.write_text("")
    plain = f"bayesr {bayesr.__version__}"
    assert code_of(source.parent) == plain, "no repository"
    git(tmp_path, "init", "-q")
    (tmp_path / "other").write_text("")
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "-qm", "of another project")
    assert code_of(source.parent) == plain, "an installed copy inside a repository"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "bayesr")
    commit = git(tmp_path, "rev-parse", "HEAD")[:12]
    (tmp_path / "table.json").write_text("{}")
    assert code_of(source.parent) == f"{plain}, commit {commit}", "tables are no code"
    source.write_text("changed = True")
    assert code_of(source.parent) == f"{plain}, commit {commit}, with changes"
    monkeypatch.setenv("PATH", "")
    assert code_of(source.parent) == plain, "no git"


@pytest.mark.parametrize("given", ["seed", "n", "estimators"])
def test_n_and_seed_are_required(given, tmp_path):
    made = dict(seed=NONE, n=NONE, estimators="none")
    made.pop(given)
    with pytest.raises(TypeError, match=given):
        record("some", [{"a": 1}], {}, tmp_path, **made)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "said", "steps"),
    [
        ([], "full", 4000),
        (["--budget", "small"], "small, not for comparison with a full one: steps 10, sets a b", 10),
        (["--steps", "7", "--budget", "small"], "small, not for comparison with a full one: steps 7, sets a b", 7),
    ],
)
def test_the_values_of_a_small_budget_are_recorded(args, said, steps, tmp_path):
    """Options override it in any order, and the record has the values that were used."""

    @table(estimators="none", small={"steps": 10, "sets": ("a", "b")})
    def command(steps: int = 4000, sets: Annotated[tuple[str, ...], option("--set")] = ("a", "b", "c")) -> Result:
        return Result([{"steps": steps}])

    done = CliRunner().invoke(command, [*args, "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "test_record.json").read_text())
    assert found["facts"]["budget"] == said and found["rows"] == [{"steps": steps}]


def test_standard_errors_of_means():
    assert error_of_mean([1, 2, 3, np.nan]) == pytest.approx(1 / np.sqrt(3))
    assert np.isnan(error_of_mean([1])) and np.isnan(error_of_mean([]))
