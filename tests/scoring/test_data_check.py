import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

import bayesr
from bayesr import images
from bayesr.errors import InvalidArgument
from bayesr.observe import bicubic, gaussian
from bayesr.scoring.data_check import LEVEL, Instrument, Noise, check_data, region_side

SIGMA, SPREAD = 3.0, 12.0
OPERATOR = gaussian(2, sigma=1.2)


def scene(size=128, seed=0):
    random = np.random.default_rng(seed)
    return 120 + gaussian_filter(random.normal(0, 1, (1, size, size)), (0, 3, 3)) * 250


def seen(x, operator=OPERATOR):
    return operator.observe(torch.from_numpy(x)).numpy()


def image(y):
    return images.read(xr.DataArray(y, dims=("band", "y", "x")), value_range=(0.0, 255.0))


def checked(instrument, x, y, noise=SIGMA, **options):
    """The chi-squared of members `realization x band x y x x`."""
    members = xr.DataArray(np.asarray(x), dims=("realization", "band", "y", "x"))
    given = dict(step=0.0, valid=np.ones(members.shape[-2:], bool), advance=lambda amount: None) | options
    return check_data(instrument, members, image(y), noise, **given)


def posterior(y, n, seed=1):
    """Exact posterior samples for a white Gaussian prior, by Matheron's rule with the dense operator."""
    size = y.shape[-1]
    basis = torch.eye((2 * size) ** 2, dtype=torch.float64).reshape(-1, 2 * size, 2 * size)
    dense = OPERATOR.observe(basis).reshape(len(basis), -1).numpy().T
    gain = SPREAD**2 * dense.T @ np.linalg.inv(SPREAD**2 * dense @ dense.T + SIGMA**2 * np.eye(size**2))
    random = np.random.default_rng(seed)
    prior = 120 + SPREAD * random.normal(size=(n, (2 * size) ** 2))
    missed = y.ravel() + SIGMA * random.normal(size=(n, size**2)) - prior @ dense.T
    return (prior + missed @ gain.T).reshape(n, 1, 2 * size, 2 * size)


def test_samples_of_the_posterior_have_a_chi_squared_of_one():
    random = np.random.default_rng(0)
    inside, found = [], []
    for k in range(6):
        x = 120 + SPREAD * random.normal(size=(1, 32, 32))
        y = seen(x) + SIGMA * random.normal(size=(1, 16, 16))
        scores, source = checked(Instrument((OPERATOR,), noisy=True), posterior(y, 8, k), y)
        assert "as given" in source and scores["chi_squared"].shape == (2, 2) == scores["chi_squared_lower"].shape
        inside.append(scores["chi_squared_inside"])
        found.append(scores["chi_squared"].mean())
    assert np.mean(found) == pytest.approx(1, abs=0.05) and np.mean(inside) >= 0.95


def test_the_truth_lies_in_the_band_as_often_as_it_says():
    x = scene(512)
    y = seen(x) + np.random.default_rng(2).normal(0, SIGMA, (1, 256, 256))
    scores, _ = checked(Instrument((OPERATOR,), noisy=True), x[None], y)
    assert scores["chi_squared"].size == 144 and scores["chi_squared_inside"] >= LEVEL - 0.02
    counts = region_side(256, 256) ** 2
    assert scores["chi_squared_upper"][0, 0] - 1 == pytest.approx(2.576 * math.sqrt(2 / counts), rel=0.15)


def test_members_that_reproduce_noise_or_contradict_the_input_lie_outside():
    x = scene()
    y = seen(x) + np.random.default_rng(2).normal(0, SIGMA, (1, 64, 64))
    noisy = Instrument((OPERATOR,), noisy=True)
    copied = OPERATOR.project_onto_data_(torch.from_numpy(x.copy()), torch.from_numpy(y)).numpy()
    scores, _ = checked(noisy, copied[None], y)
    assert scores["chi_squared"].max() < 1e-6 and scores["chi_squared_inside"] == 0
    wrong = x.copy()
    wrong[:, :32, :32] += 20
    scores, _ = checked(noisy, wrong[None], y)
    high = scores["chi_squared"] > scores["chi_squared_upper"]
    assert high[0, 0] and not high[-1, -1]


def test_the_noise_is_estimated_from_the_image():
    x = scene(384)
    y = np.rint(seen(x) + np.random.default_rng(2).normal(0, SIGMA, (1, 192, 192))).clip(0, 255).astype(np.uint8)
    scores, source = checked(Instrument((OPERATOR,), noisy=True), x[None], y, noise=None, step=1.0)
    assert "estimated" in source
    assert np.nanmean(scores["chi_squared"]) == pytest.approx(1, abs=0.1) and scores["chi_squared_inside"] > 0.9
    signal = np.array([[[10.0, 100.0, -5.0]]])
    given = Noise.of(image(y), (0.5, 2.0), 1.0)
    assert given.variance(signal, 0.0) == pytest.approx(np.array([[[5, 50, 0]]]) + 4 + 1 / 12) and given.error == 0


def test_an_unknown_blur_is_fitted_up_to_that_of_training():
    x, operator = scene(), bicubic(2)
    y = seen(gaussian_filter(x, (0, 1.5, 1.5)), operator) + np.random.default_rng(2).normal(0, SIGMA, (1, 64, 64))
    scores, _ = checked(Instrument((operator,), blur=3.0, noisy=True), x[None], y)
    assert scores["fitted_blur"] == pytest.approx(1.5, abs=0.15) and scores["chi_squared"].mean() < 1.1
    short, _ = checked(Instrument((operator,), blur=0.5, noisy=True), x[None], y)
    assert short["fitted_blur"] < 0.51 and short["chi_squared"].mean() > scores["chi_squared"].mean() + 0.1


def test_each_member_is_seen_by_the_operator_of_its_mask():
    operators = (gaussian(2, sigma=0.9), gaussian(2, sigma=1.9, regularisation=0.01))
    x = scene()
    y = seen(x, operators[1]) + np.random.default_rng(2).normal(0, SIGMA, (1, 64, 64))
    instrument = Instrument(operators, masks=2, noisy=True)
    members = xr.DataArray(np.stack([x, x]), dims=("realization", "band", "y", "x"))
    own = [
        check_data(
            instrument, members[[0]].assign_coords(realization=[i]), image(y), SIGMA, 0.0, np.ones((128, 128), bool),
            lambda amount: None,
        )[0]["chi_squared"].mean()
        for i in (0, 1, 3)
    ]  # fmt: skip
    assert own[0] > 1.5 > 1.1 > own[1] == own[2]
    assert instrument.typical == operators[1], "too wide for an exact inverse"


def test_missing_saturated_and_outer_pixels_are_left_out():
    x = scene()
    y = seen(x) + np.random.default_rng(2).normal(0, SIGMA, (1, 64, 64))
    valid = np.ones((128, 128), bool)
    valid[:40, :40] = False
    noisy = Instrument((OPERATOR,), noisy=True)
    broken = np.where(valid, x, np.nan)
    scores, _ = checked(noisy, broken[None], y, valid=valid)
    assert np.isnan(scores["chi_squared"][0, 0]) and scores["chi_squared_inside"] > 0.9
    inner, _ = checked(noisy, x[None], y, inset=8)
    assert np.isnan(inner["chi_squared"][0]).all() and np.isfinite(inner["chi_squared"][1:-1, 1:-1]).all()


def test_reasons_are_given_where_there_is_none():
    x, y = scene(), seen(scene())
    for instrument, low, noise, word in (
        (Instrument((OPERATOR,)), image(y), SIGMA, "exact"),
        (Instrument((OPERATOR,), noisy=True), None, SIGMA, "not known"),
        (Instrument((OPERATOR,), noisy=True), image(y[:, :20, :20]), None, "could not be estimated"),
    ):
        cut = x if low is None or low.data.shape[-1] == 64 else x[:, :40, :40]
        members = xr.DataArray(cut[None], dims=("realization", "band", "y", "x"))
        done = []
        valid = np.ones(cut.shape[-2:], bool)
        scores, why = check_data(instrument, members, low, noise, 0.0, valid, done.append)
        assert word in why and np.isnan(scores["chi_squared"]).all() and math.isnan(scores["chi_squared_inside"])
        assert sum(done) == 1


def test_instruments_of_products(model):
    low = np.random.default_rng(0).integers(0, 255, (8, 9, 3)).astype(np.uint8)
    exact = Instrument.of(model.sample(low, 4))
    assert not exact.noisy and exact.operators == (bicubic(4),) and exact.scale == 4
    blind = replace(model, forward_operator=bicubic(4).unconstrained(blur=3.0, noise=0.02))
    assert Instrument.of(blind.sample(low, 4)) == Instrument((bicubic(4),), 2, 3.0, True)
    known = gaussian(4, sigma=2.0, regularisation=0.1)
    for given in (known, known.unconstrained(noise=0.1)):
        found = Instrument.of(blind.sample(low, 4, forward_operator=given))
        assert found == Instrument((known,), 2, 0.0, True) and found.typical == gaussian(4, sigma=2.0)


def test_noise_is_checked(ds, truth, model):
    for wrong in (-1.0, (1.0,), "much", (0.0, 0.0), math.nan):
        with pytest.raises(InvalidArgument, match="noise must be"):
            bayesr.score(ds, truth, dims="byx", model=model, noise=wrong)
