"""Scenario: every function that takes a product gives the same figures for it in any form.

Rows, columns, bands and members are equally many, so that no size gives a wrong order away.
"""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import InvalidProduct
from bayesr.report.describe import page_data
from bayesr.report.page import _plain

SIDE = 8
LABELS = np.arange(SIDE**2).reshape(SIDE, SIDE) // 10


@pytest.fixture(scope="module")
def low():
    return np.random.default_rng(0).integers(0, 256, (SIDE, 2, 2), dtype=np.uint8)


@pytest.fixture(scope="module")
def ds(grey_model, low):
    return bayesr.sample(low, SIDE, model=grey_model, dims="byx")


@pytest.fixture(scope="module")
def truth(ds):
    """An image near the mean, with other errors in every row, column and band."""
    noise = np.random.default_rng(1).normal(0, 1, ds["mean"].shape) * np.arange(SIDE) * np.arange(SIDE)[:, None]
    return xr.DataArray(np.clip(np.rint(ds["mean"].values + noise), 0, 255).astype(np.uint8), dims=("band", "y", "x"))


def bright(image):
    return image[0] > 100


@pytest.fixture(scope="module")
def figures(grey_model, truth, tmp_path_factory):
    """Return the figures of all functions for a product."""
    out = tmp_path_factory.mktemp("page") / "page.html"

    def report(given):
        options = {"img": None, "window": None, "redraw": 0, "model": grey_model, "progress": False}
        return json.dumps(_plain(page_data(given, truth, out, **options)))

    functions = {
        "score": lambda given: bayesr.score(given, truth, model=grey_model),
        "aggregate": lambda given: bayesr.aggregate(given, LABELS, level=0.5),
        "components": lambda given: bayesr.components(given, 2, window=(slice(0, 8), slice(2, 8))),
        "segment": lambda given: bayesr.segment(given, bright, keep_members=True),
        "report": report,
    }

    def compute(given, names=tuple(functions)):
        return {name: functions[name](given) for name in names}

    return compute


@pytest.fixture(scope="module")
def expected(figures, ds):
    return figures(ds)


def check(found, expected):
    for name, value in found.items():
        if isinstance(value, str):
            assert value == expected[name], name
        else:
            xr.testing.assert_allclose(value.drop_attrs(deep=False), expected[name].drop_attrs(deep=False), rtol=1e-6)


@pytest.mark.parametrize("order", list(permutations(("realization", "band", "y", "x")))[1::4])
def test_dimensions_in_any_order(figures, ds, expected, order):
    check(figures(ds.transpose(*order)), expected)


def test_all_orders_have_one_score(figures, ds, expected):
    for order in permutations(("realization", "band", "y", "x")):
        check(figures(ds.transpose(*order), ["aggregate", "segment"]), expected)


def test_products_from_stores_and_in_chunks(figures, ds, expected, tmp_path):
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    stored = xr.open_zarr(tmp_path / "a.zarr", consolidated=False, chunks=None)
    check(figures(stored.transpose("y", "x", ...)), expected)
    check(figures(ds.transpose("x", ...).reset_coords("mask").set_coords(["std", "lower"])), expected)
    for lazy in (xr.open_zarr(tmp_path / "a.zarr", consolidated=False), ds.chunk({"y": 5, "x": 7, "realization": 3})):
        check(figures(lazy.transpose("x", ...), ["aggregate", "report"]), expected)


def test_one_band_that_was_squeezed(figures, ds, truth, grey_model):
    functions = ["aggregate", "components", "segment"]
    check(figures(ds.isel(band=3).transpose("x", ...), functions), figures(ds.isel(band=[3]), functions))
    scores = [
        bayesr.score(part, truth[3], model=grey_model, dims="yx")
        for part in (ds.isel(band=[3]), ds.isel(band=3), ds.isel(band=3).transpose("x", "realization", "y"))
    ]
    for one in scores[1:]:
        xr.testing.assert_equal(one, scores[0])


def test_members_are_drawn_again_for_any_form(ds, low, grey_model):
    bare = ds.drop_vars(["samples", "realization", "mask"]).transpose("x", "band", "y")
    options = {"img": low, "model": grey_model}
    provenance = json.loads(bare.attrs["input"])
    assert provenance["dims"] == ["b", "y", "x"]
    found = bayesr.components(bare.isel(band=2, y=slice(2, 7)), 2, **options)
    expected = bayesr.components(ds.isel(band=[2], y=slice(2, 7)), 2)
    xr.testing.assert_allclose(found["mean"], expected["mean"], atol=1e-3)
    again = bayesr.replay(bare, 3, low, model=grey_model)
    np.testing.assert_array_equal(again, ds["samples"][3])


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.isel(y=3),
        lambda ds: ds.rename(x="lon"),
        lambda ds: ds.expand_dims(time=1),
        lambda ds: ds.drop_vars("y"),
        lambda ds: ds["mean"],
        lambda ds: ds["samples"],
        lambda ds: ds.rename({name: f"my_{name}" for name in ds.data_vars}),
    ],
)
def test_every_function_refuses_what_is_no_product(ds, low, truth, grey_model, tmp_path, change):
    given = change(ds)
    for call in (
        lambda: bayesr.score(given, truth),
        lambda: bayesr.aggregate(given, LABELS, level=0.5),
        lambda: bayesr.components(given, 2),
        lambda: bayesr.segment(given, bright),
        lambda: bayesr.replay(given, 0, low, model=grey_model),
        lambda: bayesr.report.write(given, tmp_path / "page.html"),
    ):
        with pytest.raises(InvalidProduct):
            call()
