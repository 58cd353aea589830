"""The table of losses of segmentation."""

import json

import numpy as np
import PIL.Image
from click.testing import CliRunner

from bayesr_bench.tables import losses as table


def discs(seed):
    """Make images of bright discs on a dark, noisy background, and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((40, 40))
    labels = np.zeros((40, 40), np.int32)
    for number in range(1, 6):
        cy, cx = rng.integers(5, 35, 2)
        labels[((y - cy) ** 2 + (x - cx) ** 2 <= 20) & (labels == 0)] = number
    return (20 + 60 * (labels > 0) + rng.normal(0, 8, labels.shape)).clip(0, 255), labels


def test_the_table_of_losses(tmp_path):
    for i in range(5):
        for name, pixels in zip(("images", "labels"), discs(i), strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    PIL.Image.fromarray(np.full((40, 40), 200, np.uint8)).save(tmp_path / "images" / "bright.png")
    PIL.Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "labels" / "bright.png")
    assert len(table.fluorescence(tmp_path)) == 5
    arguments = "--folds 2 --steps 2 --batch 2 --patch 16 --width 0.25 --depth 2 --losses dice --losses bce"
    done = CliRunner().invoke(
        table.command, ["--train", str(tmp_path), "--out", str(tmp_path / "out"), *arguments.split()]
    )
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out" / "losses.json").read_text())["rows"]
    assert [row["loss"] for row in rows] == ["dice", "bce"] and all(row["folds"] == 2 for row in rows)
    assert all(" ± " in row[figure] for row in rows for figure in table.FIGURES)
