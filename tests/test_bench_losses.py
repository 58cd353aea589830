import json

import numpy as np
import PIL.Image
from click.testing import CliRunner

from bayesr.bench import losses as table
from bayesr.segmentation.cases import Case


def discs(seed: int, side: int = 40, annotators: int = 1) -> Case:
    """Bright discs on a dark, noisy background; objects may touch."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side))
    labels = np.zeros((side, side), np.int32)
    for number in range(1, 6):
        cy, cx = rng.integers(5, side - 5, 2)
        labels[((y - cy) ** 2 + (x - cx) ** 2 <= 20) & (labels == 0)] = number
    image = 20 + 60 * (labels > 0) + rng.normal(0, 8, labels.shape)
    return Case(f"{seed}", image[None].astype(np.float32), np.stack([labels] * annotators), (0.0, 100.0))


def test_the_table_of_losses(tmp_path, monkeypatch, capsys):
    for i in range(5):
        case = discs(i)
        for name, pixels in (("images", case.image[0].clip(0, 255)), ("labels", case.masks[0])):
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
