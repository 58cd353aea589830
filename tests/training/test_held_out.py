import numpy as np
import PIL.Image
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

import bayesr
from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.observe import bicubic, gaussian
from bayesr.training.held_out import HeldOutPair, checksum, gather, make_pair, match_files, read_pairs


def scenes(count, bands=3, size=(24, 32)):
    rng = np.random.default_rng(6)
    high = gaussian_filter(rng.random((count, *size, bands)), (0, 2, 2, 0))
    return ((high - high.min()) / (high.max() - high.min()) * 255).round().astype(np.uint8)


def low_of(model, high):
    seen = (
        model.forward_operator.observe(torch.from_numpy(high.astype(np.float64)).movedim(-1, 0)).movedim(0, -1).numpy()
    )
    return np.clip(np.round(seen), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("operator", [bicubic(4), bicubic(2), gaussian(scale=3, sigma=1.5)])
def test_a_pair_is_the_exact_image_rounded_once(operator):
    """``low = round(A high)`` in double precision, so that only halves of grey levels are rounded in either way."""
    high = np.random.default_rng(0).integers(0, 256, (50, 61, 3), np.uint8)
    low, kept = make_pair(high, operator)
    height, width = (size // operator.scale * operator.scale for size in high.shape[:2])
    np.testing.assert_array_equal(kept, high[:height, :width])
    seen = operator.observe(torch.from_numpy(kept.astype(np.float64)).movedim(-1, 0)).movedim(0, -1).numpy()
    assert low.dtype == kept.dtype == np.uint8 and low.shape == (*seen.shape[:2], 3)
    assert np.abs(low - seen.clip(0, 255)).max() <= 0.5 + 1e-9


def test_half_the_pairs_fit_the_factor_alone(model):
    """Wrong truths in the images for intervals do not change the factor."""
    pairs = [(low_of(model, h), h) for h in scenes(6)]
    first = bayesr.calibrate(model, pairs, levels=(), seed=1).calibration
    order = np.random.default_rng(1).permutation(6)
    changed = [(low, h if i in order[:3] else h[::-1]) for i, (low, h) in enumerate(pairs)]
    second = bayesr.calibrate(model, changed, levels=(), seed=1).calibration
    np.testing.assert_array_equal(first.factor, second.factor)
    assert second.half_width(0.5, 32) > first.half_width(0.5, 32)
    assert first.provenance["pairs_sha256"] != second.provenance["pairs_sha256"]


def test_any_kind_of_image(grey_model, tmp_path):
    """Photographs as 8-bit, 16-bit and float arrays have one calibration, which does not depend on units."""
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
    assert isinstance(pair, HeldOutPair)
    error, std, _ = pair.errors(model, 2, 0)
    assert np.isnan(error[:, :5]).all() and np.isfinite(error[:, 5:]).any() and np.isfinite(std).all()


@pytest.mark.parametrize(("level", "needed"), [(0.5, 4), (0.9, 18), (0.95, 38), (0.98, 98)])
def test_too_few_pairs_for_a_level(model, level, needed):
    with pytest.raises(InvalidArgument, match=rf"at least {needed}\b"):
        bayesr.calibrate(model, [(None, None)] * (needed - 1), levels=(0.3, level))


def test_pairs_that_do_not_fit_are_refused_before_any_work(model, monkeypatch):
    monkeypatch.setattr(HeldOutPair, "errors", lambda *_: pytest.fail("work was done"))
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
    with pytest.raises(InvalidArgument, match="one side only: 4"):
        match_files([tmp_path / "high"], tmp_path / "low")
    with pytest.raises(InvalidArgument, match="no folder"):
        match_files([tmp_path / "absent"], tmp_path / "low")
