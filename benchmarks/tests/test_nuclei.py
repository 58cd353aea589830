"""Measurements of nuclei: counts and their intervals."""

import numpy as np

from bayesr_bench.nuclei import count_coverage


def test_conformal_intervals_of_counts_have_the_nominal_coverage_for_any_members():
    rng = np.random.default_rng(1)
    truth = rng.poisson(30, 80).astype(float)
    middle = truth + rng.normal(0, 3, 80)
    row = count_coverage(np.stack([middle - 0.5, middle + 0.5, truth], 1), 0)
    assert row["members' interval"] < 0.4 and 0.88 < row["conformalised"] < 0.97
    assert row["width of that"] > row["its width"]
    assert "conformalised" not in count_coverage(np.ones((10, 3)), 0)  # too few images for 90%
