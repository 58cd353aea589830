import random

import numpy as np
import pyro
import pytest
import torch

from bayesr import observe
from bayesr.errors import InvalidArgument, InvalidForwardOperator, InvalidPixels


def scene(rng, side, bands=()):
    """A field whose power falls like that of photographs, about 0.5 and with standard deviation 0.2."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    noise = rng.standard_normal((*bands, side, side))
    field = np.fft.irfft2(np.fft.rfft2(noise) / (frequency + 1 / side), (side, side))
    return 0.5 + 0.2 * (field - field.mean()) / field.std()


def pair(rng, operator, noise, low_side=48):
    x = scene(rng, low_side * operator.scale)
    y = operator.observe(torch.from_numpy(x)).numpy()
    return y + noise * rng.standard_normal(y.shape), x


def case(rng, scale=4, psf="gaussian"):
    """Return a pair with random, known width and noise."""
    noise = float(np.exp(rng.uniform(np.log(0.002), np.log(0.05))))
    if psf == "airy":
        width = float(rng.uniform(1.0, 2.5)) * scale
        operator = observe.airy(scale, na=0.61 / width, wavelength=1.0, pixel=1.0)
    else:
        width = float(rng.uniform(0.25, 0.58)) * scale
        operator = observe.gaussian(scale, sigma=width)
    return width, noise, pair(rng, operator, noise, 56 if psf == "airy" else 48)


def covered(cases, seed, draws, **options):
    """Count the cases in which the 90% intervals of width and noise contain the truth."""
    rng, hits = np.random.default_rng(seed), np.zeros(2, int)
    for i in range(cases):
        width, noise, (low, high) = case(rng, **options)
        ds = observe.fit(low, high, psf=options.get("psf", "gaussian"), draws=draws, seed=i)
        for k, (name, truth) in enumerate((("psf_width", width), ("noise", noise))):
            least, most = ds.attrs[f"{name}_interval"]
            hits[k] += least <= truth <= most
        assert ds.attrs["divergences"] == 0 and ds.attrs["r_hat"] < 1.1
    return hits.tolist()


def test_credible_intervals_hold_the_truth():
    """9 of 10 are expected of 90% intervals; 7 or fewer of both have a chance of 7% when all is right."""
    width, noise = covered(10, seed=0, draws=100)
    assert width >= 7 and noise >= 7


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "psf", "least"), [(4, "gaussian", 85), (2, "gaussian", 85), (2, "airy", 80)])
def test_credible_intervals_hold_the_truth_in_100_cases(scale, psf, least):
    """90 are expected; fewer than 85 have a chance of 4% when all is right, fewer than 80 of 0.1%."""
    width, noise = covered(100, seed=1, draws=400, scale=scale, psf=psf)
    print(f"{psf} x{scale}: width {width}, noise {noise} of 100")
    assert width >= least and noise >= least


def test_the_product(tmp_path):
    rng = np.random.default_rng(3)
    low, high = pair(rng, observe.gaussian(2, sigma=0.9), 0.01)
    python, numpy, torches = random.getstate(), repr(np.random.mtrand._rand.get_state()), torch.get_rng_state()
    pyro.get_param_store().clear()
    pyro.param("mine", torch.ones(2))
    ds = observe.fit(low, torch.from_numpy(high), draws=100, level=0.8, seed=5)
    assert random.getstate() == python and torch.equal(torch.get_rng_state(), torches)
    assert repr(np.random.mtrand._rand.get_state()) == numpy
    assert list(pyro.get_param_store()) == ["mine"]
    pyro.get_param_store().clear()
    again = observe.fit([low], [high], draws=100, level=0.8, seed=5)
    assert again.identical(ds) and not observe.fit(low, high, draws=100, seed=6).equals(ds)
    assert ds["psf_width"].dims == ds["noise"].dims == ("draw",) and ds.sizes["draw"] == 100
    assert ds.attrs["scale"] == 2 and ds.attrs["level"] == 0.8 and ds.attrs["pixels"] <= 10_000
    for name in ("psf_width", "noise"):
        assert ds.attrs[f"{name}_interval"] == pytest.approx(ds[name].quantile([0.1, 0.9]).values)
    ds.to_netcdf(tmp_path / "fit.nc")  # attributes are plain values
    operator = observe.fitted(ds)
    assert operator.kernel == "gaussian" and operator.sigma == pytest.approx(0.9, abs=0.05)


def test_more_pairs_tell_more():
    rng, operator = np.random.default_rng(4), observe.gaussian(4, sigma=1.4)
    pairs = [pair(rng, operator, 0.02) for _ in range(8)]
    lows, highs = (list(part) for part in zip(*pairs, strict=True))
    one, many = observe.fit(lows[0], highs[0], draws=100), observe.fit(lows, highs, draws=100)
    stacked = observe.fit(np.stack(lows), np.stack(highs), draws=100)
    assert stacked.equals(many) and many.attrs["pixels"] == 8 * one.attrs["pixels"]
    for name in ("psf_width", "noise"):
        assert float(many[name].std() / one[name].std()) == pytest.approx(8**-0.5, rel=0.35)


def test_pairs_without_noise_are_no_trouble():
    low, high = pair(np.random.default_rng(5), observe.gaussian(4, sigma=1.7), 0.0)
    ds = observe.fit(low, high, draws=100)
    assert float(ds["psf_width"].mean()) == pytest.approx(1.7, rel=1e-4) and float(ds["noise"].max()) < 1e-4


def test_fitted_operators_reproduce_the_low_resolution_image():
    """Fit an aperture, and a Gaussian without an exact inverse."""
    rng = np.random.default_rng(6)
    aperture = observe.airy(2, na=0.3, wavelength=0.5, pixel=0.25)
    low, high = pair(rng, aperture, 0.005, 64)
    operator = observe.fitted(observe.fit(low, high, psf="airy", draws=100), regularisation=0.02)
    assert operator.radius == pytest.approx(aperture.radius, rel=0.02) and operator.regularisation == 0.02
    x = torch.from_numpy(scene(rng, 240))
    wide = observe.fit(x, x, draws=100).assign(psf_width=("draw", np.full(100, 4.0)))
    operator = observe.fitted(wide.assign_attrs(scale=4))
    with pytest.raises(InvalidForwardOperator):
        observe.gaussian(4, sigma=4.0)
    t = np.arange(-20, 20) + 0.5  # about the centre of a low-resolution pixel
    weights = torch.from_numpy(np.exp(-0.5 * (t[:, None] ** 2 + t**2) / 4.0**2))
    middle = x[82:122, 82:122]
    assert operator.observe(x)[25, 25] == pytest.approx(float((weights * middle).sum() / weights.sum()), abs=2e-3)


FLAT, NOISE = np.ones((48, 48)), np.random.default_rng(7).random((192, 192))


@pytest.mark.parametrize(
    ("low", "high", "options", "error", "says"),
    [
        (FLAT, NOISE[:190], {}, InvalidArgument, "multiple"),
        (FLAT[..., None], NOISE[..., None], {}, InvalidArgument, "bands first"),
        (FLAT[0], NOISE[0], {}, InvalidArgument, "multiple"),
        ([FLAT], [NOISE, NOISE], {}, InvalidArgument, "do not form pairs"),
        ([], [], {}, InvalidArgument, "do not form pairs"),
        ([FLAT, NOISE], [NOISE, NOISE], {}, InvalidArgument, "same scale factor"),
        ("low.tif", NOISE, {}, InvalidArgument, "numbers"),
        (FLAT * np.nan, NOISE, {}, InvalidPixels, "NaN"),
        (FLAT, NOISE, {}, InvalidArgument, "constant"),
        (NOISE[:48, :48], np.ones((192, 192)), {}, InvalidArgument, "constant"),
        (NOISE[:30, :30], NOISE[:120, :120], {}, InvalidArgument, "smaller widest"),
        (NOISE, NOISE, {"psf": "moffat"}, InvalidArgument, "'airy'"),
        (NOISE, NOISE, {"level": 90}, InvalidArgument, "between 0 and 1"),
        (NOISE, NOISE, {"draws": 10}, InvalidArgument, "100"),
        (NOISE, NOISE, {"widest": 0.1}, InvalidArgument, "exceed"),
    ],
)
def test_pairs_that_cannot_be_fitted_are_refused(low, high, options, error, says):
    with pytest.raises(error, match=says):
        observe.fit(low, high, **options)


def test_a_point_spread_function_that_is_too_wide_is_refused():
    low, high = pair(np.random.default_rng(8), observe.gaussian(4, sigma=2.3), 0.01)
    with pytest.raises(InvalidForwardOperator, match="larger widest"):
        observe.fit(low, high, widest=1.5)
