"""The table of calibration without a truth."""

import numpy as np
import PIL.Image

from bayesr_bench.tables import wald


def test_both_ways_are_measured_on_the_same_images(grey_model, tmp_path, monkeypatch):
    folder = tmp_path / "dsb2018" / "images"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for k in range(9):
        blocks = random.integers(0, 200, (20, 18), dtype=np.uint8) // 4
        PIL.Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(folder / f"dark{k}.png")
    file = grey_model.save(tmp_path / "grey.safetensors")
    monkeypatch.setattr(wald, "SETS", {"nuclei": str(file)})
    monkeypatch.setattr(wald, "LEVEL", 0.5)
    rows = wald.command.function(data=tmp_path, sets=("nuclei",), n=4).rows
    assert [(row["set"], row["calibrated on"]) for row in rows] == [
        ("nuclei (4)", "pairs"), ("nuclei (4)", "without a truth"),
    ]  # fmt: skip
    assert all(0 < row["covered"] < 1 and row["width"] > 0 for row in rows)
    assert rows[0]["width"] != rows[1]["width"]
