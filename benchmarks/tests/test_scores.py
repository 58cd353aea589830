"""Scores of single outputs and of members."""

import numpy as np
import pytest

from bayesr_bench.scores import averaged, compared, rounded_cells, scores_of, seconds_of
from bayesr_bench.sets import Picture, answer
from tests.conftest import make_model


@pytest.fixture(scope="module")
def picture():
    blocks = np.random.default_rng(1).integers(0, 200, (10, 12, 1), dtype=np.uint8)
    return Picture(blocks.repeat(4, 0).repeat(4, 1), True)


def test_the_crps_of_a_point_estimator_is_its_mae(picture):
    model = make_model(bands=1, head_blocks=0)
    found = answer(model, picture, 1)
    row = scores_of(model, found, True)
    error = found.truth.astype(np.float64) - found.members[0]
    assert row["CRPS"] == pytest.approx(np.abs(error).mean())
    squares = error.reshape(5, 8, 6, 8).transpose(0, 2, 1, 3).reshape(30, 64) ** 2
    assert row["energy score"] == pytest.approx(np.sqrt(squares.mean(1)).mean())
    assert row["PSNR"] == row["member PSNR"]
    assert all(np.isnan(row[name]) for name in ("covered", "width", "spread/skill"))


def test_members_score_as_members(picture, grey_model):
    found = answer(grey_model, picture, 8)
    row = scores_of(grey_model, found, True)
    assert row["CRPS"] < np.abs(found.truth - found.members).mean()
    assert row["member PSNR"] < row["PSNR"]
    assert row["width"] == pytest.approx((found.upper - found.lower).mean())
    assert row["LR-PSNR"] > 50
    moved = found._replace(members=np.roll(found.members, 4, -1))
    assert scores_of(grey_model, moved, True)["LR-PSNR"] < 30


def test_differences_are_image_by_image_and_the_reference_has_none():
    ours = {"CRPS": [1.0, 2.0, 4.0], "energy score": [3.0, 3.0, 3.0]}
    theirs = {"CRPS": [2.0, 2.0, 2.0], "energy score": [1.0, 2.0, 3.0]}
    row = compared(theirs, ours, "ours")
    assert list(row)[:4] == ["CRPS", "CRPS ±", "CRPS minus ours's", "CRPS minus ours's ±"] and len(row) == 8
    assert row["CRPS minus ours's"] == pytest.approx(-1 / 3)
    assert row["CRPS minus ours's ±"] == pytest.approx(np.std([1, 0, -2], ddof=1) / np.sqrt(3))
    for reference in (None, ours):
        alone = compared(ours, reference, "ours")
        assert alone["energy score"] == 3 and np.isnan(alone["energy score minus ours's"])


def test_the_worst_lr_psnr_counts_and_the_mean_of_others():
    scores = {"LR-PSNR": [60.0, 58.0], "PSNR": [20.0, 22.0], "width": [1.0, np.nan]}
    row = averaged(scores, tuple(scores))
    assert (row["LR-PSNR"], row["PSNR"]) == (58, 21) and np.isnan(row["width"])
    assert rounded_cells([{"a": 1.23456, "b": 7, "c": "x"}]) == [{"a": 1.2346, "b": 7, "c": "x"}]


def test_times_are_ratios_to_the_reference(model, grey_model):
    found = seconds_of({"a": model, "b": grey_model}, "a", 2, 1)
    assert all(seconds > 0 for seconds, _ in found.values()) and found["a"][1] == pytest.approx(1, abs=0.8)
    assert np.isnan(seconds_of({"b": grey_model}, "a", 2, 1)["b"][1])
