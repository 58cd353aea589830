import json
from pathlib import Path

import PIL.Image
import pytest
import xarray as xr

import bayesr
from bayesr.cli.sampling import _value_range
from tests.cli.helpers import run


def test_sample_writes_a_product(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    PIL.Image.fromarray(photo).save(tmp_path / "a.png")
    out = tmp_path / "a.zarr"
    result = run("sample", tmp_path / "a.png", out, "-n", 4, "--model", file, "--seed", 3, "--keep-samples")
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    assert "value range: 0 to 255" in result.output
    ds = xr.open_zarr(out)
    assert ds.attrs["seed"] == 3 and ds.sizes["realization"] == 4
    again = run("sample", tmp_path / "a.png", out, "-n", 4, "--model", file)
    assert again.exit_code == 1 and "overwrite" in again.output and "Traceback" not in again.output


def test_demo(tmp_path):
    result = run("demo", tmp_path / "demo.zarr", "-n", 4)
    assert result.exit_code == 0, result.output
    assert xr.open_zarr(tmp_path / "demo.zarr").attrs["model"] == "natural-x4"


def test_a_check_as_json(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    bayesr.sample(photo, 4, model=file, store=tmp_path / "a.zarr", tile=16)
    sound = run("check", tmp_path / "a.zarr", "--json")
    found = json.loads(sound.stdout)
    assert sound.exit_code == 0 and found["sound"] and found["tiles"] == 4 and not found["damaged"]
    shard = next(path for path in (tmp_path / "a.zarr" / "std" / "c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-9])
    damaged = run("-v", "check", tmp_path / "a.zarr", "--json", "--repair", "--model", file)
    assert damaged.exit_code == 0, damaged.output
    found = json.loads(damaged.stdout)
    assert found["repaired"] == 1 and list(found["damaged"][0]["variables"]) == ["std"] and not found["sound"]
    assert "drawing 1 of 4 damaged or missing tiles again" in damaged.stderr
    assert json.loads(run("check", tmp_path / "a.zarr", "--json").stdout)["sound"]


def test_examples_are_copied_and_other_files_are_kept(tmp_path):
    result = run("examples", tmp_path / "new" / "images")
    assert result.exit_code == 0, result.output
    copies = {Path(line).name: Path(line) for line in result.output.splitlines()}
    originals = [getattr(bayesr.examples, name)() for name in bayesr.examples.__all__]
    assert {path.name for path in originals} == set(copies) and {path.parent.name for path in copies.values()} == {
        "images"
    }
    assert all(copies[path.name].read_bytes() == path.read_bytes() for path in originals)
    assert run("examples", tmp_path / "new" / "images").output == result.output  # the same files may be there

    other = tmp_path / "other" / originals[1].name
    other.parent.mkdir()
    other.write_bytes(b"mine")
    refused = run("examples", other.parent)
    assert refused.exit_code == 1 and str(other) in refused.output and "another folder" in refused.output
    assert [path.name for path in other.parent.iterdir()] == [other.name] and other.read_bytes() == b"mine"
    assert run("examples", other).exit_code == 2  # a file


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"value_range": [0.0, 255.0]}, "0 to 255"),
        ({"value_range": [0.0, 255.0], "input": '{"dims": null, "nodata": null}'}, "0 to 255"),
        ({"value_range": [0.0, 255.0], "input": '{"value_range": null}'}, "0 to 255"),
        ({"value_range": [0.0, 255.0], "input": '{"value_range": "type"}'}, "0 to 255 (of the type of the image)"),
        ({"value_range": (-1.5, 4000000005.0), "input": '{"value_range": "given"}'}, "-1.5 to 4000000005 (as given)"),
        ({"value_range": [0, 1], "input": '{"value_range": "unit"}'}, "0 to 1 (unit)"),
        (
            {"value_range": [0.25, 0.5], "input": '{"value_range": "minmax"}'},
            "0.25 to 0.5 (minimum and maximum of the image)",
        ),
        (
            {"value_range": [0.25, 0.5], "input": '{"value_range": "percentiles"}'},
            "0.25 to 0.5 (percentiles 0.1 and 99.9 of the image)",
        ),
        ({"value_range": [0.25, 0.5], "input": '{"value_range": "another"}'}, "0.25 to 0.5 (another)"),
    ],
)
def test_the_summary_says_what_value_range_was_taken(attrs, expected):
    assert _value_range(attrs) == expected
