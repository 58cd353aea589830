"""Scenario: files instead of stores, from the command line."""

import numpy as np
import PIL.Image
import xarray as xr
from click.testing import CliRunner

from bayesr.cli import main


def run(*args):
    return CliRunner().invoke(main, list(map(str, args)))


def test_the_suffix_of_the_result_is_its_format(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    PIL.Image.fromarray(photo).save(tmp_path / "in.png")
    given = ["--model", file, "-n", 4]
    done = run("sample", tmp_path / "in.png", tmp_path / "out.png", *given)
    assert done.exit_code == 0 and "open_zarr" not in done.output, done.output
    with PIL.Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (4 * photo.shape[1], 4 * photo.shape[0])
    assert run("sample", tmp_path / "in.png", tmp_path / "out.nc", *given, "--variables", "mean,std").exit_code == 0
    with xr.open_dataset(tmp_path / "out.nc") as ds:
        assert set(ds.data_vars) == {"mean", "std"}
    again = run("sample", tmp_path / "in.png", tmp_path / "out.png", *given)
    assert again.exit_code == 2 and "--overwrite" in again.output
    assert run("sample", tmp_path / "in.png", tmp_path / "out.png", *given, "--overwrite").exit_code == 0
    unknown = run("sample", tmp_path / "in.png", tmp_path / "out.gif", *given)
    assert unknown.exit_code == 1 and "no suffix that names a format" in unknown.output
    style = run("sample", tmp_path / "in.png", tmp_path / "out.qml", *given)
    assert style.exit_code == 1 and "no values" in style.output and not (tmp_path / "out.qml").exists()
    store = run("sample", tmp_path / "in.png", tmp_path / "b.png", *given, "--workers", 2)
    assert store.exit_code == 2 and "--workers is for stores" in store.output


def test_a_store_is_exported(model, photo, tmp_path):
    model.sample(photo, 4, store=tmp_path / "a.zarr", keep_samples=True)
    done = run("export", tmp_path / "a.zarr", tmp_path / "member.png", "--member", 3)
    assert done.exit_code == 0 and "member.png is written" in done.output, done.output
    with PIL.Image.open(tmp_path / "member.png") as picture:
        assert np.asarray(picture).shape[-1] == 3
