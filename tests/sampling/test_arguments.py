import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import BandMismatch, InvalidArgument, NotStochastic
from bayesr.sampling.arguments import check_options, check_store_options, choose_masks, choose_tile
from tests.conftest import make_model


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n": 0}, "at least 1"),
        ({"n": 2.5}, "whole"),
        ({"masks": 5}, "divide"),
        ({"masks": 0}, "divide"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"level": 0.999}, "999 calibration images"),
        ({"seed": -1}, "seed"),
        ({"tile": 0}, "tile"),
        ({"device": "abacus"}, "device"),
        ({"value_range": (3, 1)}, "value_range"),
        ({"overwrite": True, "resume": True, "store": "x.zarr"}, "contradict"),
    ],
)
def test_bad_arguments(model, photo, options, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=match):
        model.sample(photo, **({"n": 4} | options))
    assert list(tmp_path.iterdir()) == []


def test_bad_bands_and_models(model, photo):
    with pytest.raises(BandMismatch, match=r"np\.repeat"):
        model.sample(photo[..., 0], 2)
    point = make_model(head_blocks=0)
    with pytest.raises(NotStochastic, match="n=1"):
        point.sample(photo, 2)
    assert np.isfinite(point.sample(photo, 1)["mean"]).all()


@given(st.integers(1, 200), st.integers(0, 2**64 - 1), st.floats(0.001, 0.999))
def test_options_in_their_ranges_are_taken(n, seed, level):
    for masks in (None, 1, n):
        check_options(n, masks, seed, level, None)
    check_options(np.int64(n), None, seed, level, 16)


@pytest.mark.parametrize(
    ("store", "cluster", "keepbits", "message"),
    [(None, 2, None, "store="), (None, None, 9, "store="), ("a.zarr", None, 0, "1 to 23"), (None, None, 24, "1 to 23")],
)
def test_options_of_stores_need_a_store(store, cluster, keepbits, message):
    with pytest.raises(InvalidArgument, match=message):
        check_store_options(store, cluster, keepbits)
    check_store_options("a.zarr", 2, 23)


@pytest.mark.parametrize("size", [(1, 1), (320, 320), (321, 5)])
def test_small_images_are_one_tile(size):
    array = xr.DataArray(np.zeros((1, *size)), dims=("band", "y", "x"))
    assert choose_tile(array, None) == (256 if max(size) > 320 else max(size))
    assert choose_tile(array, 7) == 7


def test_masks_divide_the_members(model):
    for n in (1, 2, 6, 32):
        masks = choose_masks(model, n, None)
        assert n % masks == 0 and masks <= 8
    assert choose_masks(model, 6, 3) == 3
    assert choose_masks(make_model(latent=0), 5, None) == 5, "members differ by their masks alone"
