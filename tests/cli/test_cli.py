import logging
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import click
import PIL.Image
import pytest
from click import shell_completion

import bayesr
from bayesr import plugins, progress
from bayesr.cli import COMMANDS, main
from tests.cli.helpers import run

EXAMPLE = Path(bayesr.__file__).parent / "examples" / "coffee-x4.png"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_found_and_described(name):
    command = main.get_command(click.Context(main), name)
    assert command is not None and command.name == name and command.get_short_help_str()
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    helped = run(name, "--help")
    assert helped.exit_code == 0 and name in helped.output


def described():
    """Yield every command of bayesr and bayesr-bench, with the words that call it; no tables of `bench`."""
    measured = {point.name for point in plugins.found(plugins.COMMANDS) if point.dist == "bayesr-bench"}
    for name in sorted({*COMMANDS, *measured}):
        command = main.get_command(click.Context(main), name)
        yield command, [name]
        for inner in getattr(command, "commands", {}).values():
            yield inner, [name, inner.name]


@pytest.mark.parametrize(("command", "words"), [pytest.param(*one, id=" ".join(one[1])) for one in described()])
def test_every_help_ends_with_examples_that_are_calls(command, words):
    title, *lines = command.epilog.removeprefix("\b\n").split("\n")
    assert title == ("Example:" if len(lines) == 1 else "Examples:") and lines
    shown = run(*words, "--help").output.rstrip().splitlines()
    assert shown[-len(lines) :] == [f"  {line}" for line in lines], "indented, and not wrapped"
    for line in lines:
        program, *given = shlex.split(line)
        assert program == "bayesr" and given[: len(words)] == words
        rest = given[len(words) :]
        if "--help" not in rest and not isinstance(command, click.Group):
            command.make_context(words[-1], rest)  # which checks the arguments


def test_what_is_done_is_said_on_request(photo, tmp_path):
    PIL.Image.fromarray(photo).save(tmp_path / "a.png")
    given = ["sample", tmp_path / "a.png", tmp_path / "a.zarr", "-n", 2, "--tile", 16, "--overwrite"]
    plain, told, all_of_it = run(*given), run("-v", *given), run("-vv", *given)
    assert "bayesr." not in plain.stderr
    for said in ("model natural-x4 from", "device ", "tiles of 16 pixels", "drawing 4 of 4 tiles"):
        assert said in told.stderr, said
    assert "is read as" in all_of_it.stderr and "is read as" not in told.stderr
    assert plain.stdout == told.stdout == all_of_it.stdout
    logger = logging.getLogger("bayesr")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler] and logger.level == logging.NOTSET


def test_quiet_commands_show_results_and_errors_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_EVERY", -1.0)
    PIL.Image.open(EXAMPLE).save(tmp_path / "bad.jpg", quality=30)
    given = ["sample", tmp_path / "bad.jpg", tmp_path / "a.zarr", "-n", 2, "--overwrite"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as outside of tests
        loud, quiet = run(*given), run("-q", *given)
    assert "Warning: " in loud.stderr and "sampling: " in loud.stderr
    assert quiet.stderr == "" and quiet.stdout == loud.stdout and quiet.exit_code == 0
    failed = run("-q", "sample", tmp_path / "none.png", tmp_path / "b.zarr")
    assert failed.exit_code == 1 and failed.stderr.startswith("Error: ")
    assert run("-q", "-v", "models").exit_code == 2


def test_names_are_completed_by_click():
    completion = shell_completion.ShellComplete(main, {}, "bayesr", "_BAYESR_COMPLETE")
    assert {one.value for one in completion.get_completions([], "mod")} == {"models"}
    assert "--json" in {one.value for one in completion.get_completions(["score"], "--j")}


def test_unknown_commands_are_refused():
    assert run("smaple").exit_code == 2
    assert set(COMMANDS) <= set(main.list_commands(click.Context(main)))


def test_mistakes_are_one_line(tmp_path):
    for args in (
        ["sample", "absent.png", tmp_path / "a.zarr"],
        ["train", "nothing", tmp_path, "--out", "x.safetensors"],
    ):
        result = run(*args)
        assert result.exit_code == 1 and result.output.startswith("Error: ")
    assert run("train", "bayes-srgan", tmp_path, "--out", "x", "--steps", "a=b").exit_code == 2


def test_a_degraded_image_gets_a_readable_warning(tmp_path):
    photo = PIL.Image.open(EXAMPLE)
    photo.save(tmp_path / "bad.jpg", quality=30)
    run_in_process = [sys.executable, "-m", "bayesr.cli", "sample", "bad.jpg", "out.zarr", "-n", "2"]
    result = subprocess.run(run_in_process, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Warning: The image is unlike" in result.stderr and "JPEG blocks" in result.stderr
    assert "core.py" not in result.stderr
    assert "the input: unlike calibration: JPEG blocks" in result.stdout
