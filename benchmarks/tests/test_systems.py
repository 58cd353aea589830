"""Recipes after equal budgets."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.cli import main
from bayesr.training import calibrating
from bayesr.training.recipe import Recipe
from bayesr_bench import training
from bayesr_bench.evaluation import Outcome
from bayesr_bench.tables import systems
from bayesr_bench.tables.systems import REFERENCE, rows_of, winners
from bayesr_bench.training import LEVEL
from tests.conftest import TINY

RECIPES = {
    REFERENCE: replace(TINY, name=REFERENCE),
    "plain": Recipe("plain", dict(width=8, blocks=1, head_blocks=0), (TINY.stages[0],), patch=8),
}


@pytest.fixture
def tiny(monkeypatch):
    def recipe(name):
        if name not in RECIPES:
            raise bayesr.errors.TrainingFailed(f"There is no recipe {name!r}")
        return RECIPES[name]

    monkeypatch.setattr(systems, "names", lambda: list(RECIPES))
    for module in (systems, training):
        monkeypatch.setattr(module, "recipe", recipe)
    monkeypatch.setattr(calibrating, "MEMBER_COUNTS", (2, 32))  # of six, to save time


def run(*args):
    return CliRunner().invoke(main, ["bench", "systems", *map(str, args)])


SCORES = st.lists(st.floats(0.5, 9).map(lambda v: round(v, 2)), min_size=3, max_size=3)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=4))
def test_who_wins_is_said_and_nobody_else(given_scores):
    labels = [REFERENCE, "srgan", "vae", "unet"][: len(given_scores)]
    trials = {}
    for label, (crps, energy) in zip(labels, given_scores, strict=True):
        others = dict.fromkeys(("PSNR", "SSIM", "LR-PSNR", "spread/skill"), [1.0] * 3)
        trials[label] = Outcome(
            32, {"nuclei": others | {"CRPS": crps, "energy score": energy}}, {"nuclei": np.ones((3, 20))}
        )
    card = {"parameters": 1, "steps": {"one": 2}, "processor_seconds": 3.0, "images": 4}
    rows = rows_of(trials, dict.fromkeys(labels, card), dict.fromkeys(labels, (0.1, 1.0)))
    assert [row["CRPS"] for row in rows] == sorted(row["CRPS"] for row in rows)
    said = {tuple(sentence.split(" on ")[0].split(f" beats {REFERENCE} in ")) for sentence in winners(rows)}
    means = {
        label: dict(zip(("CRPS", "energy score"), map(sum, pair), strict=True))
        for label, pair in zip(labels, given_scores, strict=True)
    }
    expected = {
        (label, figure)
        for label in labels
        for figure, total in means[label].items()
        if round((total - means[REFERENCE][figure]) / 3, 4) < 0
    }
    assert said == expected


def test_without_the_reference_nobody_beats_it():
    scores = {figure: [1.0, 2.0] for figure in ("PSNR", "LR-PSNR", "spread/skill", "CRPS", "energy score")}
    card = {"parameters": 1, "steps": {}, "processor_seconds": 0.0, "images": 4}
    rows = rows_of(
        {"vae": Outcome(1, {"nuclei": scores}, {"nuclei": np.ones((2, 20))})}, {"vae": card}, {"vae": (1.0, math.nan)}
    )
    assert rows[0]["outputs"].startswith("1") and np.isnan(rows[0][f"CRPS minus {REFERENCE}'s"])
    assert winners(rows) == [] and rows_of({}, {}, {}) == []


def test_a_table_of_what_an_equal_budget_gives(nuclei, tiny, tmp_path):
    data, images = nuclei
    args = ["--data", data, "--fluorescence", images, "--held-out", 18, "-n", 4, "--workers", 1, "--limit", 2]
    args += ["--models", tmp_path / "kept", "--out", tmp_path, "--whole"]
    result = run(*args, "--budget", 0.3)
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "systems.json").read_text())
    rows = {row["recipe"]: row for row in table["rows"]}
    assert set(rows) == set(RECIPES) and all(row["set"] == "nuclei (2)" for row in rows.values())
    for row in rows.values():
        assert row["images"] == 2 and row["steps"] > 5 and 0.05 < row["processor seconds"] < 2
    plain, ours = rows["plain"], rows[REFERENCE]
    assert plain["outputs"].startswith("1") and plain["covered"] is None and ours["outputs"] == "4"
    assert 0 < ours["covered"] <= 1 and ours["width"] > 0 and ours[f"CRPS minus {REFERENCE}'s"] is None
    gap = plain["CRPS"] - ours["CRPS"]
    assert plain[f"CRPS minus {REFERENCE}'s"] == pytest.approx(gap, abs=2e-4)
    assert (f"plain beats {REFERENCE} in CRPS" in table["facts"][f"better than {REFERENCE}"]) == (gap < 0)
    assert plain["parameters"] < ours["parameters"] and ours["seconds"] > 0
    assert str(tmp_path) not in json.dumps(table) and str(data) not in json.dumps(table)
    files = sorted(p.name for p in (tmp_path / "kept").iterdir() if p.suffix in (".jsonl", ".safetensors"))
    assert files == [f"fluorescence-{one}{s}" for one in (REFERENCE, "plain") for s in (".jsonl", ".safetensors")]
    assert bayesr.load(tmp_path / "kept" / f"fluorescence-{REFERENCE}.safetensors").calibration.half_width(LEVEL, 4) > 0

    again = run(*args, "--budget", 0.3, "--recipes", "plain")
    assert again.exit_code == 0, again.output
    second = json.loads((tmp_path / "systems.json").read_text())
    assert second["facts"]["trained before, within the same budget"] == "fluorescence-plain"
    (row,) = second["rows"]
    assert {k: row[k] for k in ("CRPS", "steps", "processor seconds")} == {
        k: plain[k] for k in ("CRPS", "steps", "processor seconds")
    }
    other = run(*args, "--budget", 0.6)
    assert other.exit_code == 1 and "other terms" in other.output


def test_a_recipe_that_fails_costs_its_row_alone(nuclei, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "broken", replace(RECIPES["plain"], network=dict(width=8, blocks=1, backbone="none")))
    args = ["--fluorescence", nuclei[1], "--held-out", 18, "--budget", 0.1, "--workers", 1, "--limit", 1, "-n", 2]
    args.append("--whole")
    result = run("--data", nuclei[0], *args, "--recipes", "broken", "--recipes", "plain", "--out", tmp_path)
    assert result.exit_code == 1 and "fluorescence-broken" in result.output
    table = json.loads((tmp_path / "systems.json").read_text())
    assert [row["recipe"] for row in table["rows"]] == ["plain"] and table["facts"]["failed"] == "fluorescence-broken"


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        ([], 1, "nothing to train on"),
        (["--fluorescence", "{images}", "--domain", "natural"], 1, "--train"),
        (["--fluorescence", "{images}", "--recipes", "none"], 1, "There is no recipe"),
        (["--fluorescence", "{images}", "-n", "1"], 2, "-n"),
        (["--fluorescence", "{images}", "--budget", "0"], 1, "positive"),
        (["--fluorescence", "{images}", "--domain", "x-ray"], 2, "x-ray"),
        (["--fluorescence", "{images}/none"], 2, "does not exist"),
        (["--fluorescence", "{images}", "--held-out", "4"], 2, "held-out"),
        (["--train", "{images}"], 1, "set14"),
    ],
)
def test_what_cannot_end_well_does_not_begin(nuclei, tiny, tmp_path, monkeypatch, args, status, said):
    begun = []
    monkeypatch.setattr(systems, "run_each", lambda *rest: begun.append(rest) or [])
    result = run("--data", nuclei[0], "--out", tmp_path, *(arg.format(images=nuclei[1]) for arg in args))
    assert result.exit_code == status and said in result.output
    assert not begun and not list(tmp_path.iterdir())
