import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.observe import gaussian
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
