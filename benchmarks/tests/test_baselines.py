"""Quantile regression, and the files that are reused."""

import json

import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument
from bayesr.training.data import ImageSet
from bayesr_bench.baselines import System, quantiles, rcps, reused
from bayesr_bench.conformal import WIDENINGS, widened
from bayesr_bench.sets import observe
from bayesr_bench.training import Archives, Task
from tests.conftest import make_model


@pytest.fixture(scope="module")
def quantile_model():
    return make_model(head="quantile")


def test_quantiles_are_those_that_members_are_drawn_from(quantile_model, photo):
    """Up to the projection of members, for which the quantiles are shrunk."""
    low = photo[:16, :16]
    centre, lower, upper = quantiles(quantile_model, low)
    assert (lower < upper).all() and centre.shape == (3, 64, 64)
    rounded = np.asarray(quantile_model.forward_operator.observe(torch.from_numpy(centre)))
    np.testing.assert_allclose(rounded, low.transpose(2, 0, 1), atol=0.01)
    members = quantile_model.sample(low.astype(np.float32), 64, value_range=(0, 255), dims="yxb", progress=False)[
        "samples"
    ]
    spread = np.quantile(members, 0.95, 0) - np.quantile(members, 0.05, 0)
    assert np.mean(upper - lower) == pytest.approx(np.mean(spread), rel=0.25)


def test_other_heads_have_no_quantiles(model, photo):
    with pytest.raises(InvalidArgument, match="no quantiles"):
        quantiles(model, photo[:8, :8])


def test_widened_quantiles_keep_the_risk(quantile_model, photo):
    random = np.random.default_rng(0)
    images = ImageSet(
        tuple(map(str, range(30))), tuple(random.integers(90, 160, (32, 32, 3)).astype(np.uint8) for _ in range(30))
    )
    factor = rcps(quantile_model, images)
    assert 0 < factor < WIDENINGS[-1]
    missed = []
    for image in images.images:
        lower, upper = widened(*quantiles(quantile_model, observe(image)), factor, 1.0)
        truth = image.transpose(2, 0, 1)
        missed.append(np.mean((truth < lower) | (truth > upper)))
    assert np.mean(missed) < 0.1, "the bound lies above the mean risk"


def test_calibrations_of_other_samplers_are_not_taken(tmp_path):
    task = Task(
        "denoiser",
        "natural",
        Archives(tmp_path, tmp_path, ""),
        tmp_path,
        tmp_path / "natural-denoiser.safetensors",
        1.0,
    )
    system = System("DDRM", task)
    assert reused([system]) == []
    system.calibrated.write_text(json.dumps({"terms": {"sampler": "another"}}))
    with pytest.raises(InvalidArgument, match=r"natural-ddrm.json was made on other terms"):
        reused([system])
