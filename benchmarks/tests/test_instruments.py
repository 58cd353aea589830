"""The table of real instruments."""

import numpy as np
import PIL.Image
import pytest
import tifffile
from scipy import ndimage

from bayesr.errors import DataNotFound
from bayesr_bench.tables import instruments


def scene(side=96, seed=0):
    noise = np.random.default_rng(seed).random((side, side))
    smooth = ndimage.gaussian_filter(noise, 2)
    return (smooth - smooth.min()) / np.ptp(smooth)


def test_registration_finds_shift_gain_and_offset():
    x = np.repeat(scene()[..., None], 3, -1)
    low = instruments.reduced(60 + 100 * x)
    moved = 20 + 30 * ndimage.shift(x, (2.5, -1.25, 0), order=3, mode="nearest")
    found = instruments.registered(instruments.Pair(low, moved), 4)
    inside = (slice(16, -16),) * 2
    before, after = (np.abs(image - (60 + 100 * x))[inside].mean() for image in (moved, found.high))
    assert after < 2 < 20 < before  # of a range of 100


@pytest.mark.parametrize(("count", "least"), [(1, 18), (2, 18), (7, 18), (40, 18)])
def test_parts_are_enough_and_hold_every_pixel_once(count, least):
    images = [np.arange(60 * 60).reshape(60, 60, 1) + 3600 * k for k in range(count)]
    found = instruments.parts(images, least)
    assert len(found) >= least
    assert sorted(np.concatenate([part.ravel() for part in found]).tolist()) == list(range(3600 * count))


def write_pairs(root):
    cameras, microscopes = root / "pairs" / "city100", root / "pairs" / "confocal_sted"
    cameras.mkdir(parents=True)
    microscopes.mkdir()
    for k in range(2):
        x = np.repeat(255 * scene(96, k)[..., None], 3, -1)
        for name, image in (("hr", x), ("lr", ndimage.gaussian_filter(x, (3, 3, 0)))):
            PIL.Image.fromarray(image.round().astype(np.uint8)).save(cameras / f"nikon_{k}_{name}.png")
    fine = (60 * scene(96)).astype(np.uint16)
    coarse = ndimage.gaussian_filter(fine, 3)
    mask = (fine > 30).astype(np.uint16) * 255
    tifffile.imwrite(microscopes / "pair.tif", np.stack([coarse, fine, mask]), photometric="minisblack")
    tifffile.imwrite(microscopes / "single.tif", fine)
    tifffile.imwrite(microscopes / "masked.tif", np.stack([fine, mask, mask]), photometric="minisblack")
    return root


def test_micrographs_of_one_microscope_are_no_pairs(tmp_path):
    (pair,) = instruments.INSTRUMENTS["confocal-sted"].read(write_pairs(tmp_path))
    assert pair.low.shape == (24, 24, 1) and pair.high.shape == (96, 96, 1)
    assert pair.low.min() == 0 and pair.low.max() == 255


def test_satellites_are_a_pair_of_whole_images(tmp_path):
    folder = tmp_path / "pairs" / "worldstrat"
    folder.mkdir(parents=True)
    for name, side in (("L1", 8), ("HR", 16)):
        PIL.Image.fromarray(np.full((side, side, 3), 7, np.uint8)).save(folder / f"{name}.png")
    satellites = instruments.INSTRUMENTS["satellites"]
    (pair,) = satellites.read(tmp_path)
    assert pair.high.shape[0] == satellites.scale * pair.low.shape[0] and pair.low.dtype == np.uint8


def test_missing_pairs_are_named(tmp_path):
    with pytest.raises(DataNotFound, match="pairs/city100"):
        list(instruments.INSTRUMENTS["nikon"].read(tmp_path))


def test_rows_of_models_and_of_bicubic_interpolation(grey_model, tmp_path, monkeypatch):
    file = str(grey_model.save(tmp_path / "grey.safetensors"))
    given = instruments.INSTRUMENTS["nikon"]
    monkeypatch.setattr(instruments, "INSTRUMENTS", {"nikon": instruments.Instrument(given.read, (file,))})
    monkeypatch.setattr(instruments, "LEVEL", 0.5)
    monkeypatch.setattr(instruments, "NEEDED", 4)
    monkeypatch.setattr(instruments, "parts", lambda images: [*images, *images])  # smaller parts cannot be reduced
    rows = instruments.command.function(data=write_pairs(tmp_path), instruments=("nikon",), judge="none", n=4).rows
    own, bicubic = rows
    assert own["model"] == "grey" and bicubic["model"] == "bicubic"
    assert own["instrument"] == "nikon (2)"
    assert 0 < own["covered"] < 1 and 0 < own["covered, calibrated"] < 1
    assert own["width"] != own["width, calibrated"]
    assert "covered" not in bicubic and bicubic["PSNR"] > 10
