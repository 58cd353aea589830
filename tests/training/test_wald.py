from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import bayesr
from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.observe import bicubic
from bayesr.training.degradation import Degradation
from bayesr.training.held_out import make_pair
from bayesr.training.wald import wald_pairs


def test_images_are_their_own_truth(model, photo):
    (pair,) = wald_pairs(model, [photo[:30, :21]])
    low, high = make_pair(photo[:30, :21], bicubic(4))
    np.testing.assert_allclose(pair.low.data, low.transpose(2, 0, 1), atol=1)
    assert (pair.low.data.values != low.transpose(2, 0, 1)).mean() < 0.01, "but for halves of float32"
    np.testing.assert_array_equal(pair.high.data, high.transpose(2, 0, 1))
    assert pair.low.data.dtype == np.uint8 and pair.low.value_range == pair.high.value_range == (0, 255)


def test_floats_keep_their_units_and_range(grey_model):
    y = np.random.default_rng(0).normal(300, 20, (24, 32))
    (pair,) = wald_pairs(grey_model, [xr.DataArray(y, dims=("y", "x"))])
    expected = bicubic(4).observe(torch.from_numpy(y)[None]).numpy()
    np.testing.assert_allclose(pair.low.data, expected, rtol=1e-4)
    assert pair.low.value_range == pair.high.value_range == pytest.approx((y.min(), y.max()))


def test_noise_is_that_of_the_training(model, photo):
    noisy = replace(
        model,
        forward_operator=model.forward_operator.unconstrained(noise=0.1),
        card={"degradation": {"noise": [0.1, 0.1]}},
    )
    y = np.full((80, 80, 3), 120, np.uint8)
    (pair,) = wald_pairs(noisy, [y])
    assert float(pair.low.data.std()) == pytest.approx(25.5, rel=0.1) and float(pair.high.data.std()) == 0
    again, other = (wald_pairs(noisy, [y], seed=seed)[0].low.data for seed in (0, 1))
    assert pair.low.data.equals(again) and not pair.low.data.equals(other)
    assert Degradation(noise=(0.1, 0.1)).describe() == noisy.card["degradation"]


def test_what_cannot_be_reduced_is_refused_by_number(model, photo):
    with pytest.raises(InvalidArgument, match=r"Image 1: The image has 12 x 30 pixels, too few .* at least 16 x 16"):
        wald_pairs(model, [photo, photo[:12, :40]])
    with pytest.raises(BandMismatch, match=r"Image 0: .* takes 3 bands"):
        wald_pairs(model, [photo[..., :2]])
    holes = np.ma.masked_array(photo, np.zeros(photo.shape, bool))
    holes[3, 4] = np.ma.masked
    with pytest.raises(InvalidArgument, match="Image 0: The image has missing pixels"):
        wald_pairs(model, [holes])


def test_calibration_without_a_truth(model, photo):
    random = np.random.default_rng(1)
    images = [photo[i : i + 24, j : j + 24] for i, j in random.integers(0, 8, (8, 2))]
    found = bayesr.calibrate(model, images=iter(images), levels=(0.5,), source="eight crops", progress=False)
    assert found.calibration.source.startswith("eight crops, reduced once more, assuming that errors are alike")
    assert "Wald" in bayesr.sample(photo, 4, model=found, level=0.5).attrs["calibration_source"]
    assert found.calibration.images == 4 and np.isfinite(found.calibration.half_width(0.5, 32))
    with pytest.raises(InvalidArgument, match="not both"):
        bayesr.calibrate(model, [(photo, photo)], images=images)
    with pytest.raises(InvalidArgument, match="not both"):
        bayesr.calibrate(model)
    with pytest.raises(InvalidArgument, match="1 images are too few"):
        bayesr.calibrate(model, images=images[:1])
