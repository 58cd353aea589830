"""Scenario: what reads products takes one slice of a stack, and refuses the whole by name, before any work."""

import numpy as np
import PIL.Image
import pytest
import xarray as xr

import bayesr
from bayesr.errors import AmbiguousDimensions, InvalidProduct
from tests.cli.helpers import run

MODEL = "fluorescence-x4"


def scene():
    return np.random.default_rng(0).integers(20, 230, (2, 9, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The product of a stack, in a store without members."""
    folder = tmp_path_factory.mktemp("stack")
    given = xr.DataArray(scene(), dims=("time", "y", "x"), coords={"time": [3, 7]})
    bayesr.sample(given, 4, model=MODEL, tile=5, store=folder / "a.zarr")
    return folder


REFERENCE = scene()[1].repeat(4, 0).repeat(4, 1)
USES = {
    "score": lambda ds: bayesr.score(ds, REFERENCE)["crps"],
    "aggregate": lambda ds: bayesr.aggregate(ds, 16, level=0.5)["value"],
    "components": lambda ds: bayesr.components(ds, 1)["components"],
    "segment": lambda ds: bayesr.segment(ds, "otsu", progress=False)["probability"],
    "replay": lambda ds: bayesr.replay(ds, 1),
    "rgb": lambda ds: ds.bayesr.rgb("mean"),
    "member": lambda ds: ds.bayesr.member(2),
    "summary": lambda ds: xr.DataArray(len(str(ds.bayesr.summary()))),
}


@pytest.mark.parametrize("use", USES)
def test_a_slice_is_used_like_the_product_of_its_image_alone(place, use):
    ds = xr.open_zarr(place / "a.zarr")
    alone = bayesr.sample(scene()[1], 4, model=MODEL, tile=5, store=place / f"{use}.zarr")
    found, expected = USES[use](ds.isel(time=1)), USES[use](alone)
    for part in (found, expected):
        part.load()
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-3)
    with pytest.raises(InvalidProduct, match=r"stack along time \(2\).*ds.isel\(time=0\)"):
        USES[use](ds)


def test_reports_and_files(place, tmp_path):
    ds = xr.open_zarr(place / "a.zarr")
    ds.isel(time=1).bayesr.report(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size > 10_000
    bayesr.export(ds.isel(time=1), tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert np.abs(np.asarray(picture, float) - ds["mean"][1, 0].values).max() <= 0.5
    for name in ("b.html", "b.png"):
        with pytest.raises(InvalidProduct, match="select a slice"):
            (ds.bayesr.report if name == "b.html" else ds.bayesr.export)(tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
@pytest.mark.parametrize("part", ["stack", "slice", "store"])
def test_whole_stacks_as_files(place, tmp_path, name, part):
    ds = xr.open_zarr(place / "a.zarr")
    given = {"stack": ds, "slice": ds.isel(time=1), "store": place / "a.zarr"}[part]
    path = bayesr.export(given, tmp_path / name)
    with xr.open_dataset(path) as found:
        kept = ds.isel(time=1) if part == "slice" else ds
        np.testing.assert_array_equal(found["mean"], kept["mean"])
        np.testing.assert_array_equal(found["time"], kept["time"])
        if part != "slice":
            assert bayesr.product.canonical(found.isel(time=1)).attrs["input_sha256"] != found.attrs["input_sha256"]


def test_stacks_are_not_sampled_by_what_uses_one_product(place):
    stack = xr.DataArray(scene(), dims=("time", "y", "x"))
    for use in (bayesr.components, lambda img, **given: bayesr.segment(img, "otsu", **given)):
        with pytest.raises(AmbiguousDimensions, match="select one plane"):
            use(stack, model=MODEL)


def test_commands(place, tmp_path):
    xr.DataArray(scene(), dims=("time", "y", "x"), name="image").to_dataset().to_netcdf(tmp_path / "film.nc")
    given = ["-n", 2, "--model", MODEL]
    done = run("sample", tmp_path / "film.nc", tmp_path / "out.zarr", *given)
    assert done.exit_code == 0 and "2 members of 2 time x 1 band x 36 y x 32 x" in done.output, done.output
    assert run("sample", tmp_path / "film.nc", tmp_path / "out.nc", *given).exit_code == 0
    for out in (["out.png"], ["out.tif"]):
        done = run("sample", tmp_path / "film.nc", tmp_path / out[0], *out[1:], *given)
        assert done.exit_code == 1 and "stack along time" in done.output, done.output
    done = run("sample", tmp_path / "film.nc", f"{tmp_path}/many/", "--format", "png", *given)
    assert done.exit_code == 1 and "stack along time" in done.output and not (tmp_path / "many").exists()
    done = run("score", tmp_path / "out.zarr", tmp_path / "film.nc")
    assert done.exit_code == 1 and "select a slice" in done.output and "Traceback" not in done.output
