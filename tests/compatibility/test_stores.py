"""Stores of 0.1.0 are opened, checked, replayed, extended and finished."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from tests.compatibility.conftest import bundled, comparable
from tests.conftest import make_model

ATOL = 1e-5 * 255
HOW = dict(model="fluorescence-x4", seed=5, tile=8, device="cpu")


@pytest.fixture(params=["today", "later"], autouse=True)
def catalogue(request, tmp_path, monkeypatch):
    """Today's bundled models, and those of a version with other weights under the recorded name."""
    if request.param == "later":
        (tmp_path / "later").mkdir()
        shutil.copy(bundled(HOW["model"]), tmp_path / "later" / "fluorescence-x4-fast.safetensors")
        make_model(bands=1).save(tmp_path / "later" / "fluorescence-x4.safetensors")
        monkeypatch.setattr("bayesr.model.catalogue._BUNDLED", tmp_path / "later")


def test_a_store_opens_and_is_sound(store):
    with xr.open_zarr(store) as ds:
        assert ds.sizes == {"realization": 4, "band": 1, "y": 64, "x": 48}
        assert ds.attrs["bayesr_version"] == "0.1.0" and ds.attrs["n"] == 4 and ds.attrs["masks"] == 2
        assert np.isfinite(ds["samples"]).all() and np.isfinite(ds["mean"]).all()
    found = bayesr.check(store)
    assert found.sound and found.tiles == 4
    result = CliRunner().invoke(main, ["check", str(store)])
    assert result.exit_code == 0, result.output


def test_damage_in_a_store_is_found_and_repaired(store):
    shard = store / "mean" / "c" / "0" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:50] + bytes(20) + whole[70:])
    assert not bayesr.check(store).sound
    bayesr.check(store, repair=True)
    assert bayesr.check(store).sound


@pytest.mark.parametrize("member", [0, 3])
def test_members_of_a_store_are_replayed(store, expected, member):
    with xr.open_zarr(store) as ds:
        again = bayesr.replay(ds, member, expected["store/input"])
        np.testing.assert_allclose(again, ds["samples"].sel(realization=member), rtol=0, atol=ATOL)
        for axis in ("y", "x", "band"):
            np.testing.assert_array_equal(again[axis], ds[axis])


def test_a_store_holds_what_is_drawn_today(store, expected, tmp_path):
    how = HOW | {"model": bundled(HOW["model"]), "masks": 2, "keep_samples": True}
    today = bayesr.sample(expected["store/input"], 4, store=tmp_path / "today.zarr", **how)
    with xr.open_zarr(store) as before:
        assert set(today.variables) == set(before.variables)
        for name, values in before.data_vars.items():
            assert today[name].dims == values.dims and today[name].attrs.items() >= values.attrs.items()
            squared = name in ("variance", "aleatoric", "epistemic")
            atol = ATOL * (1 + 2 * float(np.sqrt(np.abs(values).max()))) if squared else ATOL
            np.testing.assert_allclose(today[name], values, rtol=0, atol=atol, err_msg=str(name))
        assert today.attrs["model"] == how["model"].stem
        assert json.loads(today.attrs["input"]).items() >= json.loads(before.attrs["input"]).items()
        changed = {name: today.attrs[name] for name in ("input", "model")}
        assert comparable(today.attrs) == comparable(before.attrs) | changed


def test_a_store_is_extended(store, expected):
    with xr.open_zarr(store) as ds:
        old = ds["samples"].to_numpy()
    longer = bayesr.extend(store, 8)
    assert longer.attrs["n"] == 8 and longer.sizes["realization"] == 8
    np.testing.assert_array_equal(longer["samples"][:4], old)
    np.testing.assert_allclose(longer["samples"][7], expected["store/extended/last"], rtol=0, atol=ATOL)
    for name in ("mean", "std", "epistemic"):
        values = expected[f"store/extended/{name}"]
        atol = ATOL * (1 + 2 * float(np.sqrt(np.abs(values).max()))) if name == "epistemic" else ATOL
        np.testing.assert_allclose(longer[name], values, rtol=0, atol=atol, err_msg=name)
    assert bayesr.check(store).sound


def test_an_unfinished_store_is_finished(unfinished, expected):
    found = bayesr.check(unfinished)
    assert (found.tiles, found.unfinished, dict(found.damaged)) == (2, 1, {})
    done = {path: path.stat().st_mtime_ns for path in unfinished.rglob("mean/c/*/*/*")}
    assert len(done) == 1
    ds = bayesr.sample(expected["store/input"][:8], 2, store=unfinished, resume=True, **HOW)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items()), "what is done stays"
    for name in ("mean", "std", "lower"):
        np.testing.assert_allclose(ds[name], expected[f"unfinished/{name}"], rtol=0, atol=ATOL, err_msg=name)
    assert bayesr.check(unfinished).sound
