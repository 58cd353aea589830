import copy
import json
import random

import numpy as np
import pytest
import torch
import xarray as xr

import bayesr
from bayesr import product
from bayesr.errors import BandMismatch, BayesrError, InvalidArgument, InvalidProduct, NotStochastic, TooLarge
from tests.conftest import make_model


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo, 32)


def test_contract_of_the_product(ds, photo):
    assert list(ds.data_vars) == [*product.VARIABLES, "samples"]
    for name in product.VARIABLES:
        assert ds[name].dims == ("band", "y", "x") and ds[name].shape == (3, 92, 120)
    assert ds["samples"].dims == ("realization", "band", "y", "x") and ds["samples"].shape[0] == 32
    assert all(v.dtype == np.float32 for v in ds.data_vars.values())
    np.testing.assert_array_equal(ds["y"], (np.arange(92) + 0.5) / 4)
    np.testing.assert_array_equal(ds["x"], (np.arange(120) + 0.5) / 4)
    np.testing.assert_array_equal(ds["realization"], np.arange(32))
    np.testing.assert_array_equal(ds["mask"], np.arange(32) % 8)
    assert ds["realization"].attrs["standard_name"] == "realization"
    assert ds["mean"].attrs["cell_methods"] == "realization: mean"
    assert ds["calibration"].attrs["units"] == "1"
    for name in ("Conventions", "history", "bayesr_version", "model", "model_sha256", "input_sha256", "scale", "n",
                 "masks", "seed", "level", "value_range", "observation", "engine", "calibration_source"):  # fmt: skip
        assert name in ds.attrs, name
    assert (ds.attrs["scale"], ds.attrs["n"], ds.attrs["masks"], ds.attrs["value_range"]) == (4, 32, 8, [0, 255])


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


@pytest.mark.parametrize(("n", "masks"), [(1, 1), (2, 1), (3, 3), (5, 1), (6, 3)])
def test_small_ensembles(model, photo, n, masks):
    ds = model.sample(photo, n, masks=masks)
    assert np.isfinite(ds["mean"]).all()
    split = masks > 1 and n // masks > 1
    assert np.isfinite(ds["aleatoric"]).all() == np.isfinite(ds["epistemic"]).all() == split
    assert np.isfinite(ds["std"]).all() == np.isfinite(ds["lower"]).all() == (n > 1)
    if n > 1 and not split:
        raw = ds["samples"].var("realization", ddof=1)
        np.testing.assert_allclose(ds["variance"], ds["calibration"] ** 2 * raw, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_member_explains_the_input(model, dtype):
    """A x = y to float accuracy for each member, in the units of a float image."""
    y = np.random.default_rng(1).normal(40, 12, (3, 20, 26)).astype(dtype)
    ds = model.sample(y, 8)
    assert float(ds["samples"].std("realization").mean()) > 0.1
    seen = model.observation.observe(torch.from_numpy(ds["samples"].values)).numpy()
    assert np.abs(seen - y).max() < 1e-5 * (y.max() - y.min())


def test_members_of_integer_images_stay_inside_and_consistent(model, photo):
    assert (photo == 255).any() and (photo == 0).any()
    x = torch.from_numpy(model.sample(photo, 8)["samples"].values)
    assert x.min() >= 0 and x.max() <= 255
    error = model.observation.observe(x.round()) - torch.from_numpy(photo).permute(2, 0, 1)
    psnr = 10 * torch.log10(255**2 / error.pow(2).mean((1, 2, 3)))
    assert psnr.min() >= 58


def test_counts_in_counts_out(model):
    y = np.random.default_rng(1).integers(9000, 12100, (3, 16, 16), dtype=np.uint16)
    ds = model.sample(y, 4)
    assert ds.attrs["value_range"] == [float(y.min()), float(y.max())]
    assert 9000 < float(ds["mean"].mean()) < 12100
    seen = model.observation.observe(torch.from_numpy(ds["samples"].values)).numpy()
    assert np.abs(seen - y).max() < 1e-4 * 3100


def disagreement(found, expected, name):
    """The largest difference of a variable, in value ranges; of the factor, what it makes of a standard deviation."""
    low, high = expected.attrs["value_range"]
    if name == "calibration":
        error = np.abs(found[name] / expected[name] - 1) * expected["std"] / (high - low)
    else:
        power = 2 if name in ("variance", "aleatoric", "epistemic") else 1
        error = np.abs(found[name] - expected[name]) / (high - low) ** power
    return float(error.max())


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
@pytest.mark.parametrize("name", ["natural-x4", "fluorescence-x4", "aerial-x4"])
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


def test_members_do_not_depend_on_n(model, photo):
    many, few = model.sample(photo, 12, masks=2), model.sample(photo, 4, masks=2)
    np.testing.assert_allclose(few["samples"], many["samples"][:4], atol=255e-5)


def test_members_depend_on_seed_latent_and_mask(model, photo):
    x = model.sample(photo, 4, masks=2)["samples"].values
    y = model.sample(photo, 4, masks=2, seed=1)["samples"].values
    assert all(np.abs(a - b).max() > 1 for a, b in [(x[0], x[1]), (x[0], x[2]), (x[0], y[0])])


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"masks": 4}])
def test_replay_is_bit_exact(model, photo, options):
    ds = model.sample(photo, 12, **options)
    for i in (0, 5, 11):
        again = bayesr.replay(ds, i, photo, model=model)
        np.testing.assert_array_equal(again, ds["samples"].sel(realization=i))
        xr.testing.assert_equal(again["x"].drop_vars("realization"), ds["x"])


def test_replay_refuses_strangers(model, photo, ds):
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.replay(ds, 0, photo[:, ::-1], model=model)
    with pytest.raises(InvalidArgument, match="0 to 31"):
        bayesr.replay(ds, 32, photo, model=model)
    with pytest.raises(InvalidProduct, match="n"):
        bayesr.replay(xr.Dataset(), 0, photo, model=model)
    other = copy.copy(model)
    object.__setattr__(other, "sha256", "1" * 64)
    with pytest.raises(InvalidProduct, match="another version"):
        bayesr.replay(ds, 0, photo, model=other)


def test_no_side_effects(model, photo):
    state = {k: v.clone() for k, v in model.generator.state_dict().items()}
    modes = [m.training for m in model.generator.modules()]
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    np.random.seed(0)  # noqa: NPY002, the global state is what is watched
    random.seed(0)
    torch.manual_seed(0)
    before = (np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state())  # noqa: NPY002
    image = photo.copy()
    first = model.sample(image, 4)
    second = model.sample(image, 4)
    xr.testing.assert_equal(first, second)
    np.testing.assert_array_equal(image, photo)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert random.getstate() == before[1] and torch.equal(torch.get_rng_state(), before[2])
    assert modes == [m.training for m in model.generator.modules()]
    assert all(torch.equal(v, state[k]) for k, v in model.generator.state_dict().items())
    assert (threads, grad) == (torch.get_num_threads(), torch.is_grad_enabled())


def test_one_band_model_takes_any_number(grey_model, photo):
    both = grey_model.sample(photo, 4)
    one = grey_model.sample(photo[..., 1], 4)
    assert both["samples"].shape[1] == 3
    np.testing.assert_allclose(both["samples"][:, 1], one["samples"][:, 0], atol=255e-5)


def test_nodata_stays_nodata(model):
    y = np.random.default_rng(3).random((3, 12, 14)).astype(np.float32)
    y[0, 4, 5] = np.nan
    ds = model.sample(y, 4, nodata=np.nan)
    hole = np.zeros((48, 56), bool)
    hole[16:20, 20:24] = True
    for name in ds.data_vars:
        np.testing.assert_array_equal(np.isnan(ds[name].values), np.broadcast_to(hole, ds[name].shape))
    np.testing.assert_array_equal(bayesr.replay(ds, 3, y, model=model), ds["samples"].sel(realization=3))


def test_coordinates_and_georeference_are_rewritten(model):
    array = xr.DataArray(
        np.random.default_rng(0).integers(0, 99, (3, 10, 12), dtype=np.uint16), dims=("band", "y", "x"),
        coords={"band": ["r", "g", "b"], "x": 500_005.0 + 10 * np.arange(12), "y": 4_000_095.0 - 10 * np.arange(10),
                "spatial_ref": ((), 0, {"crs_wkt": "WKT", "GeoTransform": "500000 10 0 4000100 0 -10"})},
        attrs={"units": "counts"},
    )  # fmt: skip
    ds = model.sample(array, 2)
    np.testing.assert_array_equal(ds["x"], 500_001.25 + 2.5 * np.arange(48))
    np.testing.assert_array_equal(ds["y"], 4_000_098.75 - 2.5 * np.arange(40))
    assert list(map(float, ds["spatial_ref"].attrs["GeoTransform"].split())) == [5e5, 2.5, 0, 4_000_100, 0, -2.5]
    assert ds["spatial_ref"].attrs["crs_wkt"] == "WKT" and ds["mean"].attrs["grid_mapping"] == "spatial_ref"
    assert (ds["mean"].attrs["units"], ds["variance"].attrs["units"]) == ("counts", "(counts)2")
    assert list(ds["band"].values) == ["r", "g", "b"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n": 0}, "at least 1"),
        ({"n": 2.5}, "whole"),
        ({"masks": 5}, "divide"),
        ({"masks": 0}, "divide"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"level": 0.999}, "999 calibration images"),
        ({"seed": -1}, "seed"),
        ({"tile": 0}, "tile"),
        ({"device": "abacus"}, "device"),
        ({"value_range": (3, 1)}, "value_range"),
        ({"overwrite": True, "resume": True, "store": "x.zarr"}, "contradict"),
    ],
)
def test_bad_arguments(model, photo, options, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=match):
        model.sample(photo, **({"n": 4} | options))
    assert list(tmp_path.iterdir()) == []


def test_bad_bands_and_models(model, photo):
    with pytest.raises(BandMismatch, match=r"np\.repeat"):
        model.sample(photo[..., 0], 2)
    point = make_model(head_blocks=0)
    with pytest.raises(NotStochastic, match="n=1"):
        point.sample(photo, 2)
    assert np.isfinite(point.sample(photo, 1)["mean"]).all()


def test_a_result_too_large_for_memory_is_refused(model, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(TooLarge, match="store="):
        model.sample(np.zeros((8, 8, 3), np.uint8), 2)


def test_constant_and_tiny_images(model):
    for shape in ((1, 1), (1, 9), (5, 1), (8, 8)):
        ds = model.sample(np.full((3, *shape), 7.0, np.float32), 2, dims="byx")
        assert ds["mean"].shape == (3, 4 * shape[0], 4 * shape[1]) and np.isfinite(ds["std"]).all()


def test_attributes_are_plain(ds):
    json.dumps(dict(ds.attrs))
    assert json.loads(ds.attrs["observation"]) == {"kernel": "bicubic", "scale": 4}


def test_every_refusal_is_a_bayesr_error(model):
    for bad in (None, 3, "absent.png", np.zeros((2, 2, 2, 2, 2))):
        with pytest.raises(BayesrError):
            model.sample(bad, 2)
