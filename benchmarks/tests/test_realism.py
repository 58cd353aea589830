"""Members against the truth."""

import json

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter

from bayesr.cli import main
from bayesr_bench import two_sample
from bayesr_bench.sets import Picture, answer
from bayesr_bench.tables import realism
from bayesr_bench.tables.realism import of_power, pairs_of


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
    pair = pairs_of(found, shows, model.observation)["members"]
    assert pair.images.dtype == pair.truth.dtype == np.uint8 and pair.images.shape[0] == 4
    away = np.abs(pair.truth - found.truth)
    inside = (found.truth > 8) & (found.truth < 247)
    assert away[inside].max() <= 3 and away.mean() < 0.5


def test_the_table(model, tmp_path, monkeypatch):
    for name, value in dict(STEPS=3, BATCH=8, TESTED=16).items():
        monkeypatch.setattr(two_sample, name, value)
    file = model.save(tmp_path / "tiny.safetensors")
    (tmp_path / "set5").mkdir()
    for k, image in enumerate(noise(5, 1.0, bands=3)):
        PIL.Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "set5" / f"{k}.png")
    args = ["bench", "realism", "--data", tmp_path, "--sets", "set5", "--models", file, "-n", 4, "--out", tmp_path]
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == 0, result.output
    rows = {row["shown"]: row for row in json.loads((tmp_path / "realism.json").read_text())["rows"]}
    assert list(rows) == ["tiny: members", "tiny: mean of 4", "bicubic", realism.ITSELF]
    itself = rows[realism.ITSELF]
    assert abs(itself["largest to 0.4"]) < 0.1 and itself["fair CRPS"] is None
    assert all(0 <= row["AUC"] <= 1 and 0 <= row["AUC, grey"] <= 1 for row in rows.values())
    assert rows["bicubic"]["power 0.4 to 0.5"] < 0
    assert str(tmp_path.parent) not in (tmp_path / "realism.md").read_text()
