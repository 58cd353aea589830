import subprocess
import sys

import PIL.Image
import pytest
import xarray as xr
from click.testing import CliRunner

from bayesr.cli import main


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


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
    import bayesr

    assert all(getattr(bayesr, name) is not None for name in bayesr.__all__)
    assert set(bayesr.__all__) <= set(dir(bayesr))
    with pytest.raises(AttributeError, match="nothing"):
        bayesr.nothing  # noqa: B018
