"""The table of domains."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr_bench.sets import read_set
from bayesr_bench.tables.domains import measure, rows_of


def test_a_model_against_itself_and_a_worse_one(data, model):
    pictures = list(read_set(data, "aerial").values())
    scores = measure(model, pictures, 4, 0)
    worse = {k: [v - 1 for v in values] if k == "PSNR" else values for k, values in scores.items()}
    rows = rows_of({"aerial": {"a": scores, "b": worse}}, "a")
    assert [row["model"] for row in rows] == ["a", "b"] and rows[0]["set"] == "aerial (3)"
    assert np.isnan(rows[0]["PSNR minus a's"])
    assert rows[1]["PSNR minus a's"] == -1 and rows[1]["PSNR minus a's ±"] == pytest.approx(0, abs=1e-6)
    assert rows[1]["fair CRPS minus a's"] == 0
    _, other = rows_of({"aerial": {"a": scores, "b": worse}}, "a", {"b": 2})
    assert other["set"] == "aerial (3, x2)" and np.isnan(other["PSNR minus a's"]), "another problem"
    assert rows[0]["PSNR ±"] == pytest.approx(np.std(scores["PSNR"], ddof=1) / np.sqrt(3), abs=1e-4)


def test_scores_get_into_the_file(data, model, grey_model, tmp_path):
    files = [m.save(tmp_path / f"{name}.safetensors") for m, name in ((model, "rgb"), (grey_model, "grey"))]
    sha = [bayesr.load(file).sha256 for file in files]
    args = ["bench", "domains", "--data", data, "--against", files[0], "--models", files[1], "--models", files[0]]
    args += ["--sets", "nuclei", "--sets", "aerial", "-n", 2, "--limit", 2, "--write-scores", "--out", tmp_path]
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "domains.json").read_text())["rows"]
    assert [(r["set"], r["model"]) for r in rows] == [
        (f"{s} (2)", m) for s in ("nuclei", "aerial") for m in ("grey", "rgb")
    ]
    assert rows[0]["PSNR minus rgb's"] is not None and rows[1]["PSNR minus rgb's"] is None
    assert [bayesr.load(file).sha256 for file in files] == sha
    kept = bayesr.load(files[1]).card["scores"]["nuclei"]
    assert kept["PSNR"] == rows[0]["PSNR"] and (kept["images"], kept["n"], kept["seed"]) == (2, 2, 0)
