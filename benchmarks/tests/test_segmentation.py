"""The table of segmentation: its rows from synthetic figures, and the command on tiny images and networks."""

import json

import numpy as np
import PIL.Image
import torch
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.segmenter import Segmenter
from bayesr_bench.nuclei import ALL
from bayesr_bench.tables.segmentation import TESTED, comparisons, rows_of


def test_the_truth_scores_best_and_significantly_better_than_half_of_it(nuclei_found):
    first, second = rows_of(nuclei_found)
    assert first["Dice"] == first["F1 at 0.5"] == first["F1, mean"] == 1
    assert first["Brier"] == first["ECE"] == first["count error"] == 0
    assert second["Dice"] < 0.8 and second["Brier"] > 0.1 and second["count error"] > 0
    rows = comparisons(nuclei_found, 0)
    assert {row["figure"] for row in rows} == set(TESTED)
    for row in rows:
        assert row["all members are"] == "better" and row["p, Holm"] >= row["p"] and row["p, Holm"] < 0.01
        assert row["from"] <= row["difference"] <= row["to"] and abs(row["effect"]) == 1


def test_the_command_writes_both_tables(grey_model, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / "dsb2018" / name).mkdir(parents=True)
    for i in range(3):
        labels = np.kron(np.arange(4).reshape(2, 2), np.ones((16, 16))).astype(np.uint16) * (i > 0)
        image = (20 + 100 * (labels > 2) + rng.integers(0, 9, labels.shape)).astype(np.uint8)
        PIL.Image.fromarray(image).save(tmp_path / "dsb2018" / "images" / f"{i}.png")
        PIL.Image.fromarray(labels).save(tmp_path / "dsb2018" / "labels" / f"{i}.png")
    torch.manual_seed(0)
    nets = {"one": (1, ("member",)), "two": (2, ("mean", "std"))}
    for name, (bands, inputs) in nets.items():
        net = MobileUNet(bands, 2, 0.35, 2).eval()
        Segmenter(name, net, inputs, "percentiles").save(tmp_path / f"{name}.safetensors")
    grey_model.save(tmp_path / "tiny.safetensors")
    given = [
        "bench", "segmentation", "--data", tmp_path, "--models", tmp_path / "tiny.safetensors", "-n", 2,
        "--srgan", tmp_path / "tiny.safetensors", "--segmenter", tmp_path / "one.safetensors",
        "--also", "mean + std", tmp_path / "two.safetensors", "--out", tmp_path / "out",
    ]  # fmt: skip
    result = CliRunner().invoke(main, list(map(str, given)))
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "segmentation.json").read_text())
    systems = [row["segmentation of"] for row in table["rows"]]
    assert systems == ["high resolution", "bicubic", "srgan", "mean", "one member", ALL, "mean + std"]
    assert "conformalised" not in table["facts"]["counts"]
    tests = json.loads((tmp_path / "out" / "segmentation-tests.json").read_text())
    assert len(tests["rows"]) == len(TESTED) * (len(systems) - 1)
    (tmp_path / "dsb2018" / "labels" / "1.png").unlink()
    result = CliRunner().invoke(main, list(map(str, given)))
    assert result.exit_code == 1 and "no label image" in result.output
