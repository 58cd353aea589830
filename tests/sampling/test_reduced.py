"""Scenario: `precision="bfloat16"` is refused where it does not pay, recorded, and honoured by what draws again."""

import json

import numpy as np
import pytest
import torch

import bayesr
from bayesr.errors import InvalidArgument, StoreFailed
from bayesr.sampling import device as devices
from bayesr.sampling.products import members_of


@pytest.fixture
def reduced(monkeypatch):
    """A CPU that is taken to multiply bfloat16 numbers, which torch computes on any."""
    monkeypatch.setattr(devices, "_multiplies_bfloat16", lambda device: True)


@pytest.fixture
def plain(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)


def test_hardware_where_it_would_be_slower_is_refused_by_name(model, photo, plain):
    with pytest.raises(InvalidArgument, match="slower than 'float32' on the device 'cpu', which has no instructions"):
        model.sample(photo, 4, precision="bfloat16")
    with pytest.raises(InvalidArgument, match="must be one of 'float32', 'bfloat16', not 'float16'"):
        model.sample(photo, 4, precision="float16")


@pytest.mark.parametrize("name", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def test_a_cpu_with_either_instruction_set_is_taken(plain, monkeypatch, name):
    monkeypatch.setattr(torch.cpu, name, lambda: True, raising=False)
    devices.check_precision("cpu", "bfloat16")


def test_the_projection_keeps_data_consistency(model, photo, reduced):
    y = photo.astype(np.float32)
    exact, ds = (model.sample(y, 8, precision=precision) for precision in ("float32", "bfloat16"))
    difference = float(np.sqrt(((ds["samples"] - exact["samples"]) ** 2).mean()))
    assert 0 < difference < 0.02 * float(exact["std"].mean()) + 0.5
    seen = model.forward_operator.observe(torch.from_numpy(ds["samples"].values)).numpy()
    assert np.abs(seen - y.transpose(2, 0, 1)).max() < 1e-5 * 255
    assert {variable.dtype for variable in ds.data_vars.values()} == {np.dtype(np.float32)}


def test_it_is_recorded_and_draws_the_same_members_again(model, photo, reduced, tmp_path):
    ds = model.sample(photo, 8, masks=2, precision="bfloat16", store=tmp_path / "a.zarr", keep_samples=True)
    assert json.loads(ds.attrs["engine"])["precision"] == "bfloat16"
    np.testing.assert_array_equal(bayesr.replay(ds, 3, photo, model=model), ds["samples"][3])
    assert "precision" not in json.loads(model.sample(photo, 4).attrs["engine"]), "as in products of before"
    few = model.sample(photo, 4, masks=2, precision="bfloat16", store=tmp_path / "b.zarr")
    more = bayesr.extend(tmp_path / "b.zarr", 8, model=model)
    np.testing.assert_allclose(more["mean"], ds["mean"], atol=255e-5)
    assert few.attrs["n"] == 4 and json.loads(more.attrs["engine"])["precision"] == "bfloat16"
    with pytest.raises(StoreFailed, match="another engine"):
        model.sample(photo, 8, masks=2, store=tmp_path / "a.zarr", keep_samples=True, resume=True)


def test_products_are_drawn_again_on_any_hardware(model, photo, reduced, monkeypatch):
    ds = model.sample(photo, 4, precision="bfloat16")
    monkeypatch.setattr(devices, "_multiplies_bfloat16", lambda device: False)
    np.testing.assert_array_equal(bayesr.replay(ds, 1, photo, model=model), ds["samples"][1])


def test_what_measures_members_draws_them_again_on_any_hardware(model, photo, reduced, monkeypatch, tmp_path):
    kept = model.sample(photo, 4, precision="bfloat16")
    ds = model.sample(photo, 4, precision="bfloat16", store=tmp_path / "a.zarr")
    monkeypatch.setattr(devices, "_multiplies_bfloat16", lambda device: False)
    (tmp_path / "again").mkdir()
    again = members_of(ds, None, model, tmp_path / "again")
    np.testing.assert_array_equal(again, kept["samples"])
    measured = (bayesr.components(given, 2, model=model)["share"] for given in (ds, kept))
    np.testing.assert_allclose(*measured, rtol=1e-5)
