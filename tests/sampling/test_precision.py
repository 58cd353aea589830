"""Scenario: images whose values single precision cannot hold are sampled, stored, extended, scored and measured."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import UnfamiliarInput

MODEL = "fluorescence-x4"


@pytest.fixture(scope="module")
def counts():
    """Smooth spots, 16 x 20, uint8."""
    y, x = np.mgrid[:16, :20]
    return (20 + 180 * np.exp(-((y - 7) ** 2 + (x - 9) ** 2) / 20)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _small_images_are_unfamiliar():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        yield


def moved(counts, dtype, factor=1.0, offset=0.0):
    if np.dtype(dtype).kind == "f":
        return (counts * factor + offset).astype(dtype)
    return counts.astype(dtype) * dtype(factor) + dtype(offset)


@pytest.fixture(scope="module")
def plain(counts):
    """The product without an offset, with the value range of the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        return bayesr.sample(
            counts.astype(np.uint16), 4, model=MODEL, value_range=(float(counts.min()), float(counts.max()))
        )


@pytest.mark.parametrize(
    ("dtype", "factor", "offset", "single"),
    [
        (np.uint32, 1, 4_000_000_000, False),
        (np.float64, 1, 1e9, False),
        (np.int64, 1, -(2**40), False),
        (np.float64, 1 / 255, 1737400, False),
        (np.float64, 1e-20, 0, False),
        (np.float64, 1e25, 0, False),
        (np.uint16, 100, 0, True),
        (np.float32, 1 / 255, 0, True),
        (np.float64, 1e-9, 0, True),
    ],
)
def test_products_hold_a_thousandth_of_the_range(counts, plain, dtype, factor, offset, single):
    image = moved(counts, dtype, factor, offset)
    ds = bayesr.sample(image, 4, model=MODEL, dims="yx")
    assert {values.dtype for values in ds.data_vars.values()} == {np.dtype(np.float32 if single else np.float64)}
    low, high = (float(end) for end in (image.min(), image.max()))
    unit = (high - low) / (float(counts.max()) - float(counts.min()))
    for name, power in (("mean", 1), ("std", 1), ("variance", 2), ("samples", 1)):
        found, expected = ds[name].astype(float), plain[name].astype(float)
        if name in ("mean", "samples"):
            found, expected = found - low, expected - float(counts.min())
        np.testing.assert_allclose(found / unit**power, expected, rtol=2e-3, atol=0.2, err_msg=name)
    half = (float(ds["upper"][0, 8, 8]) - float(ds["mean"][0, 8, 8])) / unit
    step = 0.5 / unit if np.dtype(dtype).kind in "ui" else 0.0
    expected = float(plain["upper"][0, 8, 8]) - float(plain["mean"][0, 8, 8]) - 0.5
    np.testing.assert_allclose(half - step, expected, rtol=0.01)


def test_stores_keep_double_precision(counts, tmp_path):
    image = moved(counts, np.uint32, 1, 4_000_000_000)
    how = {"model": MODEL, "dims": "yx"}
    whole = bayesr.sample(image, 8, masks=2, **how)
    stored = bayesr.sample(image, 4, masks=2, store=tmp_path / "a.zarr", keep_samples=True, tile=8, **how)
    assert stored["mean"].dtype == np.float64 and bayesr.check(tmp_path / "a.zarr").sound
    np.testing.assert_allclose(bayesr.replay(stored, 3, image), stored["samples"][3], atol=2e-3)
    more = bayesr.extend(tmp_path / "a.zarr", 8)
    for name in ("mean", "std", "lower", "upper", "samples", "aleatoric"):
        np.testing.assert_allclose(more[name], whole[name], rtol=1e-3, atol=5e-3, err_msg=name)
    short = bayesr.sample(image, 4, store=tmp_path / "b.zarr", keepbits=12, **how)
    assert float(np.abs(short["mean"] - whole["mean"]).max()) < 4e9 * 2.0**-12


def test_bounds_of_the_type_hold_with_an_offset(counts):
    ds = bayesr.sample(moved(counts, np.uint32, 1, 2**32 - 201), 4, model=MODEL, dims="yx")
    assert ds["samples"].max() <= 2**32 - 1 and ds["upper"].max() <= 2**32 - 1


def test_scores_and_measurements_do_not_depend_on_the_offset(counts):
    truth = np.kron(counts, np.ones((4, 4), np.uint8)).astype(np.float64)
    low, ranges = counts.astype(np.float64), {"value_range": (0.0, 255.0)}
    far = {"value_range": (1e9, 1e9 + 255)}
    near_ds = bayesr.sample(low, 20, model=MODEL, dims="yx", **ranges)
    far_ds = bayesr.sample(low + 1e9, 20, model=MODEL, dims="yx", **far)
    near, other = bayesr.score(near_ds, truth), bayesr.score(far_ds, truth + 1e9)
    for name in ("psnr", "ssim", "crps_mean", "coverage", "spread_skill", "lr_psnr"):
        np.testing.assert_allclose(near[name], other[name], rtol=2e-3, atol=1e-3, err_msg=name)
    a, b = bayesr.aggregate(near_ds, 16), bayesr.aggregate(far_ds, 16)
    np.testing.assert_allclose(a["value"], b["value"] - 1e9, atol=1e-3)
    np.testing.assert_allclose(a["std"], b["std"], atol=1e-3)
    for segmenter in ("otsu", "nuclei", lambda image: image[0] > image.mean() + 20):
        c, d = (bayesr.segment(ds, segmenter) for ds in (near_ds, far_ds))
        np.testing.assert_allclose(c["probability"], d["probability"], atol=0.06)
    e, f = (bayesr.components(ds, 2) for ds in (near_ds, far_ds))
    np.testing.assert_allclose(e["share"], f["share"], rtol=1e-3)
    assert f["mean"].dtype == np.float64


def test_reports_show_what_an_offset_hides(counts, tmp_path):
    from bayesr.report import write
    from bayesr.report.planes import decoded
    from tests.report.conftest import data_of

    image = moved(counts, np.float64, 1, 1e9)
    ds = bayesr.sample(image, 4, model=MODEL, dims="yx")
    data = data_of(write(ds, tmp_path / "a.html", img=image))
    np.testing.assert_allclose(decoded(data["planes"]["mean"]), ds["mean"], rtol=0, atol=0.5)
    np.testing.assert_allclose(decoded(data["input"]), image[None], rtol=0, atol=0.5)


def test_metadata_that_stores_cannot_hold_become_text(counts, tmp_path):
    import datetime

    array = xr.DataArray(
        counts, dims=("y", "x"),
        coords={"y": ("y", np.arange(16.0), {"measured": datetime.datetime(2026, 1, 2)}), "x": np.arange(20.0),
                "spatial_ref": ((), 0, {"crs_wkt": "W", "made": np.datetime64("2026-01-02"), "by": object()})},
    )  # fmt: skip
    ds = bayesr.sample(array, 2, model=MODEL, store=tmp_path / "a.zarr")
    assert ds["y"].attrs["measured"] == "2026-01-02T00:00:00" and ds["spatial_ref"].attrs["made"] == "2026-01-02"
    ds.load().to_netcdf(tmp_path / "a.nc")
