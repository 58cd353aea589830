"""The harness of tables: options, records, and the list of tables."""

import json
import logging
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import click
import pytest
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import InvalidArgument
from bayesr_bench.commands.bench import command_of, tables
from bayesr_bench.harness import NONE, Result, TableCommand, decimals, option, significant, table
from bayesr_bench.options import Data, Limit, Members, Models, ModelsFolder, Seed, TrainingBudget


def run(command: click.Command, *args: object) -> dict[str, object]:
    """Return the options of a call, as the function receives them."""
    return command.make_context("some", [str(arg) for arg in args]).params


def call(command: click.Command, *args: object):
    return CliRunner().invoke(command, [str(arg) for arg in args])


def read(path: Path) -> dict:
    return json.loads(path.read_text())


# -- the list of tables --------------------------------------------------------------------------


def test_the_tables_are_the_modules_of_the_folder():
    names = {file.name for file in files("bayesr_bench.tables").iterdir() if file.name.endswith(".py")}
    assert {f"{name}.py" for name in tables()} == names - {"__init__.py"} and len(names) > 20


@pytest.mark.parametrize("name", tables())
def test_a_table_is_a_command_with_help(name):
    command = command_of(name)
    assert isinstance(command, click.Command) and "--out" in {flag for p in command.params for flag in p.opts}
    assert all(p.help for p in command.params if isinstance(p, click.Option)), "each option has a help text"
    line = tables()[name]
    assert line[0].isupper() and line.endswith(".") and len(line) < 110
    result = CliRunner().invoke(main, ["bench", name, "--help"])
    assert result.exit_code == 0 and "--out" in result.output
    if isinstance(command, TableCommand):
        assert command.definition.name == name and command.help.startswith(line)
        assert f"bayesr bench {name}" in result.output, "an example call"


def test_the_list_imports_no_table():
    before = {name for name in sys.modules if name.startswith("bayesr_bench.tables.")}
    listed = CliRunner().invoke(main, ["bench", "--help"]).output
    assert before == {name for name in sys.modules if name.startswith("bayesr_bench.tables.")}
    for name in ("all", "compare", *tables()):
        assert f"  {name} " in listed
    assert CliRunner().invoke(main, ["bench", "nothing"]).exit_code == 2


# -- options -------------------------------------------------------------------------------------


@table(estimators="none", small={"n": 2, "sides": (1,)})
def example(
    data: Data,
    needed: str,
    models: Models = ("natural-x4",),
    sides: Annotated[tuple[int, ...], option("--side", help="Of squares.")] = (3, 4),
    cases: tuple[tuple[str, int], ...] = (),
    n: Members = 8,
    seed: Annotated[Seed, option(help="Of members.")] = 0,
    limit: Limit = None,
    some_flag: bool = False,
    rate: float = 0.5,
    folder: Path | None = None,
) -> Result:
    return Result([{"seed": seed}])


def test_options_come_from_annotations_and_defaults(tmp_path):
    found = run(example, "--data", tmp_path, "--needed", "x")
    assert found == {
        "data": tmp_path, "needed": "x", "models": ("natural-x4",), "sides": (3, 4), "cases": (), "n": 8, "seed": 0,
        "limit": None, "some_flag": False, "rate": 0.5, "folder": None, "budget": "full", "out": Path("benchmarks"),
    }  # fmt: skip
    given = ("--side", 5, "--side", 6, "--cases", "a", 1, "-n", 3, "--some-flag", "--rate", 2, "--folder", "f")
    found = run(example, "--data", tmp_path, "--needed", "x", *given, "--limit", 1, "--models", "a")
    assert (found["sides"], found["cases"], found["n"]) == ((5, 6), (("a", 1),), 3)
    assert (found["some_flag"], found["rate"], found["folder"], found["models"]) == (True, 2.0, Path("f"), ("a",))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "--needed"), (("--needed", "x", "-n", 1), "-n"), (("--needed", "x", "--limit", 0), "--limit"),
        (("--needed", "x", "--rate", "fast"), "--rate"), (("--needed", "x", "--budget", "some"), "--budget"),
    ],
)  # fmt: skip
def test_missing_and_invalid_options_are_usage_errors(args, said, tmp_path):
    result = call(example, "--data", tmp_path, *args)
    assert result.exit_code == 2 and said in result.output


def test_a_small_budget_replaces_defaults_only(tmp_path):
    found = run(example, "--data", tmp_path, "--needed", "x", "--budget", "small", "--side", 9)
    assert (found["n"], found["sides"], found["seed"]) == (2, (9,), 0)
    done = call(example, "--data", tmp_path, "--needed", "x", "--budget", "small", "--out", tmp_path)
    assert done.exit_code == 0 and "n 2, sides 1" in read(tmp_path / "test_harness.json")["facts"]["budget"]


def test_help_shows_the_module_and_the_options():
    printed = call(example, "--help").output
    assert "The harness of tables: options" in printed and "Of squares." in printed and "small: n 2, sides 1" in printed
    assert "[default: 3, 4]" in printed and "Of members." in printed
    assert "of all random numbers" not in printed


# -- results -------------------------------------------------------------------------------------


def test_a_record_has_the_facts_of_the_run_and_of_the_table(tmp_path):
    @table(estimators="means", notes={"always": "so"}, rounding=decimals(2))
    def command(n: Members = 4, seed: Seed = 5) -> Result:
        return Result([{"a": 1.23456, "b": "x", "c": 7}], {"now": n})

    assert call(command, "--out", tmp_path, "-n", 6).exit_code == 0
    found = read(tmp_path / "test_harness.json")
    assert found["rows"] == [{"a": 1.23, "b": "x", "c": 7}]
    expected = {"seed": "5", "n": "6", "estimators": "means", "always": "so", "now": 6}
    assert {key: found["facts"][key] for key in expected} == expected
    assert command.function(2).rows == [{"a": 1.23456, "b": "x", "c": 7}]


def test_a_table_without_members_and_random_numbers(tmp_path):
    @table(estimators="sizes", seed=NONE)
    def command() -> Result:
        return Result([{"a": 1}])

    call(command, "--out", tmp_path)
    assert [read(tmp_path / "test_harness.json")["facts"][key] for key in ("n", "seed")] == [NONE, NONE]


def test_several_results_are_recorded_when_they_are_yielded(tmp_path):
    @table(estimators="first", renamed=True, rounding=significant(2))
    def command(name: str, out: Path):
        assert name == "other"
        yield Result([{"a": 0.0012345}])
        assert (out / "other.json").exists()
        yield Result([{"b": 123.4}], suffix="-second", n=3, seed=1, estimators="second")
        raise InvalidArgument("no more")

    result = call(command, "--out", tmp_path, "--name", "other")
    assert isinstance(result.exception, InvalidArgument)
    assert read(tmp_path / "other.json")["rows"] == [{"a": 0.0012}]
    second = read(tmp_path / "other-second.json")
    assert second["rows"] == [{"b": 120.0}]
    assert [second["facts"][key] for key in ("n", "seed", "estimators")] == ["3", "1", "second"]


def test_the_weights_of_every_loaded_model_are_recorded(tmp_path):
    """In each record those that were loaded until then, but for those that its notes state."""
    small, large = bayesr.load("natural-x4-fast"), bayesr.load("natural-x4")
    stated = [f"{one.name}, {one.sha256[:12]}" for one in (small, large)]

    @table(estimators="none")
    def command():
        bayesr.load(small.name)
        yield Result([{"a": 1}])
        bayesr.load(large.name)
        bayesr.load(small.name)
        yield Result([{"a": 1}], suffix="-both")
        yield Result([{"a": 1}], {"model": stated[1]}, suffix="-one")
        yield Result([{"a": 1}], {"models": f"{small.name} {small.sha256[:12]}, {stated[1]}"}, suffix="-none")

    logger = logging.getLogger(bayesr.Model.__module__)
    before = (logger.level, list(logger.handlers))
    assert call(command, "--out", tmp_path).exit_code == 0
    assert (logger.level, logger.handlers) == before
    found = [
        read(tmp_path / f"test_harness{end}.json")["facts"].get("weights") for end in ("", "-both", "-one", "-none")
    ]
    assert found == [stated[0], ", ".join(stated), stated[0], None]


def test_training_tables_take_seconds(tmp_path):
    seen: list[TrainingBudget] = []

    @table(estimators="none", seconds={"small": 5, "full": 600})
    def command(budget: TrainingBudget, models: ModelsFolder = None) -> Result:
        seen.append(budget)
        return Result([{"a": 1}])

    for given in ("small", "full", "7.5"):
        assert call(command, "--budget", given, "--out", tmp_path).exit_code == 0
    assert seen == [TrainingBudget("small", 5), TrainingBudget("full", 600), TrainingBudget("given", 7.5)]
    assert run(command, "--models", "kept")["models"] == Path("kept")
    assert isinstance(call(command, "--budget", "never").exception, InvalidArgument)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from bayesr.cli import main; runner = CliRunner(); "
        "assert 'quality' in runner.invoke(main, ['bench', '--help']).output; "
        "assert 'BEFORE' in runner.invoke(main, ['bench', 'compare', '--help']).output; "
        "assert 'rate' in runner.invoke(main, ['--help']).output; "
        "heavy = {'torch', 'xarray', 'zarr', 'numpy', 'scipy', 'pooch'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
