"""The table of published networks: figures of images, and the command with a network that repeats pixels."""

import json
import math

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from published_helpers import NPM, no_distribution

from bayesr.cli import main
from bayesr.networks.features.lpips import NETWORKS as JUDGES
from bayesr.networks.features.lpips import Lpips
from bayesr.observe import bicubic
from bayesr.scoring.rules import fair_crps
from bayesr_bench import lpips, published, published_systems, timing, verdicts
from bayesr_bench.sets import Answer
from bayesr_bench.tables import published as the_table
from bayesr_bench.wrapping import FEWEST
from tests.networks.lpips_helpers import weights


def test_figures_of_one_output_and_of_members():
    random = np.random.default_rng(0)
    truth = random.uniform(50, 200, (3, 32, 36)).astype(np.float32)
    low = random.integers(0, 256, (8, 9, 3), np.uint8)
    members = truth + random.normal(0, 8, (6, 3, 32, 36)).astype(np.float32)
    mean, ends = members.mean(0), (truth - 1, truth + 1)
    none = np.full_like(mean, np.nan)
    one = the_table.figures_of(Answer(low, mean[None], mean, none, none, none, truth), False, bicubic(4), [])
    several = the_table.figures_of(Answer(low, members, mean, mean, *ends, truth), False, bicubic(4), [])
    assert one["PSNR-Y"] == several["PSNR-Y"] > several["realism 0.5: PSNR-Y"] > several["member PSNR-Y"]
    assert one["CRPS"] == pytest.approx(np.abs(mean - truth).mean(), rel=1e-5)
    assert several["CRPS"] == fair_crps(members, truth) and several["covered"] == 1
    missing = {name for name, value in one.items() if math.isnan(value)}
    assert missing == {f"{kind}{f}" for kind in verdicts.KINDS[1:] for f in ("PSNR-Y", "SSIM")} | {"covered", "width"}
    assert several["width"] == pytest.approx(2)
    bounded = Answer(low, mean[None], mean, mean, *ends, truth)
    around = the_table.figures_of(bounded, False, bicubic(4), [], 1.5)
    assert around["CRPS"] == 1.5 and around["covered"] == 1 and around["PSNR-Y"] == one["PSNR-Y"]


def test_each_judge_has_its_columns():
    random = np.random.default_rng(0)
    members = random.uniform(50, 200, (12, 3, 32, 36)).astype(np.float32)
    mean, low = members.mean(0), random.integers(0, 256, (8, 9, 3), np.uint8)
    answer = Answer(low, members, mean, mean, mean - 1, mean + 1, members[11])
    judges = [
        Lpips(JUDGES["alexnet"], weights(), "alexnet"),
        Lpips(JUDGES["vgg16"], weights(0, "VGG16_0", "vgg16"), "vgg16"),
    ]
    found = the_table.figures_of(answer, False, bicubic(4), judges)
    shown, truth = members[:4].round(), members[11].round()
    assert found["member LPIPS"] == pytest.approx(judges[0].distances(shown, truth).mean(), rel=1e-5)
    assert found["member LPIPS VGG"] == pytest.approx(judges[1].distances(shown[:1], truth)[0], rel=1e-5)
    assert found["LPIPS VGG"] > 0 and 0 < found["diversity"] < 100
    assert [name for name in found if "VGG" in name] == ["LPIPS VGG", "member LPIPS VGG"]


@pytest.fixture
def args(known, npm, set5, tmp_path, model, monkeypatch):
    """Arguments of the table: a model, and the network that repeats pixels."""
    monkeypatch.setattr(the_table, "check_protocol", lambda *rest: None)
    monkeypatch.setattr(lpips, "folder", lambda: None)
    file = model.save(tmp_path / "tiny.safetensors")
    values = ["bench", "published", "--data", set5, "--sets", "set5", "--models", file, "--npm", npm, "-n", 3]
    return [*map(str, values), "--rounds", "1", "--out", str(tmp_path / "out"), "--keep", str(tmp_path / "kept")]


def test_the_table(args, known, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "distribution", no_distribution)
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "published.json").read_text())
    ours, theirs = table["rows"]
    assert (ours["system"], theirs["system"]) == ("tiny", known[0].label)
    assert ours["set"] == theirs["set"] == "set5 (2)"
    assert theirs["PSNR-Y"] == pytest.approx(known[0].network.psnr, abs=1e-3)
    assert theirs["member PSNR-Y"] is theirs["covered"] is theirs["3 members / SRResNet"] is None
    assert 0 < ours["covered"] <= 1 and ours["CRPS"] > 0 and ours["3 members / SRResNet"] > 0
    assert theirs["one output, seconds"] > 0 and theirs["LR-PSNR"] < ours["LR-PSNR"]
    facts = table["facts"]
    for name in ("DAT-light", "SPAN", "Real-ESRGAN x4plus"):
        assert facts[name].startswith("omitted") and "pip install" in facts[name]
    assert facts[NPM].startswith(f"{theirs['PSNR-Y']:.2f} dB on set5")
    assert "PSNR-Y" in facts["best on set5 (2)"] and str(tmp_path) not in json.dumps(table)

    # Figures of images are not measured again, but networks are checked again.
    monkeypatch.setattr(the_table, "figures_of", lambda *rest: pytest.fail("measured again"))
    again = CliRunner().invoke(main, args)
    assert again.exit_code == 0, again.output
    assert again.output.count("check of ESRGAN-thick") == 2
    costs = ("SRResNet", "seconds")
    resumed = json.loads((tmp_path / "out" / "published.json").read_text())
    for first, second in zip(table["rows"], resumed["rows"], strict=True):
        assert {k: v for k, v in first.items() if not k.endswith(costs)}.items() <= second.items()


@pytest.fixture
def wrapped(args, tmp_path, monkeypatch):
    """Arguments of the table with rows around the network, calibrated on a folder of photographs."""
    monkeypatch.setattr(published, "distribution", no_distribution)
    for module in (the_table, published_systems):
        monkeypatch.setattr(module, "WRAPPED", (NPM,))
    monkeypatch.setattr(published_systems, "CENTRE", NPM)
    folder = tmp_path / "others"
    folder.mkdir()
    photo = timing.example()
    for k in range(FEWEST):
        PIL.Image.fromarray(photo[k : k + 24, 2 * k : 2 * k + 32]).save(folder / f"{k:02d}.png")
    return [*args, "--calibrate-on", str(folder)]


def test_rows_around_a_network(wrapped, known, tmp_path, monkeypatch):
    result = CliRunner().invoke(main, wrapped)
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "published.json").read_text())
    rows, label = {row["system"]: row for row in table["rows"]}, known[0].label
    by_std, by_activity = (rows[f"conformal around {label}: {source}"] for source in ("std of tiny", "activity"))
    theirs, ours, moved = rows[label], rows["tiny"], rows[f"tiny around {label}"]
    assert len(rows) == 5
    for row in (by_std, by_activity):
        assert row["PSNR-Y"] == theirs["PSNR-Y"] and row["LR-PSNR"] == theirs["LR-PSNR"]
        assert 0.6 < row["covered"] <= 1 and row["width"] > 0 and 0 < row["CRPS"] < theirs["CRPS"]
        assert row["member PSNR-Y"] is row["one output, seconds"] is None
    assert by_std["CRPS"] != by_activity["CRPS"]
    assert by_activity["parameters"] == theirs["parameters"] < by_std["parameters"]
    assert theirs["width"] is None and ours["width"] > 0
    assert moved["LR-PSNR"] > theirs["LR-PSNR"] and moved["PSNR-Y"] >= theirs["PSNR-Y"] - 0.5
    assert moved["width"] == pytest.approx(ours["width"], rel=0.2) and moved["member PSNR-Y"] < moved["PSNR-Y"]
    facts = table["facts"]
    assert facts["calibrated on"] == f"{FEWEST} images of others"
    said = facts["around networks against tiny on set5 (2)"]
    assert said.count(" against covered ") == 3 and f"tiny around {label}: CRPS {moved['CRPS']:.4g}" in said

    # Nothing is calibrated again where all figures are known, and other images are another calibration.
    monkeypatch.setattr(published_systems, "calibrate", lambda cases: pytest.fail("calibrated again"))
    assert CliRunner().invoke(main, wrapped).exit_code == 0
    (tmp_path / "others" / "00.png").unlink()
    PIL.Image.fromarray(timing.example()[:24, 100:132]).save(tmp_path / "others" / "00.png")
    with pytest.raises(pytest.fail.Exception, match="calibrated again"):
        CliRunner().invoke(main, wrapped, catch_exceptions=False)


def test_rows_around_a_network_can_be_left_out(wrapped, args, tmp_path, known):
    for extra, said in ((["--held-out", "0"], "left out"), ([], "omitted")):
        result = CliRunner().invoke(main, [*args, *extra])
        assert result.exit_code == 0, result.output
        table = json.loads((tmp_path / "out" / "published.json").read_text())
        assert [row["system"] for row in table["rows"]] == ["tiny", known[0].label, f"tiny around {known[0].label}"]
        assert table["facts"]["calibrated on"].startswith(said)
    refused = CliRunner().invoke(main, [*wrapped, "--held-out", "5"])
    assert refused.exit_code == 2 and f"at least {FEWEST}" in refused.output


def test_a_network_that_is_off_leaves_no_table(args, known, tmp_path):
    known[1](psnr=known[0].network.psnr + 1)
    result = CliRunner().invoke(main, [*args, "--networks", NPM])
    assert result.exit_code == 1 and "Nothing was measured: ESRGAN-thick" in result.output
    assert not (tmp_path / "out").exists()
