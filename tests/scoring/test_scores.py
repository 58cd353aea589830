import numpy as np
import pytest
import scoringrules
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import InvalidProduct
from bayesr.scoring import rules
from tests.scoring.helpers import same


def test_scores_of_a_product(ds, truth, scores):
    """Compare with an independent computation with all members in memory."""
    x, y = ds["samples"].values.astype(float), truth.astype(float)
    mean, std, lower, upper = (ds[name].values.astype(float) for name in ("mean", "std", "lower", "upper"))
    covered = (y >= lower) & (y <= upper)
    crps = scoringrules.crps_ensemble(y, x, m_axis=0, estimator="fair")
    saturated = (y == 0) | (y == 255)
    assert 0.01 < saturated.mean() < 0.98
    expected = {
        "psnr": 10 * np.log10(255**2 / np.mean((mean - y) ** 2)),
        "mae": np.abs(mean - y).mean(),
        "crps_mean": crps.mean(),
        "energy_score": rules.energy_score(x, y),
        "variogram_score": rules.variogram_score(x, y),
        "spread_skill": np.sqrt(9 / 8 * x.var(0, ddof=1).mean() / np.mean((mean - y) ** 2)),
        "coverage_saturated": covered[saturated].mean(),
        "coverage_unsaturated": covered[~saturated].mean(),
    }
    for name, value in expected.items():
        assert float(scores[name]) == pytest.approx(value, rel=1e-6), name
    np.testing.assert_allclose(scores["crps"], crps, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(scores["covered"], covered)
    some = std > 0
    np.testing.assert_allclose(scores["zscore"].values[some], ((y - mean)[some] / std[some]), rtol=1e-6)
    assert float(scores["coverage"].sel(level=0.9)) == pytest.approx(covered.mean())
    assert float(scores["width"].sel(level=0.9)) == pytest.approx((upper - lower).mean(), rel=1e-6)
    assert scores["rank_histogram"].sum() == y.size and scores.sizes["rank"] == 9
    counts = np.histogram(scores["pit"], np.linspace(0, 1, 10))[0]
    np.testing.assert_allclose(scores["rank_histogram"], counts, atol=2)  # float32 on the edges
    assert float(scores["coverage_by_activity"].mean()) == pytest.approx(covered.mean(), abs=0.02)


def test_members_are_drawn_again(model, low, ds, truth, scores):
    bare = ds.drop_vars(["samples", "realization", "mask"])
    with pytest.raises(InvalidProduct, match=r"img=.*keep_samples=True"):
        bayesr.score(bare, truth, dims="byx")
    again = bayesr.score(bare, truth, dims="byx", img=low, model=model)
    same(scores.drop_vars("lr_psnr"), again.drop_vars("lr_psnr"))
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.score(bare, truth, dims="byx", img=low[::-1], model=model)


def test_one_member(model, low, truth):
    scores = bayesr.score(model.sample(low, 1), truth, dims="byx", model=model)
    np.testing.assert_allclose(scores["crps"], np.abs(truth - model.sample(low, 1)["mean"].values), rtol=1e-6)
    for name in ("spread_skill", "ence", "ause_mae", "coverage", "width", "covered", "zscore", "bin_std"):
        assert np.isnan(scores[name]).all(), name
    assert scores.sizes["rank"] == 2 and np.isfinite(scores["energy_score"])


def test_constant_images(ds, model):
    """Without spread, error and texture, nothing is divided by zero, and nothing warns."""
    flat = ds.copy(deep=True)
    for name in flat.data_vars:
        flat[name][:] = 7.0 if name in ("mean", "lower", "upper", "samples") else 0.0
    right = bayesr.score(flat, np.full(ds["mean"].shape, 7, np.uint8), dims="byx", model=model)
    assert right["crps_mean"] == right["mae"] == right["ence"] == right["spectrum_distance"] == 0
    assert (right["zscore"] == 0).all() and (right["covered"] == 1).all() and np.isposinf(right["psnr"])
    assert np.isnan(right["spread_skill"]) and np.isnan(right["ause_mae"])
    wrong = bayesr.score(flat, np.full(ds["mean"].shape, 8, np.uint8), dims="byx", model=model)
    assert wrong["crps_mean"] == 1 and np.isnan(wrong["zscore"]).all() and wrong["spread_skill"] == 0
    assert wrong["rank_histogram"].values[-1] == ds["mean"].size


def test_command(model, low, truth, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    product, reference, out = (str(tmp_path / name) for name in ("p.zarr", "r.npy.tif", "s.zarr"))
    bayesr.sample(low, 4, model=file, store=product, keep_samples=True)
    import tifffile

    tifffile.imwrite(reference, truth.transpose(1, 2, 0), photometric="rgb")
    result = CliRunner().invoke(main, ["score", product, reference, "--out", out, "--model", str(file)])
    assert result.exit_code == 0, result.output
    assert "crps_mean" in result.output and "0.95" in result.output
    assert float(xr.open_zarr(out)["crps_mean"]) > 0
    again = CliRunner().invoke(main, ["score", product, reference, "--out", out])
    assert again.exit_code == 1 and "already there" in again.output
