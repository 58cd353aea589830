import json
import math

import numpy as np
import pytest
import scoringrules
import torch
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import BandMismatch, BayesrError, InvalidArgument, InvalidPixels, InvalidProduct, StoreFailed
from bayesr.observe import bicubic
from bayesr.scoring import members, rules
from bayesr.scoring.description import VARIABLES


@pytest.fixture(scope="module")
def low(photo):
    return photo[:12, :15]


@pytest.fixture(scope="module")
def ds(model, low):
    return model.sample(low, 8)


@pytest.fixture(scope="module")
def truth(ds):
    """A whole-number image near the mean, some of it saturated; `band x y x x`."""
    noise = np.random.default_rng(1).normal(0, 12, ds["mean"].shape)
    return np.clip(np.rint(ds["mean"].values + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scores(ds, truth, model):
    return bayesr.score(ds, truth, dims="byx", model=model)


def same(a, b, tolerance=1e-6):
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=str(name))


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


def test_ssim_by_hand(ds, truth, scores):
    t = np.arange(-5, 6)
    weights = np.exp(-(t**2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    c1, c2, found = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for a, b in zip(ds["mean"].values.astype(float), truth.astype(float), strict=True):
        a, b = (np.lib.stride_tricks.sliding_window_view(v, (11, 11)) for v in (a, b))
        ma, mb = (np.sum(v * weights, (-2, -1)) for v in (a, b))
        va, vb, ab = (np.sum(p * q * weights, (-2, -1)) for p, q in ((a, a), (b, b), (a, b)))
        va, vb, ab = va - ma**2, vb - mb**2, ab - ma * mb
        found.append((2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert float(scores["ssim"]) == pytest.approx(np.mean(found), rel=1e-6)


def test_consistency_with_the_input(ds, truth, scores, low, model):
    x = torch.from_numpy(np.rint(ds["samples"].values).astype(float))
    seen = bicubic(4).observe(x).clamp(0, 255).round().numpy()
    worst = ((seen - low.transpose(2, 0, 1)) ** 2).mean((1, 2, 3)).max()
    given_input = bayesr.score(ds, truth, dims="byx", img=low, model=model)
    assert float(given_input["lr_psnr"]) == pytest.approx(10 * math.log10(255**2 / worst) if worst else math.inf)
    assert float(scores["lr_psnr"]) < 50, "the input was not made from this truth"
    assert "reference" in scores["lr_psnr"].attrs["estimator"]
    assert "was sampled" in given_input["lr_psnr"].attrs["estimator"]


def test_order_of_members_does_not_matter(ds, truth, scores, model):
    shuffled = ds.isel(realization=np.random.default_rng(0).permutation(8))
    assert not np.array_equal(shuffled["samples"], ds["samples"])
    other = bayesr.score(shuffled, truth, dims="byx", model=model)
    same(scores, other)
    np.testing.assert_array_equal(scores["pit"], other["pit"])


def test_from_a_store_in_small_windows(model, low, ds, truth, scores, tmp_path, monkeypatch):
    model.sample(low, 8, store=tmp_path / "p.zarr", keep_samples=True, tile=12)
    stored = xr.open_zarr(tmp_path / "p.zarr")
    monkeypatch.setattr(members, "_WINDOW_BYTES", 4 * 8 * 3 * 16**2)
    places = members.windows(stored["samples"])
    assert len(places) == 12
    seen = np.zeros(ds["mean"].shape[1:], int)
    for rows, columns in places:
        assert rows.start % 16 == 0 and columns.start % 16 == 0
        seen[rows, columns] += 1
    assert (seen == 1).all()
    same(scores, bayesr.score(tmp_path / "p.zarr", truth, dims="byx", model=model), 1e-2)
    windowed = bayesr.score(ds.chunk(realization=1, y=20, x=20), truth, dims="byx", model=model)
    same(scores, windowed)


def test_members_are_drawn_again(model, low, ds, truth, scores):
    bare = ds.drop_vars(["samples", "realization", "mask"])
    with pytest.raises(InvalidProduct, match=r"img=.*keep_samples=True"):
        bayesr.score(bare, truth, dims="byx")
    again = bayesr.score(bare, truth, dims="byx", img=low, model=model)
    same(scores.drop_vars("lr_psnr"), again.drop_vars("lr_psnr"))
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.score(bare, truth, dims="byx", img=low[::-1], model=model)


def test_missing_pixels_are_left_out(ds, truth, model):
    partial = truth.astype(float)
    partial[1, :10, :20] = np.nan  # missing in one band only
    scores = bayesr.score(ds, partial, dims="byx", model=model)
    hole = np.zeros(truth.shape[1:], bool)
    hole[:10, :20] = True
    for name in ("crps", "pit", "covered", "zscore"):
        assert np.isnan(scores[name].values[:, hole]).all()
        defined = np.broadcast_to(~hole, truth.shape)
        if name == "zscore":  # where all members lie at a bound, std is 0
            defined = defined & (ds["std"].values > 0)
        assert np.isfinite(scores[name].values[defined]).all()
    assert scores.attrs["missing_pixels"] == 200
    # Other pixels have the same scores as without missing pixels.
    whole = bayesr.score(ds, truth.astype(float), dims="byx", model=model)
    np.testing.assert_array_equal(scores["crps"].values[:, ~hole], whole["crps"].values[:, ~hole])
    assert float(scores["mae"]) == pytest.approx(np.nanmean(np.abs(partial - ds["mean"].values)[:, ~hole]))
    assert all(np.isfinite(scores[n]).all() for n in ("ssim", "energy_score", "spectrum_distance", "lr_psnr", "ence"))
    assert scores["rank_histogram"].sum() == 3 * (~hole).sum()
    with pytest.raises(InvalidPixels):
        bayesr.score(ds, np.full(truth.shape, np.nan), dims="byx", model=model)


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


def test_mismatched_sizes_and_parts_of_products(ds, truth, low, model, tmp_path):
    with pytest.raises(InvalidArgument, match=r"47 x 60 .* 48 x 60"):
        bayesr.score(ds, truth[:, 1:], dims="byx")
    with pytest.raises(BandMismatch):
        bayesr.score(ds, truth[:1], dims="byx")
    with pytest.raises(InvalidArgument, match="levels"):
        bayesr.score(ds, truth, dims="byx", levels=(1.0,))
    with pytest.raises(InvalidProduct, match="5 of its 8"):
        bayesr.score(ds.isel(realization=slice(5)), truth, dims="byx")
    with pytest.raises(InvalidProduct, match="lower"):
        bayesr.score(ds.drop_vars("lower"), truth, dims="byx")
    with pytest.raises(StoreFailed):
        bayesr.score(tmp_path / "absent.zarr", truth)
    with pytest.raises(StoreFailed):
        bayesr.score(tmp_path, truth)
    part = ds.isel(y=slice(4, 40))
    of_part = bayesr.score(part, truth[:, 4:40], dims="byx", model=model)
    assert np.isfinite(of_part["lr_psnr"])
    bare = part.drop_vars(["samples", "realization", "mask"])
    same(of_part, bayesr.score(bare, truth[:, 4:40], dims="byx", img=low, model=model))
    odd = ds.isel(y=slice(4, 39))
    assert np.isnan(bayesr.score(odd, truth[:, 4:39], dims="byx", model=model)["lr_psnr"]), "no whole number of pixels"
    with pytest.raises(BayesrError, match="another version"):
        bayesr.score(ds, truth, dims="byx", model="natural-x4")


def test_grids_must_agree(model, low, truth):
    dims, n = ("y", "x", "band"), 2
    placed = xr.DataArray(low, dims=dims, coords={"y": 100.0 - np.arange(12), "x": 7.0 + np.arange(15)})
    ds = model.sample(placed, n)
    high = xr.DataArray(truth, dims=("band", "y", "x"), coords={"y": ds["y"].values, "x": ds["x"].values})
    assert bayesr.score(ds, high, model=model)["x"].equals(ds["x"])
    bayesr.score(ds, high.drop_vars(["y", "x"]), model=model)
    with pytest.raises(InvalidProduct, match="another grid"):
        bayesr.score(ds, high.assign_coords(x=high["x"] + 0.25), model=model)


def test_levels(ds, truth, scores, model):
    assert list(scores["level"].values) == [0.5, 0.8, 0.9, 0.95]
    assert (np.diff(scores["width"]) > 0).all() and (np.diff(scores["coverage"]) >= 0).all()
    assert "calibration of tiny" in scores.attrs["interval_source"]
    fallback = bayesr.score(ds, truth, dims="byx", levels=(0.5, 0.999))
    assert "Student" in fallback.attrs["interval_source"], "no model of this name is found"
    too_far = bayesr.score(ds, truth, dims="byx", levels=(0.999,), model=model)
    assert np.isnan(too_far["coverage"]).all(), "60 images do not support this level"


def test_writable_and_documented(scores, tmp_path):
    for name, figure in scores.data_vars.items():
        assert figure.attrs["long_name"] and figure.attrs["estimator"] and figure.attrs["n"] == 8, name
        assert figure.dtype == (np.float32 if figure.dims == ("band", "y", "x") else figure.dtype)
    scores.to_netcdf(tmp_path / "s.nc")
    with xr.open_dataset(tmp_path / "s.nc") as again:
        same(scores, again)
    scores.to_zarr(tmp_path / "s.zarr", consolidated=False)
    same(scores, xr.open_zarr(tmp_path / "s.zarr", consolidated=False))
    json.dumps(scores.attrs)
    assert set(VARIABLES) == set(scores.data_vars)


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
