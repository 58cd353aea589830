import json
import math
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bayesr.calibration.calibration import Calibration
from bayesr.cli import main
from bayesr.errors import InvalidArgument
from bayesr.training.data import ImageSet
from bayesr_bench import contenders
from bayesr_bench.conformal import WIDENINGS, widened
from bayesr_bench.contenders import SAMPLERS, Contender, Measured, fit, heads, interval, known, middle, rcps
from bayesr_bench.deepinverse import Guidance, Langevin, Restoration
from bayesr_bench.sets import observe
from bayesr_bench.standing import AIM, REFERENCE, UNEQUAL, aims, rows_of, title, winners
from bayesr_bench.tables import rivals
from bayesr_bench.tables.rivals import merged
from bayesr_bench.trial import LEVEL, Domain, Task
from tests.conftest import make_model

TINY = {
    "DDRM": (Restoration(steps=2), Restoration(steps=3)),
    "PiGDM": (Guidance(steps=2), Guidance(steps=3)),
    "Langevin": (Langevin(stages=3, burn_in=1, thinning=1), Langevin(stages=2, burn_in=1, thinning=1)),
}


# -- intervals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.4, 1.0, 2.5])
def test_calibration_mends_a_spread_that_is_wrong(spread):
    """Members that are too close together, right, or too far apart: intervals hold what they say all the same."""
    random = np.random.default_rng(0)

    def scene():
        deviation = random.uniform(3, 9, (1, 24, 24))
        truth = 128 + deviation * random.normal(size=deviation.shape)
        return 128 + spread * deviation * random.normal(size=(16, *deviation.shape)), truth

    found = fit([scene() for _ in range(30)], [scene() for _ in range(60)])
    covered, raw = [], []
    for members, truth in (scene() for _ in range(60)):
        for calibration, shares in ((found, covered), (Calibration(), raw)):
            std, lower, upper = interval(members, calibration)
            assert std.shape == truth.shape
            shares.append(np.mean((truth >= lower) & (truth <= upper)))
    assert np.mean(covered) == pytest.approx(LEVEL, abs=0.02)
    assert (np.mean(raw) > LEVEL) == (spread >= 1), "uncalibrated, what is too narrow covers too little"


@pytest.fixture(scope="module")
def quantiles():
    return make_model(head="quantile")


def test_heads_are_the_quantiles_that_members_are_drawn_from(quantiles, photo):
    """As far as the projection lets members keep them: which the heads' shrinkage stands for."""
    low = photo[:16, :16]
    centre, lower, upper = heads(quantiles, low)
    assert (lower < upper).all() and centre.shape == (3, 64, 64)
    rounded = np.asarray(quantiles.observation.observe(torch.from_numpy(centre)))
    np.testing.assert_allclose(rounded, low.transpose(2, 0, 1), atol=0.01)
    members = quantiles.sample(low.astype(np.float32), 64, value_range=(0, 255), dims="yxb", progress=False)["samples"]
    spread = np.quantile(members, 0.95, 0) - np.quantile(members, 0.05, 0)
    assert np.mean(upper - lower) == pytest.approx(np.mean(spread), rel=0.25)


def test_heads_are_of_quantiles_alone(model, photo):
    with pytest.raises(InvalidArgument, match="no quantiles"):
        heads(model, photo[:8, :8])


def test_widened_heads_keep_the_risk(quantiles, photo):
    random = np.random.default_rng(0)
    images = ImageSet(
        tuple(map(str, range(30))), tuple(random.integers(90, 160, (32, 32, 3)).astype(np.uint8) for _ in range(30))
    )
    factor = rcps(quantiles, images)
    assert 0 < factor < WIDENINGS[-1]
    missed = []
    for image in images.images:
        lower, upper = widened(*heads(quantiles, observe(image)), factor, 1.0)
        truth = image.transpose(2, 0, 1)
        missed.append(np.mean((truth < lower) | (truth > upper)))
    assert np.mean(missed) < 0.1, "the bound lies above the mean risk"


def test_the_middle():
    image = np.arange(30 * 40).reshape(30, 40, 1)
    np.testing.assert_array_equal(middle(image, 10), image[10:20, 15:25])
    assert middle(image, 35).shape == (30, 35, 1)


# -- the table -----------------------------------------------------------------------------------

FIGURES = ("PSNR", "member PSNR", "width", "covered raw", "width raw", "spread/skill", "LR-PSNR")
SCORES = st.lists(st.floats(0.5, 9).map(lambda v: round(v, 2)), min_size=3, max_size=3)
COVERED = st.floats(0.5, 1).map(lambda v: round(v, 2))


def table(given_scores, over=200.0):
    results, times = {}, {}
    for label, (crps, energy, covered) in given_scores.items():
        scores = dict.fromkeys(FIGURES, [1.0] * 3) | {"CRPS": crps, "energy score": energy, "covered": [covered] * 3}
        results[label], times[label] = Measured({"set14": scores}), (0.1, over if label in SAMPLERS else 1.0)
    facts = {label: {"parameters": 1, "processor seconds": 2.0} for label in results}
    return rows_of(results, facts, times, 32)


@given(st.lists(st.tuples(SCORES, SCORES, COVERED), min_size=5, max_size=5))
def test_who_wins_is_said_and_nobody_else(given_scores):
    labels = (REFERENCE, "bayes-srgan", "DDRM", "rcgan", "natural-x4")
    rows = table(dict(zip(labels, given_scores, strict=True)))
    assert [row["CRPS"] for row in rows] == sorted(row["CRPS"] for row in rows)
    by_label = {label: next(row for row in rows if row["system"] == title(label)) for label in labels}
    ours, sentences = by_label[REFERENCE], winners(rows)
    for label in labels[1:4]:
        row = by_label[label]
        for figure in ("CRPS", "energy score"):
            said = any(s.startswith(f"{title(label)}: {figure} lower") for s in sentences)
            assert said == (row[f"{figure} minus {REFERENCE}'s"] < 0)
        assert any(s.startswith(f"{title(label)}: coverage") for s in sentences) == (
            row["off nominal"] < ours["off nominal"]
        )
    assert not any(s.startswith((UNEQUAL, f"{REFERENCE}:")) for s in sentences)
    verdicts = aims(rows)
    for figure in ("CRPS", "energy score"):
        mine = min(by_label[label][figure] for label in labels[:2])
        theirs = min(by_label[label][figure] for label in labels[2:4])
        assert ("set14 (3): holds" in verdicts[f"aim: {figure} below every rival's"]) == (mine < theirs)
    off = {label: by_label[label]["off nominal"] for label in labels}
    assert ("set14 (3): holds" in verdicts["aim: coverage nearest to nominal"]) == (
        min(off[one] for one in labels[:2]) < min(off[one] for one in labels[2:4])
    )


@pytest.mark.parametrize(("over", "verdict"), [(AIM - 1.0, "does not hold"), (float(AIM), "holds")])
def test_how_much_faster_is_said(over, verdict):
    rows = table({REFERENCE: ([1.0] * 3, [1.0] * 3, 0.9), "DDRM": ([2.0] * 3, [2.0] * 3, 0.8)}, over)
    (said,) = (text for name, text in aims(rows).items() if "fast" in name)
    assert said == f"{verdict}: {Restoration().name} takes {over:.0f} times as long"


def test_without_intervals_nobody_has_coverage():
    point = table({REFERENCE: ([1.0] * 3, [1.0] * 3, 0.9), "bicubic": ([2.0] * 3, [2.0] * 3, math.nan)})
    assert point[1]["outputs"] == 1 and point[0]["outputs"] == 32 and math.isnan(point[1]["off nominal"])
    assert winners(point) == [] and "aim: coverage nearest to nominal" not in aims(point)
    assert rows_of({}, {}, {}, 32) == [] and aims([]) == {}


@given(st.integers(1, 9), st.integers(1, 4))
def test_parts_give_the_whole_in_its_order(count, parts):
    task, values = Task("", "natural", *[None] * 4, 1.0, ""), list(range(count))
    shares = [
        (
            Contender("DDRM", task, share=(k, parts)),
            Measured({"a": {"x": values[k::parts]} if values[k::parts] else {}, "b": {"x": [9.0][k::parts]}}),
        )
        for k in reversed(range(parts))
    ]
    found = merged(shares)
    assert found.scores["a"]["x"] == values and found.scores["b"]["x"] == [9.0]


# -- the command ---------------------------------------------------------------------------------


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

    def produce(task):
        model = make_model(head="quantile" if task.recipe == "quantile" else "stochastic")
        model.card.update({"systems": task.terms, "processor_seconds": task.budget})
        model.save(task.model)

    monkeypatch.setattr(contenders, "produce", produce)
    monkeypatch.setattr(rivals, "check_protocol", lambda *rest: None)
    for module in (contenders, rivals):
        for name, samplers in TINY.items():
            monkeypatch.setitem(module.SAMPLERS, name, samplers)
    monkeypatch.setattr(rivals, "PICTURES", Domain(3, {"set14": 1, "bsd100": 1}))
    monkeypatch.setattr(rivals, "PARTS", 1)
    monkeypatch.setattr(rivals, "ROUNDS", 1)
    return tmp_path / "bench", tmp_path / "train" / "photos_free"


def run(*args):
    return CliRunner().invoke(main, ["bench", "rivals", *map(str, args)])


def test_a_table_of_rivals(photographs, tmp_path):
    data, _ = photographs
    systems = ("bayes-sr", "quantile", "quantile, RCPS", "DDRM", "Langevin")
    args = ["--data", data, "--budget", 0.2, "--held-out", 24, "-n", 2, "--workers", 1]
    args += ["--models", tmp_path / "models", "--out", tmp_path]
    chosen = [part for name in systems for part in ("--systems", name)]
    result = run(*args, *chosen)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "rivals.json").read_text())
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
    assert {f"aim: {figure} below every rival's" for figure in ("CRPS", "energy score")} <= set(found["facts"])
    assert str(tmp_path) not in json.dumps(found)

    again = run(*args, "--systems", "DDRM", "--systems", "bayes-sr")
    assert again.exit_code == 0, again.output
    second = json.loads((tmp_path / "rivals.json").read_text())
    made = second["facts"]["made before, on the same terms"]
    assert set(made.split(", ")) == {"natural-bayes-sr", "natural-denoiser", "natural-ddrm"}
    (row,) = (r for r in second["rows"] if r["system"] == title("DDRM") and r["set"] == "set14 (1)")
    assert {k: row[k] for k in ("CRPS", "covered", "width")} == {k: slow[k] for k in ("CRPS", "covered", "width")}
    other = run(*args, "--seed", 1, "--systems", "DDRM")
    assert other.exit_code == 1 and "other terms" in other.output


def test_a_rival_that_fails_leaves_no_table(photographs, tmp_path, monkeypatch):
    def fail(*rest):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(contenders, "answer", fail)
    args = ["--data", photographs[0], "--budget", 1, "--held-out", 24, "-n", 2, "--workers", 1, "--out", tmp_path]
    result = run(*args, "--systems", "rcgan")
    assert result.exit_code == 1 and "rcgan failed" in result.output and "out of luck" in result.output
    assert not (tmp_path / "rivals.json").exists()


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
    monkeypatch.setattr(rivals, "each", lambda *rest: pytest.fail("work began"))
    out = tmp_path / "out"
    result = run("--data", photographs[0], "--out", out, *(arg.format(images=photographs[1]) for arg in args))
    assert result.exit_code == status and said in result.output, result.output
    assert not out.exists()


def test_the_extra_that_is_missing_is_named_before_any_work(photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepinv", None)
    monkeypatch.setattr(rivals, "prepared", lambda *rest: pytest.fail("work began"))
    result = run("--data", photographs[0], "--out", tmp_path)
    assert result.exit_code == 1 and "pip install 'bayesr-bench[deepinv]'" in result.output


def test_calibrations_of_other_samplers_are_not_taken(tmp_path):
    task = Task("denoiser", "natural", *[tmp_path] * 3, tmp_path / "natural-denoiser.safetensors", 1.0, "")
    contender = Contender("DDRM", task)
    assert known([contender]) == []
    contender.calibrated.write_text(json.dumps({"terms": {"sampler": "another"}}))
    with pytest.raises(InvalidArgument, match=r"natural-ddrm.json was made on other terms"):
        known([contender])
