"""The table of aggregation: regions of Gaussian fields, whose exact intervals are known."""

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from bayesr.aggregation.workflow import aggregate
from bayesr_bench.problems import GaussianField
from bayesr_bench.sets import Picture
from bayesr_bench.tables.aggregate import cells, exact_std, image_rows, product_of, true_means

WIDTH = 2 * ndtri(0.95)


@pytest.fixture(scope="module")
def field():
    """A Gaussian field, a low-resolution image, 4096 exact posterior samples, and their product."""
    problem = GaussianField(size=6)
    random = torch.Generator().manual_seed(1)
    low, _ = problem.batch(1, random)
    members = problem.posterior(low, 4096, random)[0].numpy()
    low = low[0].numpy()
    return problem, low, members, product_of(members, low)


@pytest.mark.parametrize("kind", ["mean", "sum"])
@pytest.mark.parametrize("side", [1, 2, 4, 8, 12])
def test_intervals_of_gaussian_fields_have_the_exact_width(field, kind, side):
    """Summed pixel variances give other widths: too small for positively correlated errors, too large for others."""
    problem, low, _, ds = field
    found = aggregate(ds, side, kind).isel(band=0)
    exact = exact_std(problem.posterior_covariance, side, kind)
    assert float(np.mean((found["upper"] - found["lower"]) / (WIDTH * exact))) == pytest.approx(1, abs=0.03)
    assert float(np.mean(found["std"] / exact)) == pytest.approx(1, abs=0.03)
    truth = cells(problem.posterior_mean(torch.from_numpy(low)[None])[0, 0].numpy(), side, kind)
    assert np.abs((found["value"] - truth) / exact).max() < 5 / 4096**0.5
    off = float(np.mean(found["naive_std"] / exact))
    print(f"{kind} of {side} x {side} pixels: naive standard deviation {off:.2f} of the exact one")
    if side == 1:
        assert off == pytest.approx(1, abs=0.03)
    elif side == 2:
        assert off < 1 / 1.4
    else:
        assert off > 1.5


def test_calibration_corrects_members_with_too_little_spread(field):
    """Members with half of the deviations and a calibration factor of 2 give intervals of the exact width."""
    problem, low, members, _ = field
    shy = product_of(members.mean(0) + (members - members.mean(0)) / 2, low, 2.0)
    exact = exact_std(problem.posterior_covariance, 8, "mean")
    found = aggregate(shy, 8).isel(band=0)
    assert float(np.mean((found["upper"] - found["lower"]) / (WIDTH * exact))) == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(found["factor"], 2, rtol=1e-5)
    raw = aggregate(shy, 8, calibrated=False).isel(band=0)
    np.testing.assert_allclose(found["std"], 2 * raw["std"], rtol=1e-3)
    np.testing.assert_allclose(found["naive_std"], 2 * raw["naive_std"], rtol=1e-5)
    np.testing.assert_allclose(found["value"], raw["value"], rtol=1e-5)
    assert "factor" not in raw


def test_exceedance_of_a_gaussian_field(field):
    problem, low, _, ds = field
    mean = cells(problem.posterior_mean(torch.from_numpy(low)[None])[0, 0].numpy(), 12, "mean")
    exact = exact_std(problem.posterior_covariance, 12, "mean")
    for sigmas, probability in ((-1, 0.8413), (0, 0.5), (1, 0.1587)):
        found = aggregate(ds, 12, exceed=float(mean[0] + sigmas * exact[0]))
        assert float(found["exceedance"][0, 0]) == pytest.approx(probability, abs=0.03)


def test_rows_of_real_images(grey_model):
    """Two columns differ by half a quantisation step, for rounded input only."""
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 1), dtype=np.uint8)
    rows = image_rows(grey_model, [Picture(pixels, True)], 20, 0)
    assert [row["input"] for row in rows] == ["float32"] * 5 + ["uint8"] * 5
    for row in rows:
        assert 0 <= row["without half a quantum"] <= row["coverage"] <= 1 and row["std"] > 0
        assert row["input"] == "uint8" or row["without half a quantum"] == row["coverage"]
    image = pixels.transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_allclose(true_means(image, 8)[:, 0], cells(image[0], 8, "mean"), rtol=1e-6)
    assert true_means(image, 5).shape == (49, 1)
