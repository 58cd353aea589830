import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import PIL.Image
import pytest
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import COMMANDS, main

EXAMPLE = Path(bayesr.__file__).parent / "examples" / "coffee-x4.png"


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


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


def test_sample_writes_a_product(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    PIL.Image.fromarray(photo).save(tmp_path / "a.png")
    out = tmp_path / "a.zarr"
    result = run("sample", tmp_path / "a.png", out, "-n", 4, "--model", file, "--seed", 3, "--keep-samples")
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    ds = xr.open_zarr(out)
    assert ds.attrs["seed"] == 3 and ds.sizes["realization"] == 4
    again = run("sample", tmp_path / "a.png", out, "-n", 4, "--model", file)
    assert again.exit_code == 1 and "overwrite" in again.output and "Traceback" not in again.output


def test_demo(tmp_path):
    result = run("demo", tmp_path / "demo.zarr", "-n", 4)
    assert result.exit_code == 0, result.output
    assert xr.open_zarr(tmp_path / "demo.zarr").attrs["model"] == "natural-x4"


def test_models():
    result = run("models")
    assert result.exit_code == 0 and "natural-x4" in result.output


def test_calibrate(model, tmp_path):
    file, rng = model.save(tmp_path / "tiny.safetensors"), np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(6):
        pixels = np.kron(rng.integers(0, 255, (4, 5, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    out = tmp_path / "new.safetensors"
    few = run("calibrate", file, tmp_path / "images", "--out", out)
    assert few.exit_code == 1 and "at least 38" in few.output and not out.exists()
    result = run("calibrate", file, tmp_path / "images", "--out", out, "--levels", "0.5", "--limit", 5)
    assert result.exit_code == 0, result.output
    assert "2 images" in result.output and "+-" in result.output
    assert bayesr.load(out).calibration.images == 2
    assert run("calibrate", file, tmp_path / "images", "--out", out, "--levels", "a").exit_code == 2


def test_components(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    PIL.Image.fromarray(photo).save(tmp_path / "a.png")
    run("sample", tmp_path / "a.png", tmp_path / "a.zarr", "-n", 4, "--model", file)
    drawn = run("components", tmp_path / "a.zarr", "-k", 2, "--img", tmp_path / "a.png", "--model", file)
    sampled = run("components", tmp_path / "a.png", "-k", 2, "-n", 4, "--model", file, "--out", tmp_path / "c.zarr")
    assert drawn.exit_code == sampled.exit_code == 0, drawn.output + sampled.output
    assert sampled.output.startswith(drawn.output) and drawn.output.count("\n") == 3
    assert xr.open_zarr(tmp_path / "c.zarr")["components"].shape == (2, 3, 92, 120)
    for args in (["a.zarr"], ["c.zarr"], ["a.png", "--model", file, "--out", tmp_path / "c.zarr"]):
        result = run("components", tmp_path / args[0], *args[1:])
        assert result.exit_code == 1 and result.output.startswith("Error: ")


def test_mistakes_are_one_line(tmp_path):
    for args in (
        ["sample", "absent.png", tmp_path / "a.zarr"],
        ["train", "nothing", tmp_path, "--out", "x.safetensors"],
    ):
        result = run(*args)
        assert result.exit_code == 1 and result.output.startswith("Error: ")
    assert run("train", "bayes-srgan", tmp_path, "--out", "x", "--steps", "a=b").exit_code == 2


@pytest.mark.parametrize("code", ["import bayesr; dir(bayesr)", "import bayesr.cli"])
def test_imports_are_light(code):
    check = (
        f"import sys; {code}; heavy = {{'torch', 'xarray', 'zarr', 'numpy', 'scipy'}} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_public_names():
    assert all(getattr(bayesr, name) is not None for name in bayesr.__all__)
    assert set(bayesr.__all__) <= set(dir(bayesr))
    with pytest.raises(AttributeError, match="nothing"):
        bayesr.nothing  # noqa: B018


def test_a_degraded_image_gets_a_readable_warning(tmp_path):
    photo = PIL.Image.open(EXAMPLE)
    photo.save(tmp_path / "bad.jpg", quality=30)
    run_in_process = [sys.executable, "-m", "bayesr.cli", "sample", "bad.jpg", "out.zarr", "-n", "2"]
    result = subprocess.run(run_in_process, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Warning: The image is unlike" in result.stderr and "JPEG blocks" in result.stderr
    assert "core.py" not in result.stderr
    assert "the input: unlike calibration: JPEG blocks" in result.stdout
