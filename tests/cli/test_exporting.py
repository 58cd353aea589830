"""Scenario: files instead of stores, from the command line."""

import numpy as np
import PIL.Image
import pytest
import xarray as xr
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.store.layout import Store


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
    for options in (["--workers", 2], ["--no-shards"], ["--shards"], ["--resume"]):
        store = run("sample", tmp_path / "in.png", tmp_path / "b.png", *given, *options)
        assert store.exit_code == 2 and "is for stores" in store.output
    assert run("sample", tmp_path / "in.png", tmp_path / "out.ome.zarr", *given).exit_code == 0
    assert (tmp_path / "out.ome.zarr" / "s0").is_dir()


def test_a_store_is_exported(model, photo, tmp_path):
    model.sample(photo, 4, store=tmp_path / "a.zarr", keep_samples=True)
    done = run("export", tmp_path / "a.zarr", tmp_path / "member.png", "--member", 3)
    assert done.exit_code == 0 and "member.png is written" in done.output, done.output
    with PIL.Image.open(tmp_path / "member.png") as picture:
        assert np.asarray(picture).shape[-1] == 3


@pytest.mark.parametrize(("option", "sharded"), [("--shards", True), ("--no-shards", False)])
def test_stores_with_and_without_shards(model, photo, tmp_path, option, sharded):
    file = model.save(tmp_path / "tiny.safetensors")
    PIL.Image.fromarray(photo).save(tmp_path / "in.png")
    given = [tmp_path / "in.png", tmp_path / "a.zarr", "--model", file, "-n", 2, "--tile", 16, option]
    assert run("sample", *given).exit_code == 0
    assert Store(str(tmp_path / "a.zarr")).sharded is sharded
    assert run("check", tmp_path / "a.zarr").exit_code == 0


def test_versions_of_zarr(model, photo, tmp_path):
    model.sample(photo, 4, store=tmp_path / "a.zarr")
    assert run("export", tmp_path / "a.zarr", tmp_path / "b.zarr", "--zarr-format", 2).exit_code == 0
    assert (tmp_path / "b.zarr" / ".zmetadata").exists()
    refused = run("export", tmp_path / "a.zarr", tmp_path / "c.zarr", "--zarr-format", 4)
    assert refused.exit_code == 1 and "2 or 3" in refused.output and not (tmp_path / "c.zarr").exists()
