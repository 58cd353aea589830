import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.errors import BandMismatch, InvalidArgument, NotStochastic, VarianceNotSplit
from bayesr.product import MAPS
from bayesr.sampling.arguments import check_options, choose_masks, choose_tile, warn_unsplit
from bayesr.sampling.plan import default_masks
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
        ({"device": "meta"}, "device 'meta' cannot be used"),
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


FEW = {"n": 4, "masks": None, "store": None, "cluster": None, "keepbits": None, "shards": None}


@given(st.integers(1, 200), st.integers(0, 2**64 - 1), st.floats(0.001, 0.999))
def test_options_in_their_ranges_are_taken(n, seed, level):
    for masks in (None, 1, n):
        given = FEW | {"n": np.int64(n), "masks": masks, "seed": seed, "level": level}
        assert check_options(**given) == given


@pytest.mark.parametrize(
    ("store", "cluster", "keepbits", "message"),
    [(None, 2, None, "store="), (None, None, 9, "store="), ("a.zarr", None, 0, "1 to 23"), (None, None, 24, "1 to 23")],
)
def test_options_of_stores_need_a_store(store, cluster, keepbits, message):
    with pytest.raises(InvalidArgument, match=message):
        check_options(**FEW | {"store": store, "cluster": cluster, "keepbits": keepbits})
    check_options(**FEW | {"store": "a.zarr", "cluster": 2, "keepbits": 23})


def never(*args, **options):
    pytest.fail("the image was opened before the arguments were checked")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", True), ("n", 4.0), ("model", None), ("seed", None), ("seed", 1.5), ("seed", True), ("masks", "2"),
        ("level", "0.9"), ("keep_samples", 1), ("store", 5), ("overwrite", "yes"), ("resume", "no"), ("dims", 5),
        ("nodata", "none"), ("value_range", 255), ("value_range", (1, 2, 3)), ("tile", 2.5), ("device", None),
        ("cluster", object()), ("variables", 3), ("keepbits", "10"), ("progress", "bar"),
    ],
)  # fmt: skip
def test_every_argument_is_checked_before_the_image_is_opened(monkeypatch, name, value):
    monkeypatch.setattr("bayesr.images.source", never)
    with pytest.raises(InvalidArgument, match=f"^{name} must be .*not "):
        bayesr.sample("absent.tif", **{name: value})
    if name != "model":  # which has a default there
        with pytest.raises(InvalidArgument, match=f"{name} must be .*not "):
            bayesr.aggregate("absent.tif", 16, **{"level": 0.5, name: value})


def test_scalars_of_numpy_are_taken(model, photo, tmp_path):
    """They are recorded as JSON, which does not know them."""
    ds = model.sample(
        photo[:6, :7], np.int64(4), seed=np.uint64(3), level=np.float32(0.75), masks=np.int8(2), tile=np.int64(4),
        nodata=np.float32(999), value_range=np.array([0, 255], np.uint8), overwrite=np.bool_(True),
        keep_samples=np.bool_(True), keepbits=np.int64(12), store=tmp_path / "a.zarr", device=torch.device("cpu"),
    )  # fmt: skip
    plain = model.sample(
        photo[:6, :7], 4, seed=3, level=0.75, masks=2, tile=4, nodata=999.0, value_range=(0.0, 255.0), overwrite=True,
        keep_samples=True, keepbits=12, store=tmp_path / "b.zarr", device="cpu",
    )  # fmt: skip
    xr.testing.assert_equal(ds.load(), plain.load())
    changing = ("history",)
    assert {k: v for k, v in ds.attrs.items() if k not in changing} == {
        k: v for k, v in plain.attrs.items() if k not in changing
    }


class Network:
    """The properties of a network that decide how members are divided."""

    stochastic = True

    def __init__(self, masked=True, latent_channels=2, max_masks=None):
        self.masked, self.latent_channels, self.max_masks = masked, latent_channels, max_masks


class Sized:
    def __init__(self, **network):
        self.name, self.generator = "sized", Network(**network)


@pytest.mark.parametrize("n", [5, 7, 11, 13, 121])
def test_members_that_no_masks_divide_are_said_to_be_so(n):
    with pytest.warns(VarianceNotSplit, match=f"^{n} members .*n={n - 1} or n={n + 1}") as found:
        warn_unsplit(Sized(), n, None, MAPS)
    assert len(found) == 1
    for near in (n - 1, n + 1):
        assert 1 < default_masks(near) <= near // 2
        warn_unsplit(Sized(), near, None, MAPS)


@given(st.integers(1, 300), st.sampled_from([None, 2, 3, 5]))
def test_the_warning_is_given_where_the_variance_is_not_split_and_nowhere_else(n, most):
    expected = n > 3 and default_masks(n, most) == 1
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_unsplit(Sized(max_masks=most), n, None, ("std", "epistemic"))
    assert len(found) == expected
    assert not expected or all(default_masks(near, most) > 1 for near in (n - 1, n + 1))


@pytest.mark.parametrize(
    ("network", "n", "masks", "variables"),
    [
        ({}, 2, None, MAPS),
        ({}, 3, None, MAPS),
        ({}, 5, 1, MAPS),
        ({}, 5, 5, MAPS),
        ({}, 5, None, ("mean", "std", "samples")),
        ({"masked": False}, 5, None, MAPS),
        ({"latent_channels": 0}, 5, None, MAPS),
        ({"max_masks": 1}, 5, None, MAPS),
    ],
)
def test_no_warning_where_it_would_not_help(network, n, masks, variables):
    warn_unsplit(Sized(**network), n, masks, variables)


def test_sample_warns_and_says_the_truth(model, photo):
    with pytest.warns(VarianceNotSplit, match="^7 members") as found:
        ds = model.sample(photo[:6, :7], 7)
    assert found[0].filename == __file__
    assert np.isnan(ds["aleatoric"]).all() and np.isnan(ds["epistemic"]).all() and np.isfinite(ds["std"]).all()
    assert np.isfinite(model.sample(photo[:6, :7], 6)["epistemic"]).all()
    model.sample(photo[:6, :7], 7, variables=["mean", "std"])
    for function in (bayesr.components, bayesr.segment):  # their results do not hold the parts of the variance
        function(photo[:6, :7], *(["otsu"] if function is bayesr.segment else [2]), model=model, n=7)


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
