from pathlib import Path

import numpy as np
import PIL.Image

import bayesr
from tests.cli.helpers import run


def test_calibrate(model, tmp_path):
    file, rng = model.save(tmp_path / "tiny.safetensors"), np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(6):
        pixels = np.kron(rng.integers(0, 255, (4, 5, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    out = tmp_path / "new.safetensors"
    few = run("calibrate", file, tmp_path / "images", "--out", out)
    assert few.exit_code == 1 and "at least 38" in few.output and not out.exists()
    result = run("calibrate", file, tmp_path / "images", "--out", out, "--levels", "0.5", "--limit", 5)
    assert result.exit_code == 0, result.output
    assert "2 images" in result.output and "+-" in result.output
    assert bayesr.load(out).calibration.images == 2
    assert run("calibrate", file, tmp_path / "images", "--out", out, "--levels", "a").exit_code == 2
    (tmp_path / "kept.txt").write_text("".join(f"{i}.png\n" for i in (0, 2, 3, 5)))
    kept = run(
        "calibrate", file, tmp_path / "images", "--out", out, "--levels", "0.5", "--held-out", tmp_path / "kept.txt"
    )
    assert kept.exit_code == 0 and bayesr.load(out).calibration.source == "4 images of images"
    (tmp_path / "kept.txt").write_text("no.png\n")
    kept = run(
        "calibrate", file, tmp_path / "images", "--out", out, "--levels", "0.5", "--held-out", tmp_path / "kept.txt"
    )
    assert kept.exit_code == 1 and "no.png" in kept.output


def test_export_model(model, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    result = run("export-model", file, tmp_path / "graphs", "--size", 6, 7)
    assert result.exit_code == 0, result.output
    assert [Path(line).name for line in result.output.splitlines()] == ["backbone.onnx", "head.onnx"]
    again = run("export-model", file, tmp_path / "graphs")
    assert again.exit_code == 1 and "exists: use --overwrite, or another folder" in again.output
    package = tmp_path / "tiny.zip"
    package.touch()
    again = run("export-model", file, package)
    assert again.exit_code == 1 and "exists: use --overwrite" in again.output and not package.stat().st_size
