import PIL.Image
import xarray as xr

from tests.cli.helpers import run


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
