import PIL.Image
import xarray as xr

from tests.cli.helpers import run


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
