import subprocess
import sys
from pathlib import Path

import click
import PIL.Image
import pytest

import bayesr
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
