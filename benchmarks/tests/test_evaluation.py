"""Recipes are measured by scores and by power."""

import numpy as np

from bayesr_bench.evaluation import distance, measure
from bayesr_bench.sets import Picture


def test_power_off_by_so_many_decades():
    assert distance(np.zeros((3, 20))) == 0
    ramp = np.where(np.arange(20) < 16, 0.25, 9.0) * np.ones((3, 1))
    assert distance(-ramp) == distance(ramp) == 0.25, "of frequencies up to 0.4 alone"
    ramp[1, 0] = ramp[2, :2] = np.nan
    assert distance(ramp) == 0.25
    assert distance(np.array([[1.0] * 20, [-1.0] * 20])) == 0, "what differs from image to image is no bias"


def test_each_image_has_scores_and_a_spectrum(grey_model):
    blocks = np.random.default_rng(1).integers(0, 200, (16, 12, 1), dtype=np.uint8)
    pictures = [Picture(blocks.repeat(4, 0).repeat(4, 1), True)] * 2
    scores, power = measure(grey_model, pictures, 4, 0)
    assert {len(values) for values in scores.values()} == {2} and scores["CRPS"][0] == scores["CRPS"][1]
    assert power.shape == (2, 20)
