import json
import math
import os
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.cli import main
from bayesr.observe import bicubic
from bayesr.training import workflow
from bayesr.training.data import ImageSet, load_images
from bayesr.training.recipe import Recipe, Stage
from bayesr_bench import budget, trial
from bayesr_bench.sets import Picture, answer
from bayesr_bench.tables import systems
from bayesr_bench.tables.systems import REFERENCE, distance, prepared, rows_of, winners
from bayesr_bench.trial import LEVEL, Trial, each, figures
from tests.conftest import TINY, make_model

RECIPES = {
    REFERENCE: replace(TINY, name=REFERENCE),
    "plain": Recipe("plain", dict(width=8, blocks=1, head_blocks=0), (TINY.stages[0],), patch=8),
}


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    """(sets, images to train on): dark ones, and a bright one that is no fluorescence."""
    root, random = tmp_path_factory.mktemp("systems"), np.random.default_rng(0)
    for folder, count in ((root / "bench" / "dsb2018" / "images", 3), (root / "nuclei", 20)):
        folder.mkdir(parents=True)
        for k in range(count):
            blocks = random.integers(0, 200, (12, 11), dtype=np.uint8) // 3
            PIL.Image.fromarray(blocks.repeat(4, 0).repeat(4, 1)).save(folder / f"{k}.png")
        PIL.Image.fromarray(np.full((48, 44), 220, np.uint8)).save(folder / "bright.png")
    return root / "bench", root / "nuclei"


@pytest.fixture
def tiny(monkeypatch):
    def recipe(name):
        if name not in RECIPES:
            raise bayesr.errors.TrainingFailed(f"Unknown recipe {name!r}")
        return RECIPES[name]

    monkeypatch.setattr(systems, "names", lambda: list(RECIPES))
    for module in (systems, trial):
        monkeypatch.setattr(module, "recipe", recipe)
    monkeypatch.setattr(workflow, "_COUNTS", (2, 32))  # numbers of members that are calibrated for: there are six


def run(*args):
    return CliRunner().invoke(main, ["bench", "systems", *map(str, args)])


# -- budgets -------------------------------------------------------------------------------------


@given(st.floats(0.01, 20), st.lists(st.integers(0, 5000), min_size=1, max_size=4))
def test_stages_keep_their_proportions(factor, steps):
    recipe = replace(TINY, stages=tuple(Stage(str(i), count, 1e-3, features=0.1) for i, count in enumerate(steps)))
    found = budget.scaled(recipe, factor)
    for old, new in zip(recipe.stages, found.stages, strict=True):
        assert abs(new.steps - factor * old.steps) <= 0.5 or new.steps == 1
        assert (new.steps == 0) == (old.steps == 0)
        assert new.warmup < max(1, new.steps), "or the critic would never weigh"
        assert replace(new, steps=old.steps, warmup=old.warmup) == old


@pytest.mark.parametrize("seconds", [50.0, 1000.0])
def test_the_budget_is_what_the_steps_cost(folder, monkeypatch, seconds):
    """With warm-ups, which cost less, taken for what they are."""
    stages = Stage("one", 2000, 1e-3, members=0), Stage("two", 1000, 1e-3, features=0.1, warmup=200)
    recipe = replace(TINY, stages=stages)

    def cost(recipe, stage, *rest):
        return {"one": 0.1, "two": 0.3 if stage.warmup else 0.7}[stage.name]

    monkeypatch.setattr(budget, "cost", cost)
    one, two = budget.affordable(recipe, load_images([folder]), bicubic(4), seconds).stages
    assert 0.1 * one.steps + 0.3 * two.warmup + 0.7 * (two.steps - two.warmup) == pytest.approx(seconds, abs=1)


def test_steps_are_timed_in_all_stages(folder, tiny):
    images = load_images([folder])
    small, large = (budget.affordable(TINY, images, bicubic(4), s) for s in (0.1, 20.0))
    assert [stage.name for stage in small.stages] == [stage.name for stage in TINY.stages]
    assert sum(s.steps for s in large.stages) > 3 * sum(s.steps for s in small.stages)
    still = replace(TINY, stages=(replace(TINY.stages[0], steps=0),))
    assert budget.affordable(still, images, bicubic(4), 1.0) is still


def test_the_clock_counts_what_a_process_gets(monkeypatch):
    now = {"process_time": 0.0, "monotonic": 0.0}
    for name in now:
        monkeypatch.setattr(budget.time, name, lambda name=name: now[name])
    clock = budget.StepClock()
    now |= {"process_time": 10.0, "monotonic": 10.0}  # alone: 8 seconds of steps, 2 of something else
    clock({"seconds": 8.0})
    assert clock.seconds == 8
    now |= {"process_time": 15.0, "monotonic": 20.0}  # with half of a processor
    clock({"seconds": 16.0})
    assert clock.seconds == 12


# -- scores --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture():
    blocks = np.random.default_rng(1).integers(0, 200, (10, 12, 1), dtype=np.uint8)
    return Picture(blocks.repeat(4, 0).repeat(4, 1), True)


def test_the_crps_of_a_point_estimator_is_its_mae(picture):
    model = make_model(bands=1, head_blocks=0)
    found = answer(model, picture, 1)
    row = figures(model, found, True)
    error = found.truth.astype(np.float64) - found.members[0]
    assert row["CRPS"] == pytest.approx(np.abs(error).mean())
    squares = error.reshape(5, 8, 6, 8).transpose(0, 2, 1, 3).reshape(30, 64) ** 2
    assert row["energy score"] == pytest.approx(np.sqrt(squares.mean(1)).mean())
    assert row["PSNR"] == row["member PSNR"]
    assert all(np.isnan(row[name]) for name in ("covered", "width", "spread/skill"))


def test_members_score_as_members(picture, grey_model):
    found = answer(grey_model, picture, 8)
    row = figures(grey_model, found, True)
    assert row["CRPS"] < np.abs(found.truth - found.members).mean()
    assert row["member PSNR"] < row["PSNR"]
    assert row["width"] == pytest.approx((found.upper - found.lower).mean())
    assert row["LR-PSNR"] > 50
    moved = found._replace(members=np.roll(found.members, 4, -1))
    assert figures(grey_model, moved, True)["LR-PSNR"] < 30


def test_power_off_by_so_many_decades():
    assert distance(np.zeros((3, 20))) == 0
    ramp = np.where(np.arange(20) < 16, 0.25, 9.0) * np.ones((3, 1))
    assert distance(-ramp) == distance(ramp) == 0.25, "of frequencies up to 0.4 alone"
    ramp[1, 0] = ramp[2, :2] = np.nan
    assert distance(ramp) == 0.25
    assert distance(np.array([[1.0] * 20, [-1.0] * 20])) == 0, "what differs from image to image is no bias"


SCORES = st.lists(st.floats(0.5, 9).map(lambda v: round(v, 2)), min_size=3, max_size=3)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=4))
def test_who_wins_is_said_and_nobody_else(given_scores):
    labels = [REFERENCE, "srgan", "vae", "unet"][: len(given_scores)]
    trials = {}
    for label, (crps, energy) in zip(labels, given_scores, strict=True):
        others = dict.fromkeys(("PSNR", "SSIM", "LR-PSNR", "spread/skill"), [1.0] * 3)
        trials[label] = Trial(
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
        {"vae": Trial(1, {"nuclei": scores}, {"nuclei": np.ones((2, 20))})}, {"vae": card}, {"vae": (1.0, math.nan)}
    )
    assert rows[0]["outputs"].startswith("1") and np.isnan(rows[0][f"CRPS minus {REFERENCE}'s"])
    assert winners(rows) == [] and rows_of({}, {}, {}) == []


# -- images and processes ------------------------------------------------------------------------


def test_what_is_trained_and_calibrated_on(nuclei):
    training, kept = prepared("fluorescence", [nuclei[1]], 18)
    assert len(training.names) == 2 and len(kept.names) == 18
    assert not set(training.names) & set(kept.names) and "nuclei/bright.png" not in training.names + kept.names
    large = np.arange(250 * 300, dtype=np.uint32).astype(np.uint8).reshape(250, 300, 1)
    np.testing.assert_array_equal(systems._middle(large), large[29:221, 54:246])
    assert systems._middle(large[:40]).shape == (40, 192, 1)
    sets = ImageSet(("a",), (large,)), ImageSet(("a",), (large.copy(),)), ImageSet(("a",), (large[:, ::-1],))
    assert systems.checksum(sets[0]) == systems.checksum(sets[1]) != systems.checksum(sets[2])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_fails_fails_alone(workers):
    before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    found = dict(each(math.sqrt, [4.0, -1.0], workers))
    assert found[4.0] == 2 and isinstance(found[-1.0], ValueError)
    assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == before


# -- the table -----------------------------------------------------------------------------------


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
        (["--fluorescence", "{images}", "--recipes", "none"], 1, "Unknown recipe"),
        (["--fluorescence", "{images}", "-n", "1"], 1, "2 members"),
        (["--fluorescence", "{images}", "--budget", "0"], 1, "positive"),
        (["--fluorescence", "{images}", "--domain", "x-ray"], 2, "x-ray"),
        (["--fluorescence", "{images}/none"], 2, "does not exist"),
        (["--fluorescence", "{images}", "--held-out", "4"], 2, "held-out"),
        (["--train", "{images}"], 1, "set14"),
    ],
)
def test_what_cannot_end_well_does_not_begin(nuclei, tiny, tmp_path, monkeypatch, args, status, said):
    begun = []
    monkeypatch.setattr(systems, "each", lambda *rest: begun.append(rest) or [])
    result = run("--data", nuclei[0], "--out", tmp_path, *(arg.format(images=nuclei[1]) for arg in args))
    assert result.exit_code == status and said in result.output
    assert not begun and not list(tmp_path.iterdir())
