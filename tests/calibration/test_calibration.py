import json

import numpy as np
import PIL.Image
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import bayesr
from bayesr.calibration.calibration import (
    LAMBDAS,
    Calibration,
    FactorFit,
    images_for,
    largest_level,
    missed_curve,
    smallest_lambda,
)
from bayesr.calibration.coverage import BORDER, CoverageRecord, border_class
from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.training.held_out import HeldOut, checksum, gather, matched, read_pairs


def test_factor_finds_the_misfit():
    """Spread that is too small by a known, varying factor."""
    rng = np.random.default_rng(0)
    fit = FactorFit()
    for _ in range(20):
        spread = rng.uniform(0.003, 0.1, (50, 50))
        error = rng.standard_normal((50, 50)) * spread * (1 + spread * 10) * np.sqrt(1 + 1 / 8)
        fit.add(spread**2, error, 8)
    calibration = Calibration(*fit.fit())
    at = np.array([0.01, 0.03, 0.08])
    np.testing.assert_allclose(calibration.factors(at), 1 + 10 * at, rtol=0.05)


def test_calibrated_spread_is_continuous_increasing_and_floored():
    rng = np.random.default_rng(1)
    fit = FactorFit()
    spread = np.exp(rng.normal(-4, 1, (200, 200)))
    fit.add(spread**2, rng.standard_normal((200, 200)) * np.maximum(spread, 0.01), 32)
    calibration = Calibration(*fit.fit())
    at = np.geomspace(1e-6, 1, 20_000)
    calibrated = calibration.factors(at) * at
    assert (np.diff(calibrated) > -1e-6 * calibrated[1:]).all()
    assert np.abs(np.diff(np.log(calibrated))).max() < 0.01
    assert np.isfinite(calibration.factors(np.array([0.0]))).all()
    assert np.isnan(calibration.factors(np.array([np.nan]))).all()


def test_intervals_cover_on_average():
    """Conformal risk control on exchangeable images: over many splits the expected miss rate stays below alpha."""
    rng = np.random.default_rng(2)
    level, missed = 0.9, []
    for _ in range(200):
        sharpness = rng.lognormal(0, 0.3, 31)  # images differ in how wrong their spread is
        error = rng.standard_normal((31, 400)) * sharpness[:, None]
        curves = [missed_curve(np.ones(400), e, 0.0) for e in error[:30]]
        calibration = Calibration(missed={32: np.mean(curves, 0)}, images=30)
        missed.append((np.abs(error[30]) > calibration.half_width(level, 32)).mean())
    standard_error = np.std(missed) / np.sqrt(len(missed))
    assert np.mean(missed) < 1 - level + 2 * standard_error
    assert np.mean(missed) > 0.04, "bounds that cover everything would be no use"


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_intervals_cover_over_random_splits(level):
    """Images whose errors are correlated inside an image, and whose spread is wrong by an image's own factor.

    Every image is exchangeable with the rest by the split alone, so that the bound holds for this one pool.
    """
    rng = np.random.default_rng(4)
    images, kept, splits = 120, 40, 400
    error = gaussian_filter(rng.standard_normal((images, 24, 24)), (0, 2, 2))
    error *= rng.lognormal(0, 0.5, (images, 1, 1)) * np.exp(
        gaussian_filter(rng.standard_normal(error.shape), (0, 4, 4))
    )
    std = rng.lognormal(0, 0.2, error.shape) * error.std()
    curves = np.array([missed_curve(s, e, 0.0) for s, e in zip(std, error, strict=True)])
    ratio = np.abs(error / std).reshape(images, -1)
    covered = []
    for _ in range(splits):
        order = rng.permutation(images)
        calibration = Calibration(missed={32: curves[order[:kept]].mean(0)}, images=kept)
        covered.append((ratio[order[kept:]] <= calibration.half_width(level, 32)).mean())
    binomial = np.std(covered) / np.sqrt(splits)
    assert np.mean(covered) > level - 3 * binomial
    assert np.mean(covered) < level + 2 / (kept + 1) + 3 * binomial, "wider than they must be"


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


def test_missed_curve_counts():
    error, std = np.array([0.0, 0.5, 1.0, 3.0]), np.array([0.0, 1.0, 1.0, 1.0])
    curve = missed_curve(std, error, 0.0)
    assert curve[0] == 0.75 and curve[-1] == 0
    np.testing.assert_array_equal(curve, [(error > lam * std).mean() for lam in LAMBDAS])
    assert missed_curve(std, error, 2.0)[0] == 0.25, "half a quantisation step is inside"


@given(level=st.floats(0.01, 0.99))
def test_images_that_a_level_needs(level):
    needed = images_for(level)
    assert largest_level(needed) >= level - 1e-9
    assert needed == 1 or largest_level(needed - 1) < level


# -- how well the intervals held -----------------------------------------------------------------


def test_border_classes():
    found = border_class(36, 300, 4)
    assert found.shape == (36, 300) and found[0, 150] == found[3, 150] == found[18, 299] == 0 and found[4, 150] == 1
    assert found[17, 150] == BORDER.index(4), "17 rows are 4 pixels from the border, not a fraction more"
    assert border_class(600, 600, 4)[300, 300] == len(BORDER) - 1


@pytest.fixture(scope="module")
def errors():
    rng = np.random.default_rng(5)
    std = rng.lognormal(-3, 0.5, (21, 2, 40, 60))
    return std, rng.standard_normal(std.shape) * std * rng.lognormal(0, 0.2, (21, 1, 1, 1))


def test_coverage_is_that_of_intervals_from_the_other_images(errors):
    """By brute force: lambda from the others, pixels counted one by one."""
    record = CoverageRecord(32, 4)
    for std, error in zip(*errors, strict=True):
        record.add(std, error, 0.01)
    tables = json.loads(json.dumps(record.tables([0.9, 0.954])))
    curves = [missed_curve(std, error, 0.01) for std, error in zip(*errors, strict=True)]
    row = tables["level"].index(0.9)
    covered, widths, held = [], [], np.zeros((2, len(BORDER)))
    for i, (std, error) in enumerate(zip(*errors, strict=True)):
        width = smallest_lambda(np.mean(curves[:i] + curves[i + 1 :], 0), 0.9, 20)
        inside = np.abs(error) <= width * std + 0.005
        covered.append(inside.mean())
        widths.append(2 * width * std.mean() + 0.01)
        classes = np.broadcast_to(border_class(40, 60, 4), inside.shape)
        held += [np.bincount(classes.ravel(), weights, len(BORDER)) for weights in (inside.ravel(), None)]
    # Curves are linear between lambdas 3% apart.
    assert abs(tables["coverage"][row] - np.mean(covered)) < 2e-3
    assert abs(tables["worst"][row] - np.min(covered)) < 5e-3 and abs(tables["median"][row] - np.median(covered)) < 5e-3
    np.testing.assert_allclose(tables["standard_error"][row], np.std(covered, ddof=1) / np.sqrt(21), rtol=0.05)
    np.testing.assert_allclose(tables["width"][row], np.mean(widths), rtol=1e-4)
    near = held[1] > 0
    np.testing.assert_allclose(np.array(tables["border"][row], float)[near], held[0, near] / held[1, near], atol=3e-3)
    assert all(v is None for v in np.array(tables["border"][row])[~near])
    assert tables["coverage"][tables["level"].index(0.954)] is None, "21 images support it, the 20 others do not"


def test_spread_classes_show_the_misfit(errors):
    for factor in (1.0, 0.5):
        record = CoverageRecord(8, 4)
        for std, error in zip(*errors, strict=True):
            record.add(factor * std, error, 0.0)
        tables = record.tables([])
        assert sum(tables["pixels"]) == errors[0].size and len(tables["std"]) == 16
        ratio = np.array(tables["rmse"]) / tables["std"] * factor * np.sqrt(1 + 1 / 8)
        assert (np.diff(tables["std"]) > 0).all() and np.abs(ratio - 1.0).max() < 0.15


def test_missing_pixels_do_not_count(errors):
    """What lies under missing pixels has no say, in any of the sums."""
    std, error = errors[0][0], errors[1][0].copy()
    error[:, :20] = np.nan
    np.testing.assert_array_equal(missed_curve(std, error, 0.0), missed_curve(std[:, 20:], error[:, 20:], 0.0))
    whole, half = FactorFit(), FactorFit()
    whole.add(std**2, error, 32)
    half.add(std[:, 20:] ** 2, error[:, 20:], 32)
    np.testing.assert_array_equal(whole.fit(), half.fit())
    record = CoverageRecord(32, 4)
    record.add(std, error, 0.0)
    assert sum(record.tables([])["pixels"]) == error[:, 20:].size


# -- from pairs to a model -----------------------------------------------------------------------


def scenes(count, bands=3, size=(24, 32)):
    rng = np.random.default_rng(6)
    high = gaussian_filter(rng.random((count, *size, bands)), (0, 2, 2, 0))
    return ((high - high.min()) / (high.max() - high.min()) * 255).round().astype(np.uint8)


def low_of(model, high):
    seen = model.observation.observe(torch.from_numpy(high.astype(np.float64)).movedim(-1, 0)).movedim(0, -1).numpy()
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


def test_half_the_pairs_fit_the_factor_alone(model):
    """Wrong truths in every interval image leave the factor as it was."""
    pairs = [(low_of(model, h), h) for h in scenes(6)]
    first = bayesr.calibrate(model, pairs, levels=(), seed=1).calibration
    order = np.random.default_rng(1).permutation(6)
    changed = [(low, h if i in order[:3] else h[::-1]) for i, (low, h) in enumerate(pairs)]
    second = bayesr.calibrate(model, changed, levels=(), seed=1).calibration
    np.testing.assert_array_equal(first.factor, second.factor)
    assert second.half_width(0.5, 32) > first.half_width(0.5, 32)
    assert first.provenance["pairs_sha256"] != second.provenance["pairs_sha256"]


def test_any_kind_of_image(grey_model, tmp_path):
    """One calibration for photographs as arrays, 16 bits and floats, whose units it does not depend on."""
    high = scenes(4, bands=1)[..., 0]
    low = [low_of(grey_model, h[..., None])[..., 0] for h in high]
    plain = list(zip(low, high, strict=True))
    grey = bayesr.calibrate(grey_model, plain, levels=(), value_range=(0, 255)).calibration
    floats = [(y.astype(np.float32) / 255, h / 255) for y, h in plain]
    in_floats = bayesr.calibrate(grey_model, floats, levels=(), value_range=(0, 1)).calibration
    # Members of floats are not held inside bounds, and their intervals have no quantisation step.
    assert abs(np.median(in_floats.factor / np.interp(in_floats.spread, grey.spread, grey.factor)) - 1) < 0.1
    counts = [(y.astype(np.uint16) * 100 + 1000, h.astype(np.uint16) * 100 + 1000) for y, h in plain]
    pair = read_pairs(grey_model, counts)[0]
    assert pair.low.value_range == (counts[0][0].min(), counts[0][0].max())
    error, std, quantisation_step = pair.errors(grey_model, 8, 0)
    assert error.shape == std.shape == (1, 24, 32) and quantisation_step == 1 / (
        pair.low.value_range[1] - pair.low.value_range[0]
    )
    PIL.Image.fromarray(low[0]).save(tmp_path / "low.png")
    PIL.Image.fromarray(high[0]).save(tmp_path / "high.png")
    assert checksum(read_pairs(grey_model, [(tmp_path / "low.png", PIL.Image.fromarray(high[0]))])) == checksum(
        read_pairs(grey_model, plain[:1])
    )


def test_pixels_without_truth_are_left_out(model):
    high = xr.DataArray(scenes(1)[0], dims=("y", "x", "band"), attrs={"_FillValue": 0})
    high[:5] = 0
    (pair,) = read_pairs(model, [(low_of(model, scenes(1)[0]), high)])
    assert isinstance(pair, HeldOut)
    error, std, _ = pair.errors(model, 2, 0)
    assert np.isnan(error[:, :5]).all() and np.isfinite(error[:, 5:]).any() and np.isfinite(std).all()


@pytest.mark.parametrize(("level", "needed"), [(0.5, 4), (0.9, 18), (0.95, 38), (0.98, 98)])
def test_too_few_pairs_for_a_level(model, level, needed):
    with pytest.raises(InvalidArgument, match=rf"at least {needed}\b"):
        bayesr.calibrate(model, [(None, None)] * (needed - 1), levels=(0.3, level))


def test_pairs_that_do_not_fit_are_refused_before_any_work(model, monkeypatch):
    monkeypatch.setattr(HeldOut, "errors", lambda *_: pytest.fail("work was done"))
    low, high = low_of(model, scenes(1)[0]), scenes(1)[0]
    for bad, error, match in (
        ((high, low), InvalidArgument, r"Pair 3: .* crop it to 96 x 128"),
        ((low[..., 0], high), BandMismatch, "Pair 3"),
        ((low, high[..., 0]), BandMismatch, "Pair 3"),
        (("absent.png", high), bayesr.BayesrError, "Pair 3: There is no file"),
        ((np.zeros((3, 3, 3)), high), bayesr.BayesrError, "Pair 3: Which axis"),
    ):
        with pytest.raises(error, match=match):
            bayesr.calibrate(model, [(low, high)] * 3 + [bad], levels=())
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        bayesr.calibrate(model, [(low, high)] * 4, levels=(90,))


def test_folders_become_pairs(model, tmp_path):
    (tmp_path / "high").mkdir()
    (tmp_path / "low").mkdir()
    for i, high in enumerate(scenes(5)):
        PIL.Image.fromarray(high).save(tmp_path / "high" / f"{i}.png")
        PIL.Image.fromarray(low_of(model, high)).save(tmp_path / "low" / f"{i}.bmp")
    made = read_pairs(model, gather(model, [tmp_path / "high"]))
    found = read_pairs(model, gather(model, [tmp_path / "high"], tmp_path / "low"))
    assert len(made) == 5 and checksum(made) == checksum(found)
    assert len(gather(model, [tmp_path / "high"], limit=2)) == len(gather(model, [tmp_path / "high"], held_out=2)) == 2
    (tmp_path / "low" / "4.bmp").unlink()
    with pytest.raises(InvalidArgument, match="same name: 4"):
        matched([tmp_path / "high"], tmp_path / "low")
    with pytest.raises(InvalidArgument, match="no folder"):
        matched([tmp_path / "absent"], tmp_path / "low")


def test_pixels_that_are_clipped_in_every_member_do_not_stop_a_fit():
    """Dark backgrounds: the members agree on zero there, and a third of all pixels has no spread at all."""
    rng = np.random.default_rng(0)
    raw = rng.uniform(1e-4, 1e-2, 6000)
    raw[:2000] = 0
    fit = FactorFit()
    fit.add(raw, rng.standard_normal(6000) * np.sqrt(raw), 32)
    spread, factor = fit.fit()
    assert spread[0] > 0 and np.isfinite(factor).all()
    assert np.abs(factor - 1).max() < 0.3
