"""The contact sheet."""

import numpy as np
import PIL.Image
from click.testing import CliRunner

from bayesr.cli import main
from bayesr_bench.sets import read_folder, read_set
from bayesr_bench.tables.sheet import SIDE, chosen, draw, highest_contrast, row_of


def test_the_crop_of_highest_contrast():
    pixels = np.zeros((200, 150, 3), np.uint8)
    pixels[100:140, 60:100] = 255
    top, left = highest_contrast(pixels, 50)
    assert 60 < top <= 130 and 20 < left <= 90


def test_a_row_shows_one_window_of_everything(data, grey_model):
    name, picture, corner = chosen(read_set(data, "nuclei"), "nuclei")[0]
    assert name == "nuclei\ndark0"
    row = row_of(grey_model, name, picture, corner, 4, 0)
    assert len(row.images) == 7 and all(image.shape == (SIDE, SIDE, 3) for image in row.images)
    truth, window = row.images[-1], (slice(corner[0], corner[0] + SIDE), slice(corner[1], corner[1] + SIDE))
    assert (truth.min(), truth.max()) == (0, 255), "grey crops are stretched to the full contrast"
    order = np.argsort(picture.pixels[window].ravel(), kind="stable")
    assert (np.diff(truth[..., 0].ravel()[order].astype(int)) >= 0).all()
    assert (row.images[0][:4, :4] == row.images[0][0, 0]).all(), "the input is enlarged, not interpolated"
    sheet = draw([row, row], "a title")
    assert sheet.size[0] > 8 * SIDE and sheet.size[1] > 2 * SIDE


def test_sheets_are_of_sets_and_of_folders(data, model, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    for source in (["--data", data, "--set", "nuclei"], ["--images", data / "dsb2018" / "images"]):
        out = tmp_path / "sheet.png"
        args = ["bench", "sheet", "--model", file, "-n", 4, "--out", out, *source]
        result = CliRunner().invoke(main, list(map(str, args)))
        assert result.exit_code == 0, result.output
        with PIL.Image.open(out) as picture:
            assert picture.mode == "RGB"
    small = CliRunner().invoke(main, ["bench", "sheet", "--model", str(file), "--images", str(data / "naip" / "hr")])
    assert small.exit_code == 1 and "larger" in small.output
    assert CliRunner().invoke(main, ["bench", "sheet"]).exit_code == 2
    assert len(read_folder(data / "naip" / "hr")) == 3
