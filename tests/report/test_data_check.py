from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr import images
from bayesr.observe import gaussian
from bayesr.report import data_check, panels
from bayesr.report.data_check import DataCheck
from tests.report.conftest import data_for

OPERATOR = gaussian(4, sigma=2.0).unconstrained(noise=0.01)


@pytest.fixture(scope="module")
def blind(model):
    return replace(model, forward_operator=model.forward_operator.unconstrained(blur=3.0, noise=0.05))


@pytest.fixture(scope="module")
def noisy(blind):
    """A product of a model of noisy images, and its input."""
    random, (y, x) = np.random.default_rng(0), np.mgrid[0:48, 0:64] / 64
    scene = 128 + 60 * np.sin(6 * x * y)[..., None] + random.normal(0, 3, (48, 64, 3))
    low = scene.clip(0, 255).round().astype(np.uint8)
    return bayesr.sample(low, 6, model=blind, forward_operator=OPERATOR), low


def image(low):
    return images.read(xr.DataArray(low, dims=("y", "x", "band")).transpose("band", "y", "x"))


def test_figures_and_maps_are_those_of_score(noisy):
    ds, low = noisy
    view = panels.view_of(ds)
    check = DataCheck.of(ds, image(low), view)
    truth = np.kron(low, np.ones((4, 4, 1), np.uint8))
    scores = bayesr.score(ds, truth, img=low, model=None, progress=False)
    figures = {figure["name"]: figure["value"] for figure in check.page(view)["figures"]}
    for name in ("null_share", "chi_squared_inside", "fitted_blur"):
        assert figures[name] == pytest.approx(float(scores[name])), name
    assert figures["chi_squared"] == pytest.approx(float(scores["chi_squared"].mean()))
    maps = check.maps(view)
    assert maps.keys() == {"chi", "range_variance", "null_variance", "open_share"}
    assert maps["null_variance"] == pytest.approx(scores["null_variance"].values, rel=1e-5)
    assert maps["chi"][0] == pytest.approx(np.maximum(scores["chi_squared"].values, 0.02))
    coarse = check.maps(panels.View(view.rows, view.columns, 4))
    assert coarse["range_variance"].shape == (3, 48, 64) and coarse["open_share"].mean() == pytest.approx(0.9375)
    assert check.page(panels.View(view.rows, view.columns, 4))["region"] == check.page(view)["region"] / 4


def test_the_page_has_it_with_and_without_a_reference(noisy, tmp_path):
    ds, low = noisy
    truth = np.kron(low, np.ones((4, 4, 1), np.uint8))
    for reference in (None, truth):
        found = data_for(ds, reference, tmp_path / "a.html", img=low)
        assert {"chi", "null_variance", "range_variance", "open_share"} <= found["planes"].keys()
        assert found["check"]["window"] is None and "estimated" in found["check"]["source"]
    lacking = data_for(ds, None, tmp_path / "a.html")
    assert "chi" not in lacking["planes"] and "null_variance" in lacking["planes"]
    reasons = {item["what"]: item["why"] for item in lacking["missing"]}
    assert "not known" in reasons["Chi-squared of the input"]
    assert data_for(ds.drop_vars("samples"), None, tmp_path / "a.html")["check"] is None


def test_exact_models_have_figures_alone(ds, low, tmp_path):
    found = data_for(ds, None, tmp_path / "a.html", img=low)
    figures = {figure["name"]: figure["value"] for figure in found["check"]["figures"]}
    assert figures["null_share"] == pytest.approx(1, abs=0.01) and "chi_squared" not in figures
    assert figures["range"] < 0.1 * figures["null space"]
    assert {"chi", "null_variance"}.isdisjoint(found["planes"])
    assert not any("Chi" in item["what"] for item in found["missing"])


def test_the_middle_of_large_products(noisy, monkeypatch):
    ds, low = noisy
    monkeypatch.setattr(data_check, "SIDE", 130)
    view = panels.view_of(ds)
    check = DataCheck.of(ds, image(low), view)
    assert (check.rows, check.columns) == (slice(32, 160), slice(64, 192)) and not check.maps(view)
    assert check.page(view)["window"] == [32, 160, 64, 192]
    window = panels.view_of(ds, (slice(32, 160), slice(64, 192)))
    assert DataCheck.of(ds, image(low), window).maps(window)["null_variance"].shape == (3, 128, 128)
    assert DataCheck.of(ds.isel(x=slice(1, None)), None, view) is None
