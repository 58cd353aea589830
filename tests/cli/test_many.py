import os

import numpy as np
import PIL.Image
import pytest
import xarray as xr
import zarr

import bayesr
from bayesr.cli import many
from bayesr.store.layout import Store
from tests.cli.helpers import run


@pytest.fixture
def place(model, tmp_path, monkeypatch):
    """A working directory with a model and three small images in a folder, beside other files."""
    monkeypatch.chdir(tmp_path)
    model.save("tiny.safetensors")
    rng = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for name in ("a", "b", "c"):
        PIL.Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(tmp_path / "scans" / f"{name}.png")
    (tmp_path / "scans" / "notes.txt").write_text("no image")
    (tmp_path / "scans" / ".hidden.png").write_text("no image")
    return tmp_path


def sample(*args):
    return run("sample", *args, "-n", 2, "--model", "tiny.safetensors")


def test_which_commands_have_many_images(place):
    assert many.is_many(["a.png", "b.png"], "out") and many.is_many(["a.png"], "out/")
    assert many.is_many(["scans"], "out") and many.is_many(["scans/*.png"], "out")
    assert not many.is_many(["a.png"], "out") and not many.is_many(["a.png"], "out.zarr/")
    assert not many.is_many(["s3://bucket/a*.zarr"], "out.zarr")
    zarr.create_group(place / "image.zarr")
    assert not many.is_many(["image.zarr"], "out.zarr")


def test_folders_and_patterns_stand_for_their_images(place):
    found, problems = many.images_of(["scans", "scans/[ab].png", "none/*.png"])
    names = ["a.png", "b.png", "c.png", "a.png", "b.png"]
    assert [os.path.basename(one) for one in found] == names and problems == ["none/*.png: no file matches."]  # noqa: PTH119
    assert many.images_of(["s3://bucket/a.zarr"]) == (["s3://bucket/a.zarr"], [])
    tasks, colliding = many.tasks_of(["x/a.ome.tif", "s3://bucket/b.zarr/"], "s3://bucket/out/", ".zarr")
    assert [task.out for task in tasks] == ["s3://bucket/out/a.zarr", "s3://bucket/out/b.zarr"] and not colliding


def test_each_image_becomes_the_product_that_it_has_alone(place):
    done = sample("scans", "out")
    assert done.exit_code == 0 and "[3/3]" in done.output, done.output
    assert sorted(path.name for path in (place / "out").iterdir()) == ["a.zarr", "b.zarr", "c.zarr"]
    for name in ("a", "b", "c"):
        alone = bayesr.sample(f"scans/{name}.png", 2, model="tiny.safetensors")
        xr.testing.assert_allclose(xr.open_zarr(f"out/{name}.zarr")["mean"], alone["mean"], atol=1e-3)


def test_all_problems_are_told_at_once_before_any_work(model, place):
    PIL.Image.open("scans/a.png").save("a.tif")
    PIL.Image.open("scans/a.png").convert("L").save("grey.png")
    (place / "broken.png").write_bytes(b"no image")
    (place / "out").mkdir()
    model.sample("scans/b.png", 2, store="out/b.zarr")
    before = sorted(place.rglob("*"))
    given = ["scans/*.png", "a.tif", "grey.png", "broken.png", "absent.png", "none*.png"]
    done = sample(*given, "out/")
    assert done.exit_code == 1 and "Traceback" not in done.output
    problems = ["6 problems", "scans/a.png, a.tif: all would be written to out/a.zarr", "out/b.zarr is already there"]
    problems += [
        "grey.png: tiny takes 3 bands",
        "broken.png cannot be read",
        "no file absent.png",
        "none*.png: no file",
    ]
    for problem in problems:
        assert problem in done.output, (problem, done.output)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["scans/a.png", "scans/b.png", "scans/c.png"], "this is a file"),
        (["scans", "scans/"], "among the images"),
        (["scans", "absent/out"], "there is no folder"),
        (["scans", "out/", "--overwrite", "--resume"], "contradict"),
        (["scans/*.png", "scans/", "--format", "png", "--overwrite"], "scans/a.png: it is one of the images"),
        (["scans", "out", "--format", "gif"], "no suffix that names a format"),
        (["scans", "out", "--format", "png", "--workers", 2], "--workers is for stores"),
        (["scans", "s3://bucket/out", "--format", "png"], "local folder"),
        (["scans", "out", "--variables", "median"], "variables are some of"),
        (["scans", "out", "--masks", 3], "must divide"),
        (["scans/a.png", "out.png", "--format", "png"], "--format is for results in a folder"),
        (["scans", "out", "--format", "qml"], "would hold colours"),
        (["scans", "out", "--format", "png", "--no-shards"], "--shards is for stores"),
        (["scans/a.png", "out.png", "--no-shards"], "--shards is for stores"),
        (["scans", "out", "--forward-operator", '{"kernel": "gaussian", "scale": 2, "sigma": 1.0}'], "scale factor 2"),
    ],
)
def test_commands_that_cannot_be_done_leave_nothing(place, args, message):
    before = sorted(place.rglob("*"))
    done = sample(*args)
    assert done.exit_code in (1, 2) and message in done.output, done.output
    assert sorted(place.rglob("*")) == before


def test_an_image_that_fails_neither_ends_nor_damages_the_others(place):
    holes = np.full((9, 8, 3), np.nan, np.float32)
    np_image = xr.DataArray(holes, dims=("y", "x", "band"), name="image")
    np_image.to_dataset().to_netcdf("scans/b2.nc")  # its pixels are read when it is sampled
    done = sample("scans", "out")
    assert done.exit_code == 1 and "1 of 4 images failed" in done.output and "--resume" in done.output, done.output
    assert "b2.nc" in done.output and "nodata" in done.output and "Traceback" not in done.output
    assert sorted(path.name for path in (place / "out").iterdir()) == ["a.zarr", "b.zarr", "c.zarr"]
    assert all(bayesr.check(f"out/{name}.zarr").sound for name in ("a", "b", "c"))
    (place / "scans" / "b2.nc").unlink()
    files = {path: path.stat().st_mtime_ns for path in (place / "out").rglob("*/c/*") if path.is_file()}
    PIL.Image.open("scans/a.png").save("scans/d.png")
    again = sample("scans", "out", "--resume")
    assert again.exit_code == 0 and "out/d.zarr" in again.output, again.output
    assert files and all(path.stat().st_mtime_ns == time for path, time in files.items())


def test_files_of_other_formats(place):
    done = sample("scans/*.png", "out/", "--format", "png")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (place / "out").iterdir()) == ["a.png", "b.png", "c.png"]
    time = (place / "out" / "a.png").stat().st_mtime_ns
    (place / "out" / "b.png").unlink()
    assert sample("scans", "out/", "--format", "png").exit_code == 1
    again = sample("scans", "out/", "--format", "png", "--resume")
    assert again.exit_code == 0 and "out/a.png: exists, and is kept" in again.output, again.output
    assert (place / "out" / "a.png").stat().st_mtime_ns == time and (place / "out" / "b.png").exists()


def test_microscopy(place):
    """OME-Zarr is a file to the command, and a folder on the disk."""
    pytest.importorskip("ome_zarr")
    done = sample("scans/*.png", "out/", "--format", "ome.zarr")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (place / "out").iterdir()) == [f"{n}.ome.zarr" for n in ("a", "b", "c")]
    assert "multiscales" in zarr.open_group("out/a.ome.zarr", mode="r").attrs["ome"]
    for options in ([], ["--overwrite"]):
        again = sample("scans", "out/", "--format", "ome.zarr", *options)
        assert again.exit_code == 1 and "is not replaced" in again.output, again.output
        again = sample("scans/a.png", "out/a.ome.zarr", *options)
        assert again.exit_code == 2 and "is not replaced" in again.output, again.output
    again = sample("scans", "out/", "--format", "ome.zarr", "--resume")
    assert again.exit_code == 0 and "out/a.ome.zarr: exists, and is kept" in again.output, again.output


def test_stores_without_shards(place):
    for option, sharded in (("--shards", True), ("--no-shards", False)):
        assert sample("scans", f"out{option}/", option).exit_code == 0
        for name in ("a", "b", "c"):
            assert Store(f"out{option}/{name}.zarr").sharded is sharded
