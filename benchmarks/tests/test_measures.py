"""Figures that several tables use, compared with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.observe import bicubic
from bayesr.scoring.scores import score
from bayesr_bench.measures import averages, coverage, differences, gathered, lr_psnr, spread_skill, width


def test_coverage_counts_bounds_as_inside():
    truth = np.array([0, 1, 2, 3, 4])
    assert coverage(truth, np.full(5, 1), np.full(5, 3)) == 0.6
    assert width(np.array([0.0, 1.0]), np.array([1.0, 5.0])) == 2.5


@given(st.integers(2, 40), st.floats(0.5, 20))
def test_spread_skill_is_one_for_members_with_the_distribution_of_the_truth(n, sigma):
    draws = np.random.default_rng(n).normal(100, sigma, (n + 1, 20000)).astype(np.float32)
    members, truth = draws[:-1], draws[-1]
    assert spread_skill(members, members.mean(0), truth) == pytest.approx(1, abs=0.03)
    assert spread_skill(100 + (members - 100) / 2, truth * 0 + 100, truth) < 0.75


def test_spread_skill_is_nan_without_an_error():
    assert np.isnan(spread_skill(np.ones((2, 3)), np.ones(3), np.ones(3)))


def test_the_worst_member_decides(model, photo):
    ds = model.sample(photo, 4, dims="yxb", progress=False)
    members, operator = ds["samples"].to_numpy(), model.forward_operator
    each = [lr_psnr(members[k : k + 1], operator, photo) for k in range(4)]
    assert lr_psnr(members, operator, photo) == min(each) > 50
    members[2] += 5
    assert lr_psnr(members, operator, photo) == pytest.approx(20 * np.log10(255 / 5), abs=1)  # some are clipped
    flat, low = np.full((1, 3, 8, 8), 7.0), np.full((2, 2, 3), 7)
    assert lr_psnr(flat, bicubic(4), low) > 120
    flat[..., ::4] = 8  # of which the forward operator makes about 7.25
    assert lr_psnr(flat, bicubic(4), low) < 70 and lr_psnr(flat, bicubic(4), low, whole=True) > 120


def test_averages_leave_out_what_is_not_known():
    row = averages({"a": [1.0, 3.0, np.nan], "b": [np.nan, np.nan], "c": [np.inf, 1.0]})
    assert row["a"] == 2 and row["a ±"] == pytest.approx(1)
    assert np.isnan(row["b"]) and np.isnan(row["b ±"])
    assert row["c"] == np.inf


def test_figures_agree_with_those_of_score(model, photo):
    """`bayesr.score` computes coverage, width and spread-skill block by block."""
    truth = model.sample(photo, 2, seed=9, dims="yxb", progress=False)["samples"].isel(realization=0, drop=True)
    ds = model.sample(photo, 8, dims="yxb", progress=False)
    found = score(ds, truth, progress=False)
    mean, lower, upper = (ds[name].to_numpy() for name in ("mean", "lower", "upper"))
    members, truth = ds["samples"].to_numpy(), truth.to_numpy()
    at = found.sel(level=0.9, method="nearest")
    assert coverage(truth, lower, upper) == pytest.approx(float(at["coverage"]), abs=1e-6)
    assert width(lower, upper) == pytest.approx(float(at["width"]), rel=1e-5)
    assert spread_skill(members, mean, truth) == pytest.approx(float(found["spread_skill"]), rel=1e-4)


def test_averages_and_differences_are_over_images():
    scores = gathered([{"CRPS": 1.0, "PSNR": 30.0}, {"CRPS": 3.0, "PSNR": float("nan")}])
    assert scores["CRPS"] == [1.0, 3.0]
    row = averages(scores)
    assert (row["CRPS"], row["CRPS ±"], row["PSNR"]) == (2.0, 1.0, 30.0) and np.isnan(row["PSNR ±"])
    off = differences(scores, {"CRPS": [0.0, 4.0]}, "ours", ["CRPS"])
    assert off == {"CRPS minus ours's": 0.0, "CRPS minus ours's ±": 1.0}
    assert all(np.isnan(value) for value in differences(scores, None, "ours", ["CRPS"]).values())
