import json
import random

import numpy as np
import pytest
import torch
import xarray as xr

from bayesr import product
from bayesr.errors import BayesrError


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
                 "masks", "seed", "level", "value_range", "forward_operator", "engine",
                 "calibration_source"):  # fmt: skip
        assert name in ds.attrs, name
    assert (ds.attrs["scale"], ds.attrs["n"], ds.attrs["masks"], ds.attrs["value_range"]) == (4, 32, 8, [0, 255])


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
    assert (ds["mean"].attrs["units"], ds["variance"].attrs["units"]) == ("counts", "counts2")
    assert list(ds["band"].values) == ["r", "g", "b"]


def test_constant_and_tiny_images(model):
    for shape in ((1, 1), (1, 9), (5, 1), (8, 8)):
        ds = model.sample(np.full((3, *shape), 7.0, np.float32), 2, dims="byx")
        assert ds["mean"].shape == (3, 4 * shape[0], 4 * shape[1]) and np.isfinite(ds["std"]).all()


def test_attributes_are_plain(ds):
    json.dumps(dict(ds.attrs))
    assert json.loads(ds.attrs["forward_operator"]) == {"kernel": "bicubic", "scale": 4}


def test_every_refusal_is_a_bayesr_error(model):
    for bad in (None, 3, "absent.png", np.zeros((2, 2, 2, 2, 2))):
        with pytest.raises(BayesrError):
            model.sample(bad, 2)
