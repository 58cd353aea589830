"""Commands of other distributions: they are found by entry points, and a missing distribution is named."""

import click
import pytest

from bayesr import plugins
from bayesr.cli.plugins import KNOWN
from tests.cli.helpers import run


@click.command()
@click.option("--loud", is_flag=True)
def hello(loud: bool) -> None:
    """Greet."""
    click.echo("HELLO" if loud else "hello")


def installed(monkeypatch, *points):
    """Pretend that these and no others are installed; each is (group, name, object)."""

    def found(group):
        return tuple(plugins.Point(name, value) for of, name, value in points if of == group)

    monkeypatch.setattr(plugins, "found", found)


def test_a_command_of_another_distribution_is_one_of_bayesr(monkeypatch):
    installed(monkeypatch, (plugins.COMMANDS, "hello", f"{__name__}:hello"))
    assert run("hello", "--loud").output == "HELLO\n"
    listed = run("--help").output
    assert "hello" in listed and "Greet." in listed and "sample" in listed


def test_a_command_of_bayesr_is_not_replaced(monkeypatch):
    installed(monkeypatch, (plugins.COMMANDS, "models", f"{__name__}:hello"))
    assert "natural-x4" in run("models").output


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("more", [[], ["--help"], ["quality", "--data", "x"], ["-n", "3"]])
def test_without_the_distribution_its_commands_say_how_to_install_it(name, more, monkeypatch):
    installed(monkeypatch)
    result = run(name, *more)
    assert result.exit_code == 1 and result.output.count("\n") == 1
    assert result.output.startswith(f"Error: `bayesr {name}` is part of bayesr-bench")
    assert "pip install ./benchmarks" in result.output
    assert name in run("--help").output


def test_pages_of_tables_say_how_to_install_it(monkeypatch, tmp_path):
    installed(monkeypatch)
    (tmp_path / "x.json").write_text("{}")
    result = run("report", tmp_path / "x.json")
    assert result.exit_code == 1 and "pip install ./benchmarks" in result.output


def test_a_broken_distribution_breaks_nothing_else(monkeypatch):
    installed(monkeypatch, (plugins.COMMANDS, "hello", "no_such_module:hello"))
    assert run("--help").exit_code == 0 and run("models").exit_code == 0
    result = run("hello")
    assert result.exit_code == 1 and "no_such_module" in result.output and "install" in result.output


def test_unknown_commands_are_usage_errors(monkeypatch):
    installed(monkeypatch)
    assert run("nothing").exit_code == 2
