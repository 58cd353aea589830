"""Baselines on equal terms."""

import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bayesr.cli import main
from bayesr_bench import baselines
from bayesr_bench.baselines import Outcome, System
from bayesr_bench.comparison import title
from bayesr_bench.deepinverse import Guidance, Langevin, Restoration
from bayesr_bench.tables import baselines as the_table
from bayesr_bench.tables.baselines import merged
from bayesr_bench.training import LEVEL, Archives, Domain, Task
from tests.conftest import make_model

SHORT = {
    "DDRM": (Restoration(steps=2), Restoration(steps=3)),
    "PiGDM": (Guidance(steps=2), Guidance(steps=3)),
    "Langevin": (Langevin(stages=3, burn_in=1, thinning=1), Langevin(stages=2, burn_in=1, thinning=1)),
}


@given(st.integers(1, 9), st.integers(1, 4))
def test_parts_give_the_whole_in_its_order(count, parts):
    task, values = Task("", "natural", Archives(Path(), Path(), ""), Path(), Path(), 1.0), list(range(count))
    shares = [
        (
            System("DDRM", task, share=(k, parts)),
            Outcome({"a": {"x": values[k::parts]} if values[k::parts] else {}, "b": {"x": [9.0][k::parts]}}),
        )
        for k in reversed(range(parts))
    ]
    found = merged(shares)
    assert found.scores["a"]["x"] == values and found.scores["b"]["x"] == [9.0]


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """(sets, images to train on); the networks are made at once, the samplers are short, and sets need no proof."""
    random = np.random.default_rng(0)
    folders = tmp_path / "bench" / "set14", tmp_path / "bench" / "bsd100", tmp_path / "train" / "photos_free"
    for folder, count in zip(folders, (1, 1, 26), strict=True):
        folder.mkdir(parents=True)
        for k in range(count):
            blocks = random.integers(90, 150, (20, 20, 3), dtype=np.uint8)
            PIL.Image.fromarray(blocks.repeat(4, 0).repeat(4, 1)).save(folder / f"{k}.png")

    def train(task):
        model = make_model(head="quantile" if task.recipe == "quantile" else "stochastic")
        model.card.update({"systems": task.terms, "processor_seconds": task.budget})
        model.save(task.model)

    monkeypatch.setattr(baselines, "train_and_calibrate", train)
    monkeypatch.setattr(the_table, "check_protocol", lambda *rest: None)
    for module in (baselines, the_table):
        for name, samplers in SHORT.items():
            monkeypatch.setitem(module.SAMPLERS, name, samplers)
    monkeypatch.setattr(the_table, "PICTURES", Domain(3, {"set14": 1, "bsd100": 1}))
    monkeypatch.setattr(the_table, "PARTS", 1)
    monkeypatch.setattr(the_table, "ROUNDS", 1)
    return tmp_path / "bench", tmp_path / "train" / "photos_free"


def run(*args):
    return CliRunner().invoke(main, ["bench", "baselines", *map(str, args)])


def test_a_table_of_baselines(photographs, tmp_path):
    data, _ = photographs
    systems = ("bayes-sr", "quantile", "quantile, RCPS", "DDRM", "Langevin")
    args = ["--data", data, "--budget", 0.2, "--held-out", 24, "-n", 2, "--workers", 1]
    args += ["--models", tmp_path / "models", "--out", tmp_path]
    chosen = [part for name in systems for part in ("--systems", name)]
    result = run(*args, *chosen)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "baselines.json").read_text())
    rows = {row["system"]: row for row in found["rows"] if row["set"] == "set14 (1)"}
    assert set(rows) == set(map(title, systems)) and len(found["rows"]) == 2 * len(systems)
    for row in rows.values():
        assert row["CRPS"] > 0 and 0 < row["covered"] <= 1 and row["seconds, 2"] > 0 and row["parameters"] > 0
        assert row["off nominal"] == pytest.approx(abs(row["covered"] - LEVEL), abs=1e-4)
    assert rows["quantile"]["CRPS"] == rows["quantile, RCPS"]["CRPS"]
    assert rows["quantile"]["width"] != rows["quantile, RCPS"]["width"]
    assert rows["bayes-sr"]["LR-PSNR"] > 50
    slow = rows[title("DDRM")]
    assert slow["seconds / bayes-sr's"] > 1
    assert {f"aim: {figure} below every baseline's" for figure in ("CRPS", "energy score")} <= set(found["facts"])
    assert str(tmp_path) not in json.dumps(found)

    again = run(*args, "--systems", "DDRM", "--systems", "bayes-sr")
    assert again.exit_code == 0, again.output
    second = json.loads((tmp_path / "baselines.json").read_text())
    made = second["facts"]["made before, on the same terms"]
    assert set(made.split(", ")) == {"natural-bayes-sr", "natural-denoiser", "natural-ddrm"}
    (row,) = (r for r in second["rows"] if r["system"] == title("DDRM") and r["set"] == "set14 (1)")
    assert {k: row[k] for k in ("CRPS", "covered", "width")} == {k: slow[k] for k in ("CRPS", "covered", "width")}
    other = run(*args, "--seed", 1, "--systems", "DDRM")
    assert other.exit_code == 1 and "other terms" in other.output


def test_a_baseline_that_fails_leaves_no_table(photographs, tmp_path, monkeypatch):
    def fail(*rest):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(baselines, "answer", fail)
    args = ["--data", photographs[0], "--budget", 1, "--held-out", 24, "-n", 2, "--workers", 1, "--out", tmp_path]
    result = run(*args, "--systems", "rcgan")
    assert result.exit_code == 1 and "rcgan failed" in result.output and "out of luck" in result.output
    assert not (tmp_path / "baselines.json").exists()


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["--systems", "none"], 2, "none"),
        (["-n", "1"], 2, "-n"),
        (["--held-out", "21"], 2, "held-out"),
        (["--budget", "never"], 1, "small, full"),
        (["--data", "{images}"], 1, "nothing to train on"),
        (["--train", "{images}/none"], 2, "does not exist"),
    ],
)
def test_what_cannot_end_well_does_not_begin(photographs, tmp_path, monkeypatch, args, status, said):
    monkeypatch.setattr(the_table, "run_each", lambda *rest: pytest.fail("work began"))
    out = tmp_path / "out"
    result = run("--data", photographs[0], "--out", out, *(arg.format(images=photographs[1]) for arg in args))
    assert result.exit_code == status and said in result.output, result.output
    assert not out.exists()


def test_the_extra_that_is_missing_is_named_before_any_work(photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepinv", None)
    monkeypatch.setattr(the_table, "prepared", lambda *rest: pytest.fail("work began"))
    result = run("--data", photographs[0], "--out", tmp_path)
    assert result.exit_code == 1 and "pip install 'bayesr-bench[deepinv]'" in result.output
