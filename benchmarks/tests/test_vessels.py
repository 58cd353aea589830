"""The table of vessels in super-resolved retinas."""

import numpy as np
import pytest
import torch

from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.cases import Case
from bayesr.segmentation.segmenter import Segmenter
from bayesr_bench.nuclei import ALL
from bayesr_bench.retina import GREEN
from bayesr_bench.tables.vessels import figures_of, rows_of, super_resolve


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (3, 34, 41)).astype(np.float32)  # no multiple of the scale
    masks = np.zeros((2, 34, 41), np.int32)
    masks[0, 10:16], masks[1, 10:18] = 1, 1
    return Case("a", image, masks, (0.0, 255.0), group="child")


def test_super_resolved_images_have_one_size_and_include_the_truth(model, case):
    found = super_resolve(case, model, None, 3, 0)
    assert [len(stack) for stack in found.values()] == [1, 1, 1, 1, 3]
    assert {stack.shape[1:] for stack in found.values()} == {(32, 40)}
    np.testing.assert_array_equal(found["high resolution"][0], case.image[GREEN, :32, :40])
    np.testing.assert_allclose(found["mean"][0], found[ALL].mean(0), atol=1e-3)


def test_all_members_are_scored_by_their_mean_probability(case):
    torch.manual_seed(0)
    segmenter = Segmenter("tiny", MobileUNet(1, 1, 0.35, 2).eval(), scaling="percentiles")
    stack = np.random.default_rng(1).uniform(0, 255, (3, 32, 40)).astype(np.float32)
    rows = figures_of(case, segmenter, {"one": stack[:1], ALL: stack})
    halves = stack.reshape(3, 16, 2, 20, 2).mean((2, 4))
    p = np.mean([segmenter(image[None], (0.0, 255.0)).probability for image in halves], 0)
    true = case.masks[:, :32:2, :40:2] > 0  # edges lie at even pixels
    assert rows[1]["Brier"] == pytest.approx(np.mean((p - true) ** 2), rel=1e-5)
    assert rows[0]["Brier"] != rows[1]["Brier"]


def test_rows_compare_all_members_with_each_other_system():
    rng = np.random.default_rng(2)
    figures = []
    for i in range(12):
        for system, worse in (("bicubic", 0.2), (ALL, 0.0)):
            figures.append(
                {"system": system, "case": str(i), "qubiq_dice": 0.8 - worse, "dice": 0.8 - worse + 0.01 * rng.random(),
                 "energy_distance": 0.3 + worse, "correlation_marked": 0.1, "Brier": 0.05 + worse + 0.01 * rng.random()}
            )  # fmt: skip
    first, second = rows_of(figures)
    assert first["segmentation of"] == "bicubic" and first["p, Dice"] < 0.01 and first["p, Brier"] < 0.01
    assert np.isnan(second["p, Dice"]) and second["Dice"] > first["Dice"] and second["images"] == 12
