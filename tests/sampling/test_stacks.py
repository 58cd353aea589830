"""Scenario: stacks of images, such as films: every slice is the product of the slice alone."""

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr

import bayesr
from bayesr import observe, product
from bayesr.errors import AmbiguousDimensions, InvalidPixels, InvalidProduct, NotAnImage
from bayesr.product import MASK_MEANS
from bayesr.sampling.job import Job
from bayesr.sampling.products import members_of
from bayesr.store.journal import Journal
from bayesr.store.layout import Store
from tests.conftest import make_model
from tests.observe.test_posteriors import posterior
from tests.product.test_conventions import UTM
from tests.sampling.helpers import disagreement

TIMES = np.array(["2020-01-01", "2020-01-03", "2020-02-01"], "M8[ns]")
OF_SLICE = (
    "input_sha256",
    "input_check",
    "model_sha256",
    "value_range",
    "quantisation_step",
    "seed",
    "n",
    "masks",
    "level",
)


def film(dtype=np.uint8):
    pixels = np.random.default_rng(0).integers(20, 230, (3, 9, 8, 3)).astype(dtype)
    coords = {"time": TIMES, "label": ("time", ["a", "bc", ""]), "x": np.arange(8.0) * 10 + 5}
    return xr.DataArray(pixels, dims=("time", "y", "x", "band"), coords=coords, attrs={"units": "K"})


def assert_slices_are_products_alone(model, ds, given, **options):
    """Compare each slice with the product of the slice alone: its variables, coordinates and attributes."""
    tile = json.loads(ds.attrs["engine"])["tile"]
    for t in range(given.sizes["time"]):
        found = product.canonical(ds.isel(time=t))
        alone = model.sample(given.isel(time=t), ds.attrs["n"], masks=ds.attrs["masks"], tile=tile, **options)
        for name in found.data_vars:
            assert found[name].dims == alone[name].dims and found[name].attrs == alone[name].attrs
            assert disagreement(found, alone, name) < 1e-5
        for name in {*alone.coords} - {"time", "label"}:
            if name in found.coords:
                xr.testing.assert_equal(found[name].variable, alone[name].variable)
        assert {name: found.attrs[name] for name in OF_SLICE} == {name: alone.attrs[name] for name in OF_SLICE}


def test_slices_in_memory_are_products_alone(model):
    given = film()
    ds = model.sample(given, 4, tile=5)
    assert ds["mean"].dims == ("time", "band", "y", "x")
    assert ds["samples"].dims == ("time", "realization", "band", "y", "x")
    np.testing.assert_array_equal(ds["time"], TIMES)
    assert list(ds["label"].values) == ["a", "bc", ""] and ds["mean"].attrs["units"] == "K"
    assert_slices_are_products_alone(model, ds, given)


def test_one_value_range_makes_slices_of_floats_comparable(model):
    given = film(np.float32)
    given[1] *= 2
    ds = model.sample(given, 4)
    assert ds.attrs["value_range"] == [float(given.min()), float(given.max())]
    assert_slices_are_products_alone(model, ds, given, value_range=tuple(ds.attrs["value_range"]))


def test_a_film_of_one_scene_does_not_flicker(model):
    still = film()[[0, 0, 0]].assign_coords(time=TIMES)
    ds = model.sample(still, 4)
    for t in (1, 2):
        np.testing.assert_array_equal(ds["samples"][t], ds["samples"][0])


def test_arrays_with_named_axes(grey_model):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 6, 5), dtype=np.uint8)
    ds = grey_model.sample(pixels, 2, dims=("scene", "z", "y", "x"))
    assert dict(ds["mean"].sizes) == {"scene": 2, "z": 3, "band": 1, "y": 24, "x": 20}
    assert list(ds["scene"].values) == [0, 1]
    alone = grey_model.sample(pixels[1, 2], 2)
    np.testing.assert_allclose(ds["samples"].isel(scene=1, z=2), alone["samples"], atol=1e-3)
    one = product.canonical(ds.isel(scene=1, z=2))
    again = bayesr.replay(one, 1, pixels, model=grey_model)  # the stack, or the slice
    np.testing.assert_array_equal(again, one["samples"][1])
    np.testing.assert_array_equal(bayesr.replay(one, 1, pixels[1, 2], model=grey_model), again)
    with pytest.raises(InvalidProduct, match="not the one"):
        bayesr.replay(one, 1, pixels[:1], model=grey_model)


@pytest.mark.parametrize("kind", ["folder", "memory://"])
def test_a_store_holds_what_memory_does(model, tmp_path, kind):
    place = tmp_path / "a.zarr" if kind == "folder" else f"memory://{uuid.uuid4().hex}.zarr"
    given = film()
    stored = model.sample(given.chunk(time=2), 4, tile=5, store=place, keep_samples=True)
    xr.testing.assert_equal(stored.compute(), model.sample(given, 4, tile=5))
    assert bayesr.check(place).sound and bayesr.check(place).tiles == 3 * 4
    again = bayesr.replay(stored.isel(time=1), 2, model=model)  # from the copy of the slice in the store
    np.testing.assert_array_equal(again, stored["samples"][1, 2])


def test_an_interrupted_store_is_resumed(model, tmp_path, monkeypatch):
    given, drawn, path = film(), [], tmp_path / "a.zarr"
    original = Job.draw

    def draw(self, tile, advance, before=None):
        if len(drawn) == 6:
            raise KeyboardInterrupt
        drawn.append(tile)
        return original(self, tile, advance, before)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "draw", draw)
        with pytest.raises(KeyboardInterrupt):
            model.sample(given, 4, tile=5, store=path)
        left = bayesr.check(path).unfinished  # what was drawn last may not be written
        drawn.clear()
        patch.setattr(Job, "draw", lambda self, *args: drawn.append(args[0]) or original(self, *args))
        stored = model.sample(given, 4, tile=5, store=path, resume=True)
    assert len(drawn) == left >= 6 and {tile.lead for tile in drawn} == {(1,), (2,)}
    xr.testing.assert_equal(stored.compute(), model.sample(given, 4, tile=5, keep_samples=False))


def test_workers_draw_the_same(model, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    given, options = film(), {"n": 4, "model": file, "tile": 5, "keep_samples": True}
    stored = bayesr.sample(given, store=tmp_path / "a.zarr", cluster=1, **options)
    alone = bayesr.sample(given, **options)
    for name in alone.data_vars:
        assert disagreement(stored, alone, name) < 1e-5


def test_members_are_added(model, tmp_path):
    given, path = film()[:2], tmp_path / "a.zarr"
    model.sample(given, 4, tile=8, store=path, keep_samples=True)
    stored = bayesr.extend(path, 8, model=model)
    assert stored.attrs["n"] == 8 and bayesr.check(path).sound
    assert_slices_are_products_alone(model, stored, given)


@pytest.mark.parametrize("stop", ["put_maps", "_clear_entry"])
def test_an_interrupted_extension_is_continued(model, tmp_path, monkeypatch, stop):
    given, path, calls = film()[:2], tmp_path / "a.zarr", []
    model.sample(given, 4, tile=8, store=path)
    owner = Store if stop == "put_maps" else Journal
    original = getattr(owner, stop)

    def stopping(self, *args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, stop, stopping)
        with pytest.raises(KeyboardInterrupt):
            bayesr.extend(path, 8, model=model)
    assert not bayesr.check(path).damaged
    stored = bayesr.extend(path, 8, model=model)
    assert bayesr.check(path).sound
    assert_slices_are_products_alone(model, stored, given)


@pytest.mark.parametrize("shards", [True, False])
def test_damage_is_found_and_repaired_in_its_slice(model, tmp_path, shards):
    given, path = film(), tmp_path / "a.zarr"
    model.sample(given, 4, tile=5, store=path, keep_samples=True, shards=shards)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    for name in ("std", "samples", MASK_MEANS):
        inner = {"samples": "3/0/", MASK_MEANS: "0/0/"}.get(name, "0/")
        shard = path / ("progress" if name == MASK_MEANS else "") / name / "c" / f"1/{inner}1/0"
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-7])
        found = bayesr.check(path)
        assert list(found.damaged) == [(1, 1, 0)] and list(found.damaged[1, 1, 0]) == [name]
        assert f"{name}/c/1/.../1/0" in str(found)
        shard.write_bytes(whole)
    shard.unlink()
    assert bayesr.check(path, repair=True, model=model).repaired == 1 and bayesr.check(path).sound
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    copy = path / "progress" / "input" / "c" / "2" / "0" / "0" / "0"
    copy.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])
    assert bayesr.check(path).image
    with pytest.raises(InvalidProduct, match="not the one"):
        bayesr.check(path, repair=True, model=model, img=given[:2])
    bayesr.check(path, repair=True, model=model, img=given)
    assert bayesr.check(path).sound


@pytest.mark.parametrize("shards", [None, False])
def test_stores_without_shards_are_extended_like_others(model, tmp_path, shards):
    """Slices of one tile have no shards by default, like images of one tile."""
    given, path = film()[:2], tmp_path / "a.zarr"
    model.sample(given, 4, tile=8 if shards is False else 9, store=path, keep_samples=True, shards=shards)
    assert not Store(str(path)).sharded and Store(str(path)).array("input").files[0] == 1
    stored = bayesr.extend(path, 8, model=model)
    assert bayesr.check(path).sound
    assert_slices_are_products_alone(model, stored, given)


def test_slices_are_drawn_again_with_the_operators_that_are_recorded(tmp_path):
    blind = replace(make_model(), forward_operator=observe.bicubic(4).unconstrained(blur=3.0, noise=0.05))
    given, path = film(), tmp_path / "a.zarr"
    how = {"forward_operator": posterior(2.4, 0.3), "masks": 2, "tile": 5}
    bayesr.sample(given, 4, model=blind, store=path, keep_samples=True, **how)
    one = xr.open_zarr(path).isel(time=2)
    assert len(json.loads(one.attrs["forward_operators"])) == 2
    alone = bayesr.sample(given.isel(time=2), 4, model=blind, **how)
    np.testing.assert_allclose(one["samples"], alone["samples"], atol=1e-3)
    np.testing.assert_array_equal(bayesr.replay(one, 3, model=blind), one["samples"][3])
    again = members_of(product.canonical(one).drop_vars("samples"), None, blind, tmp_path)
    np.testing.assert_array_equal(again, one["samples"])


def test_stacks_have_a_place(model, tmp_path):
    given = film().assign_coords(y=100.0 - 20 * np.arange(9), spatial_ref=xr.DataArray(0, attrs={"crs_wkt": UTM}))
    ds = model.sample(given, 2, tile=5, store=tmp_path / "a.zarr")
    array = zarr.open_array(tmp_path / "a.zarr" / "mean", mode="r")
    assert array.attrs["spatial:transform"] == [2.5, 0.0, 0.0, 0.0, -5.0, 110.0]
    assert array.attrs["spatial:shape"] == [36, 32] and array.metadata.dimension_names == ("time", "band", "y", "x")
    assert ds["x"].attrs["standard_name"] == "projection_x_coordinate" and ds["mean"].attrs["grid_mapping"]
    one = ds.isel(time=1)
    again = bayesr.replay(one, 1, model=model)
    for dim in ("y", "x"):
        np.testing.assert_array_equal(again[dim], one[dim])
    assert again["spatial_ref"].attrs == one["spatial_ref"].attrs and not {"time", "label"} & {*again.coords}
    members = members_of(product.canonical(one).isel(y=slice(4, 20)), None, model, tmp_path)
    np.testing.assert_array_equal(members[1], again[:, 4:20])


def test_missing_pixels_and_empty_slices(model, tmp_path):
    given = film(np.float32)
    given[1], given[2, :4] = np.nan, np.nan
    ds = model.sample(given, 4, tile=4, nodata=np.nan, store=tmp_path / "a.zarr")
    assert ds["mean"][1].isnull().all() and not ds["mean"][0].isnull().any()
    assert ds["mean"][2, :, :16].isnull().all() and not ds["mean"][2, :, 16:].isnull().any()
    assert "no data" in str(ds["slice_check"][1].item()) and bayesr.check(tmp_path / "a.zarr").sound
    with pytest.raises(InvalidPixels, match="slice 1"):
        model.sample(given, 4)


def test_what_cannot_be_a_stack_is_refused(model, tmp_path):
    given = film()
    for name in ("realization", "mask", "mean"):
        with pytest.raises(AmbiguousDimensions, match="which a product uses"):
            model.sample(given.rename(time=name), 2, store=tmp_path / "a.zarr")
    with pytest.raises(AmbiguousDimensions, match="name all axes"):
        model.sample(given.values, 2)
    several = given.drop_vars("label").rename(time="scene").assign_coords(scene=[1, 2, 3])
    index = xr.Coordinates.from_pandas_multiindex(several.expand_dims("z").stack(s=("z", "scene")).indexes["s"], "s")
    stacked = several.drop_vars("scene").rename(scene="s").assign_coords(index)
    with pytest.raises(NotAnImage, match="reset_index"):
        model.sample(stacked, 2, store=tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
