"""The table of blurred, noisy and compressed images."""

import numpy as np
import PIL.Image
import pytest

from bayesr.training.degradation import Degradation
from bayesr_bench.measures import gathered
from bayesr_bench.sets import Picture
from bayesr_bench.tables import degraded


def picture(side=32, seed=0):
    blocks = np.random.default_rng(seed).integers(0, 200, (side // 4, side // 4), dtype=np.uint8) // 2
    return Picture(blocks.repeat(4, 0).repeat(4, 1)[..., None], True)


def test_pairs_have_the_bits_of_their_degradation():
    (low, high), *_ = degraded.pairs_of([picture()], Degradation(), 0)
    (fine, truth), *_ = degraded.pairs_of([picture()], Degradation(bits=(16, 16)), 0)
    assert low.dtype == np.uint8 and fine.dtype == np.uint16
    assert (truth == 257 * high.astype(np.uint16)).all()
    assert np.abs(fine / 257 - low).max() <= 0.5 + 1e-3


def test_pairs_depend_on_the_seed_alone():
    noisy = Degradation(noise=(0.1, 0.1))
    first, again, other = (degraded.pairs_of([picture()], noisy, seed)[0][0] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_p_values_are_of_the_models_for_instruments_being_better():
    worse = gathered([{"PSNR": 20.0 + k, "fair CRPS": 9.0} for k in range(8)])
    better = gathered([{"PSNR": 21.0 + k, "fair CRPS": 9.0} for k in range(8)])
    rows = degraded.rows_of({("none", "own"): better, ("none", "other"): worse}, "own", "set (8)")
    own, other = rows
    assert np.isnan(own["p, PSNR"])
    assert other["p, PSNR"] == pytest.approx(2 / 2**8)  # exact, and two tests in all
    assert other["p, fair CRPS"] == 1


def test_a_row_for_every_degradation_and_model(grey_model, tmp_path, monkeypatch):
    folder = tmp_path / "dsb2018" / "images"
    folder.mkdir(parents=True)
    for k in range(2):
        PIL.Image.fromarray(picture(seed=k).pixels[..., 0]).save(folder / f"dark{k}.png")
    file = str(grey_model.save(tmp_path / "grey.safetensors"))
    cells = {"none": Degradation(), "16 bits": Degradation(bits=(16, 16))}
    monkeypatch.setattr(degraded, "STUDIES", {"nuclei": degraded.Study(file, (), cells)})
    rows = degraded.command.function(data=tmp_path, sets=("nuclei",), n=4).rows
    assert [(row["degradation"], row["model"]) for row in rows] == [
        (cell, model) for cell in cells for model in ("grey", "bicubic")
    ]
    eight, bicubic, sixteen, _ = rows
    assert bicubic["fair CRPS"] > 0 and np.isnan(bicubic["covered"])
    assert eight["PSNR"] == pytest.approx(sixteen["PSNR"], abs=0.5)  # figures of 16 bits are in grey levels, too
    assert eight["width"] == pytest.approx(sixteen["width"], rel=0.5)
