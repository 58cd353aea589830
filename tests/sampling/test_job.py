import numpy as np
import pytest
import torch

import bayesr
from tests.sampling.helpers import disagreement


def test_moments_are_those_of_the_members(ds):
    """An independent computation, in double precision, from the members themselves."""
    x = ds["samples"].values.astype(np.float64).reshape(4, 8, *ds["mean"].shape)  # member i has mask i % 8
    mean_k, var_k = x.mean(0), x.var(0, ddof=1)
    aleatoric = var_k.mean(0)
    raw = (1 - 1 / 4) * aleatoric + mean_k.var(0, ddof=1)
    np.testing.assert_allclose(ds["mean"], x.mean((0, 1)), atol=1e-3)
    np.testing.assert_allclose(ds["aleatoric"], aleatoric, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ds["epistemic"], raw - aleatoric, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ds["variance"], ds["calibration"].values.astype(float) ** 2 * raw, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ds["std"], np.sqrt(ds["variance"]), rtol=1e-5)
    assert float(ds["epistemic"].max()) > 0


def test_intervals(ds, model):
    width = model.calibration.half_width(0.9, 32)
    lower = np.clip(ds["mean"] - width * ds["std"] - 0.5, 0, 255)
    upper = np.clip(ds["mean"] + width * ds["std"] + 0.5, 0, 255)
    np.testing.assert_allclose(ds["lower"], lower, atol=1e-3)
    np.testing.assert_allclose(ds["upper"], upper, atol=1e-3)


def test_counts_in_counts_out(model):
    y = np.random.default_rng(1).integers(9000, 12100, (3, 16, 16), dtype=np.uint16)
    ds = model.sample(y, 4)
    assert ds.attrs["value_range"] == [float(y.min()), float(y.max())]
    assert 9000 < float(ds["mean"].mean()) < 12100
    seen = model.forward_operator.observe(torch.from_numpy(ds["samples"].values)).numpy()
    assert np.abs(seen - y).max() < 1e-4 * 3100


@pytest.mark.parametrize("holes", [False, True])
def test_tiles_do_not_show(model, holes):
    y = np.random.default_rng(2).random((3, 70, 83)).astype(np.float32)
    if holes:  # a large one across tiles, one at a border, and single pixels
        y[:, 20:68, 30:80] = y[:, 40:50, :3] = y[:, ::7, ::9] = np.nan
    whole = model.sample(y, 4, value_range=(0, 1), nodata=np.nan)
    for tile in (32, 100):
        tiled = model.sample(y, 4, value_range=(0, 1), nodata=np.nan, tile=tile)
        for name in whole.data_vars:
            assert disagreement(tiled, whole, name) < 1e-5, name
            assert np.isfinite(tiled[name]).mean() == np.isfinite(y).mean() == np.isfinite(whole[name]).mean(), name


@pytest.mark.filterwarnings("ignore::bayesr.errors.UnfamiliarInput")
@pytest.mark.parametrize("name", [info.name for info in bayesr.models()])
def test_tiles_of_bundled_models_do_not_show(name):
    """To 1e-5 of the value range, for every member and every variable, at borders and corners of all kinds."""
    network = bayesr.load(name)
    y, x = np.mgrid[0:104, 0:132] / 132
    grain = np.random.default_rng(0).normal(0, 0.04, (104, 132, 3))
    scene = np.stack(
        [x + 0.2 * np.sin(9 * y + 40 * x * y), 1.1 * y + 0.1 * np.sin(60 * x), 0.5 + 0.6 * np.sign(x - y) * x]
    )
    img = (np.clip(scene.transpose(1, 2, 0) + grain, 0, 1) * 255).astype(np.uint8)[..., : network.bands]
    whole = network.sample(img, 4, tile=132, dims="yxb")
    for tile in (32, 64, 100):
        found = network.sample(img, 4, tile=tile, dims="yxb")
        for variable in whole:
            assert disagreement(found, whole, variable) < 1e-5, (tile, variable)


def test_nodata_stays_nodata(model):
    y = np.random.default_rng(3).random((3, 12, 14)).astype(np.float32)
    y[0, 4, 5] = np.nan
    ds = model.sample(y, 4, nodata=np.nan)
    hole = np.zeros((48, 56), bool)
    hole[16:20, 20:24] = True
    for name in ds.data_vars:
        np.testing.assert_array_equal(np.isnan(ds[name].values), np.broadcast_to(hole, ds[name].shape))
    np.testing.assert_array_equal(bayesr.replay(ds, 3, y, model=model), ds["samples"].sel(realization=3))
