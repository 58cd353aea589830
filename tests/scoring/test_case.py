import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import BandMismatch, BayesrError, InvalidArgument, InvalidPixels, InvalidProduct, StoreFailed
from tests.scoring.helpers import same


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
