"""Figures of the mean and of the spread on photographs."""

import numpy as np
import pytest

from bayesr.networks.features.lpips import NETWORKS, Lpips
from bayesr_bench.sets import Picture
from bayesr_bench.tables import quality
from tests.networks.lpips_helpers import weights


def test_figures_of_judges_are_added_and_change_no_other(model, photo):
    judges = [Lpips(NETWORKS["alexnet"], weights(), "alexnet")]
    picture = Picture(photo.repeat(2, 0).repeat(2, 1)[:40, :48], False)
    plain, errors, activity = quality.figures_of(model, picture, 0, 0)
    judged, *_ = quality.figures_of(model, picture, 0, 0, judges)
    added = judged.keys() - plain.keys()
    assert added == {"LPIPS", "member LPIPS", "diversity"} and all(judged[name] > 0 for name in added)
    assert {name: judged[name] for name in plain} == plain
    assert errors.shape == activity.shape == (picture.pixels.size,)
    assert plain["MAE of mean"] == pytest.approx(np.abs(errors).mean()) and plain["LR-PSNR"] > 40


def test_the_climatology_is_the_fair_score_of_errors_of_equal_activity():
    random = np.random.default_rng(0)
    activity = random.uniform(0, 1, 4000)
    errors = random.normal(0, 1 + 9 * (activity > 0.5))
    spread = float(np.mean(np.where(activity > 0.5, 10, 1)) / np.sqrt(np.pi))  # E|e - e'| / 2 of a Gaussian
    assert quality.climatology_crps(errors, activity) == pytest.approx(spread, rel=0.05)
