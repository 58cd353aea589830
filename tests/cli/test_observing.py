import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import xarray as xr
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.observe import bicubic, gaussian
from tests.conftest import make_model
from tests.observe.test_beads import beads
from tests.observe.test_noise import recorded, scene


def run(*args):
    return CliRunner().invoke(main, ["observe", *map(str, args)])


def test_beads(tmp_path):
    tifffile.imwrite(tmp_path / "beads.tif", beads(0).astype(np.float32))
    result = run("beads", tmp_path / "beads.tif", "--scale", 4, "--plot", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert "width of the point-spread function: 5.6" in result.output and "90% interval" in result.output
    assert (tmp_path / "a.png").stat().st_size > 1000
    told = json.loads(run("beads", tmp_path / "beads.tif", "--scale", 4, "--json").stdout)
    assert f"psf_width: {told['psf_width']:.1f}" == "psf_width: 5.6" and told["beads"] > 1
    assert told["psf_width_interval"][0] < told["psf_width"] < told["psf_width_interval"][1]
    colour = np.zeros((32, 32, 3), np.uint8)
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb")
    assert "3 bands" in run("beads", tmp_path / "colour.tif").output


def test_noise_of_one_image_and_of_several(tmp_path):
    files = [tmp_path / f"{k}.tif" for k in range(3)]
    for k, file in enumerate(files):
        tifffile.imwrite(file, recorded(scene(size=160), 2, 10, k).astype(np.float32))
    for given in (files[:1], files):
        result = run("noise", *given, "--plot", tmp_path / "b.png")
        assert result.exit_code == 0 and "gain: " in result.output and "read noise: " in result.output, result.output
        told = json.loads(run("noise", *given, "--json").stdout)
        assert f"gain: {told['gain']:.4g} " in result.output
        assert f"read noise: {told['read_noise']:.4g} " in result.output


def test_fit(tmp_path):
    pytest.importorskip("pyro")
    import torch

    high = np.random.default_rng(0).random((256, 256)).astype(np.float32)
    low = gaussian(4, sigma=1.6).observe(torch.from_numpy(high)).numpy()
    tifffile.imwrite(tmp_path / "low.tif", low + np.random.default_rng(1).normal(0, 0.01, low.shape).astype(np.float32))
    tifffile.imwrite(tmp_path / "high.tif", high)
    result = run("fit", tmp_path / "low.tif", tmp_path / "high.tif", "--draws", 100)
    assert result.exit_code == 0 and "r-hat 1.0" in result.output, result.output
    told = json.loads(run("fit", tmp_path / "low.tif", tmp_path / "high.tif", "--draws", 100, "--json").stdout)
    assert f"r-hat {told['r_hat']:.3f}" in result.output and f": {told['psf_width']:.4g} " in result.output


def test_a_posterior_is_written_and_sampled_with(tmp_path, photo):
    model = replace(make_model(), forward_operator=bicubic(4).unconstrained(blur=6.0, noise=0.05))
    model.save(tmp_path / "m.safetensors")
    tifffile.imwrite(tmp_path / "beads.tif", beads(0).astype(np.float32))
    tifffile.imwrite(tmp_path / "low.tif", photo[:20, :20], photometric="rgb")
    place = tmp_path / "beads.zarr"
    result = run("beads", tmp_path / "beads.tif", "--scale", 4, "--out", place)
    assert result.exit_code == 0 and "--forward-operator" in result.output, result.output
    assert run("beads", tmp_path / "beads.tif", "--out", place).exit_code == 1, "the store exists"
    xr.open_zarr(place, consolidated=False).load().to_netcdf(tmp_path / "beads.nc")
    operator = {"kernel": "gaussian", "scale": 4, "sigma": 2.1, "regularisation": 0.01, "noise": 0.01}
    (tmp_path / "one.json").write_text(json.dumps(operator))
    found = {}
    for name, known in {
        "store": place, "netcdf": tmp_path / "beads.nc", "file": tmp_path / "one.json", "text": json.dumps([operator])
    }.items():  # fmt: skip
        out = tmp_path / f"{name}.zarr"
        sampled = sample(tmp_path, out, known)
        assert sampled.exit_code == 0, sampled.output
        found[name] = xr.open_zarr(out, consolidated=False).attrs["forward_operators"]
    assert found["store"] == found["netcdf"] and len(json.loads(found["store"])) == 4
    recorded = gaussian(4, sigma=2.1, regularisation=0.01).unconstrained(noise=0.01).describe()
    assert found["file"] == found["text"] == json.dumps([recorded])
    for known, words in {
        "nowhere.zarr": "no file nowhere.zarr",
        "{": "no JSON",
        tmp_path / "low.tif": "no store of bayesr observe",
        tmp_path: "no posterior of bayesr observe",
        "[1]": "cannot be used",
        json.dumps(operator | {"sigma": 7.5}): "leave --forward-operator out",
    }.items():
        refused = sample(tmp_path, tmp_path / "x.zarr", known)
        assert refused.exit_code and words in " ".join(refused.output.split()), refused.output
    assert not (tmp_path / "x.zarr").exists()


def sample(folder, out, known):
    options = ["-n", 8, "--model", folder / "m.safetensors", "--forward-operator", known]
    return CliRunner().invoke(main, ["sample", *map(str, [folder / "low.tif", out, *options])])
