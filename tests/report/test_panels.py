import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayesr import report
from bayesr.report import panels
from bayesr.report.planes import decoded
from tests.report.conftest import data_for, data_of


@given(st.integers(1, 9), st.integers(0, 5), st.integers(0, 5))
def test_block_means_keep_sums_and_leave_missing_pixels_out(side, hidden_y, hidden_x):
    image = np.arange(6 * 7.0).reshape(1, 6, 7)
    image[0, hidden_y, hidden_x] = np.nan
    blocks = panels.block_means(image, side)
    ones = panels.block_means(np.where(np.isnan(image), np.nan, 1.0), side)
    sizes = np.add.reduceat(np.add.reduceat(np.isfinite(image), range(0, 6, side), 1), range(0, 7, side), 2)
    assert np.nansum(blocks * sizes) == pytest.approx(np.nansum(image))
    assert set(ones[np.isfinite(ones)]) <= {1.0}
    assert blocks.shape[1:] == (-(-6 // side), -(-7 // side))


@pytest.mark.parametrize("factor", [1, 3])
def test_reading_piece_by_piece_is_reading_at_once(ds, factor, monkeypatch):
    view = panels.View(slice(4, 60), slice(8, 88), factor)
    monkeypatch.setattr(panels, "_READ", 7)
    expected = panels.block_means(ds["std"][:, 4:60, 8:88].to_numpy(), factor)
    np.testing.assert_allclose(panels.downsampled(ds["std"], view), expected, rtol=1e-6)
    assert view.shape == expected.shape[1:]


def test_maps_that_follow_from_others_are_not_stored(ds, tmp_path):
    found = data_for(ds, tmp=tmp_path / "x.html")
    assert not {"lower", "upper"} & found["planes"].keys()
    how = found["intervals"]
    mean, std = (decoded(found["planes"][name]) for name in ("mean", "std"))
    slack = found["planes"]["mean"]["step"] / 2 + how["factor"] * found["planes"]["std"]["step"] / 2 + 1e-3
    reach = how["factor"] * std + how["pad"]
    np.testing.assert_allclose(np.clip(mean - reach, *how["bounds"]), ds["lower"], atol=slack)
    np.testing.assert_allclose(np.clip(mean + reach, *how["bounds"]), ds["upper"], atol=slack)
    factor = found["planes"]["calibration"]
    np.testing.assert_allclose(decoded(factor), ds["calibration"], atol=factor["step"] / 2 + 1e-6)


def test_intervals_that_follow_no_formula_are_stored(ds, tmp_path):
    changed = ds.assign(lower=ds["lower"] - 20 * (ds["y"] > 8))
    found = data_for(changed, tmp=tmp_path / "x.html")
    assert found["intervals"] is None
    plane = found["planes"]["lower"]
    np.testing.assert_allclose(decoded(plane), changed["lower"], atol=plane["step"] / 2 + 1e-3)


def test_variances_keep_their_sign_and_the_precision_of_their_root(ds, tmp_path):
    plane = data_for(ds, tmp=tmp_path / "x.html")["planes"]["epistemic"]
    signed = np.sign(ds["epistemic"]) * np.sqrt(np.abs(ds["epistemic"]))
    back = decoded(plane)
    np.testing.assert_allclose(np.sign(back) * np.sqrt(np.abs(back)), signed, atol=plane["step"] / 2 + 1e-4)
    assert (back < 0).any()


def test_a_page_of_a_million_pixels_stays_below_8_mb(tmp_path):
    """Noise, which compresses worst, in three bands and eight members."""
    rng, shape = np.random.default_rng(0), (3, 1024, 1024)
    mean = rng.uniform(0, 255, shape).astype(np.float32)
    std = rng.uniform(1, 20, shape).astype(np.float32)
    member = mean + rng.normal(0, 1, shape).astype(np.float32) * std
    one = xr.DataArray(member.clip(0, 255), dims=("band", "y", "x"))
    arrays = {
        "mean": mean, "std": std, "lower": mean - 2 * std, "upper": mean + 2 * std, "calibration": std / 10,
        "aleatoric": std**2, "epistemic": rng.normal(0, 9, shape).astype(np.float32),
    }  # fmt: skip
    centres = np.arange(1024) + 0.5
    variables = {name: (("band", "y", "x"), values) for name, values in arrays.items()}
    made = xr.Dataset(variables, {"y": centres, "x": centres})
    made["samples"] = one.expand_dims(realization=8)
    made.attrs = {
        "value_range": [0.0, 255.0],
        "n": 8,
        "masks": 4,
        "seed": 0,
        "level": 0.9,
        "scale": 4,
        "quantisation_step": 1.0,
    }
    out = report.write(made, tmp_path / "noise.html")
    assert out.stat().st_size < 8_000_000
    found = data_of(out)
    assert found["factor"] > 1 or found["averaged"]  # which the page says
    assert found["members"]["numbers"]


def test_no_side_is_longer_than_that_of_a_picture():
    ds = xr.Dataset({"mean": (("band", "y", "x"), np.broadcast_to(np.float32(0), (1, 40, 20000)))})
    assert panels.view_of(ds) == panels.View(slice(0, 40), slice(0, 20000), 2)
    assert panels.names_of_bands(ds) == ["0"]
