import json
import shlex
import shutil

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.model import catalogue
from bayesr.model.header import read_header
from bayesr.report.provenance import attributes, command, json_of


def test_the_most_important_attributes_come_first(ds):
    found = attributes(ds)
    assert [name for name, _ in found][:4] == ["model", "model_sha256", "input_sha256", "input_check"]
    assert sorted(name for name, _ in found) == sorted(ds.attrs)
    assert dict(found)["value_range"] == "0, 255" and dict(found)["n"] == "8"
    some = xr.Dataset(attrs={"b": np.array([0.1, 2]), "a": 1 / 3, "seed": 3})
    assert attributes(some) == [("seed", "3"), ("b", "0.1, 2"), ("a", "0.3333333333")]


@pytest.mark.parametrize(
    ("more", "words"),
    [({}, []), ({"input": {"dims": ["y", "x", "band"], "nodata": -9.5}}, ["--dims yxb", "--nodata -9.5"]),
     ({"input": {"dims": ["time", "y", "x"], "nodata": None}}, ["--dims time,y,x"]),
     ({"engine": {"tile": 16, "device": "cuda"}}, ["--tile 16", "--device cuda"])],
)  # fmt: skip
def test_the_command_says_what_is_not_the_default(ds, more, words):
    changed = ds.assign_attrs({name: json.dumps(value) for name, value in more.items()})
    text = command(changed, "my scene.zarr", keep=True)
    assert text.startswith("bayesr sample INPUT 'my scene.zarr' -n 8 --model tiny --seed 0 --masks 4 --level 0.9")
    assert all(word in text for word in words) and text.endswith("--keep-samples")
    assert "keep-samples" not in command(changed, "a.zarr", keep=False)


def test_the_command_draws_the_product_again(ds, low, saved, tmp_path):
    xr.Dataset({"low": (("y", "x", "band"), low)}).to_zarr(tmp_path / "low.zarr", consolidated=False)
    words = shlex.split(command(ds, str(tmp_path / "a.zarr"), keep=True))[1:]
    words[words.index("INPUT")], words[words.index("tiny")] = str(tmp_path / "low.zarr"), str(saved)
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0, ran.output
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr")["samples"], ds["samples"])


def test_the_command_names_the_bundled_model_with_the_recorded_weights(ds, saved, tmp_path, monkeypatch):
    """A later version may bundle them under another name."""
    monkeypatch.setattr(catalogue, "_BUNDLED", tmp_path)
    drawn = ds.assign_attrs(model_sha256=read_header(saved)["sha256"])
    assert "--model tiny" in command(drawn, "a.zarr", keep=False)
    shutil.copy(saved, tmp_path / "tiny-fast.safetensors")
    assert "--model tiny-fast" in command(drawn, "a.zarr", keep=False)
    shutil.copy(saved, tmp_path / "tiny.safetensors")
    assert "--model tiny " in command(drawn, "a.zarr", keep=False)


def test_json_is_read_or_empty(ds):
    assert json_of(ds, "engine")["device"] == "cpu" and json_of(xr.Dataset(), "engine") == {}
