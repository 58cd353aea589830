import json

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.calibration.intervals import LAMBDAS
from bayesr.errors import InvalidArgument


@given(level=st.floats(0.05, 0.95), n=st.integers(2, 300))
def test_wider_for_higher_levels_and_fewer_members(level, n):
    calibration = Calibration(missed={k: np.exp(-LAMBDAS * (1 - 1 / k)) for k in (2, 8, 32)}, images=99)
    width = calibration.half_width(level, n)
    assert calibration.half_width(min(level + 0.02, 0.97), n) > width >= 0
    assert calibration.half_width(level, n + 1) <= width


def test_levels_beyond_the_images_are_refused():
    calibration = Calibration(missed={32: np.exp(-LAMBDAS)}, images=60)
    assert calibration.half_width(60 / 61, 32) > 0
    with pytest.raises(InvalidArgument, match="99 calibration images"):
        calibration.half_width(0.99, 32)


def test_uncalibrated_intervals_are_gaussian():
    rng = np.random.default_rng(3)
    for n in (4, 32):
        x = rng.standard_normal((n + 1, 100_000))
        inside = np.abs(x[n] - x[:n].mean(0)) < Calibration().half_width(0.9, n) * x[:n].std(0, ddof=1)
        assert abs(inside.mean() - 0.9) < 0.005


def scenes(count, bands=3, size=(24, 32)):
    rng = np.random.default_rng(6)
    high = gaussian_filter(rng.random((count, *size, bands)), (0, 2, 2, 0))
    return ((high - high.min()) / (high.max() - high.min()) * 255).round().astype(np.uint8)


def low_of(model, high):
    seen = (
        model.forward_operator.observe(torch.from_numpy(high.astype(np.float64)).movedim(-1, 0)).movedim(0, -1).numpy()
    )
    return np.clip(np.round(seen), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def calibrated(model):
    high = scenes(10)
    return bayesr.calibrate(model, [(low_of(model, h), h) for h in high], levels=(0.5, 0.8), source="clouds", seed=3)


def test_calibration_as_a_dataset(calibrated, tmp_path):
    calibration = calibrated.calibration
    ds = calibration.dataset()
    assert dict(ds.sizes) == {"level": 8, "n": 6, "raw_std": 64, "border": 7, "spread": ds.sizes["spread"]}
    for name, value in {"images": 5, "factor_images": 5,
                        "members": [2, 4, 8, 16, 32, 128], "source": "clouds", "seed": 3, "model": "tiny",
                        "bayesr_version": bayesr.__version__, "largest_level": 5 / 6}.items():  # fmt: skip
        assert ds.attrs[name] == value
    assert {"date", "pairs_sha256", "model_sha256", "Conventions"} & set(ds.attrs) >= {"date", "pairs_sha256"}
    for level in (0.5, 0.8):
        for n in (4, 32):
            assert float(ds["lambda"].sel(level=level, n=n)) == calibration.half_width(level, n)
    assert float(ds["coverage"].sel(level=0.5)) > 0.5 and (ds["worst"] <= ds["median"]).all()
    assert (np.diff(ds["width"]) > 0).all() and (np.diff(ds["coverage"]) > 0).all()
    xr.testing.assert_identical(Calibration.from_description(calibration.describe()).dataset()["border"], ds["border"])
    assert len(json.dumps(dict(calibration.coverage))) < 6000
    ds.to_zarr(tmp_path / "c.zarr", consolidated=False)
    ds.to_netcdf(tmp_path / "c.nc")
    for again in (xr.open_zarr(tmp_path / "c.zarr", consolidated=False), xr.open_dataset(tmp_path / "c.nc")):
        xr.testing.assert_allclose(again, ds)
        assert again.attrs["source"] == "clouds"


def test_calibration_travels_with_the_model(calibrated, photo, tmp_path):
    again = bayesr.load(calibrated.save(tmp_path / "tiny.safetensors"))
    assert again.calibration.describe() == calibrated.calibration.describe()
    assert again.sample(photo, 2, level=0.8).attrs["calibration_source"] == "clouds"


def test_calibrations_of_before_coverage_was_recorded(model):
    plain = {k: v for k, v in model.calibration.describe().items() if k not in ("coverage", "provenance")}
    ds = Calibration.from_description(plain).dataset()
    assert {"lambda", "factor"} == set(ds.data_vars) and "calibrate the model again" in ds.attrs["comment"]
    with pytest.raises(InvalidArgument, match="not calibrated"):
        Calibration().dataset()
