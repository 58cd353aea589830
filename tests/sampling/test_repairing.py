"""Damage found and repaired."""

import json

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.product import MAPS, MASK_MEANS
from bayesr.store.layout import Store


@pytest.fixture
def path(model, photo, tmp_path, request):
    shards = getattr(request, "param", True)
    model.sample(photo, 4, tile=16, store=tmp_path / "a.zarr", keep_samples=True, shards=shards)
    return tmp_path / "a.zarr"


both = pytest.mark.parametrize("path", [True, False], ids=["shards", "chunks"], indirect=True)


def files_of(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and "progress" not in p.parts}


def flipped(raw):
    return raw[: len(raw) // 3] + bytes([raw[len(raw) // 3] ^ 16]) + raw[len(raw) // 3 + 1 :]


@both
@pytest.mark.parametrize("harm", [flipped, lambda raw: raw[: len(raw) // 2], None])
def test_any_one_damaged_file_is_found(path, harm):
    assert bayesr.check(path).sound
    for name in (*MAPS, "samples", MASK_MEANS):
        lead = {"samples": "2/0/", MASK_MEANS: "0/0/"}.get(name, "0/")
        shard = path / ("progress" if name == MASK_MEANS else "") / name / "c" / f"{lead}1/1"
        raw = shard.read_bytes()
        shard.unlink() if harm is None else shard.write_bytes(harm(raw))
        found = bayesr.check(path)
        assert list(found.damaged) == [(1, 1)] and list(found.damaged[1, 1]) == [name] and not found.sound
        assert name in str(found) and "tile 1, 1" in str(found)
        shard.write_bytes(raw)
    assert bayesr.check(path).sound


@both
def test_just_the_damaged_tiles_are_drawn_again(model, photo, path):
    before = files_of(path)
    stamps = {p: p.stat().st_mtime_ns for p in before}
    for victim, harm in (("mean/c/1/1/1", lambda raw: raw[:-9]), ("samples/c/3/2/0/1", flipped), ("std/c/0/0/1", None)):
        raw = (path / victim).read_bytes()
        (path / victim).unlink() if harm is None else (path / victim).write_bytes(harm(raw))
    repaired = bayesr.check(path, repair=True, model=model)
    assert sorted(repaired.damaged) == [(0, 1), (1, 1)] and repaired.repaired == 2 and "2 tiles were" in str(repaired)
    assert bayesr.check(path).sound
    assert files_of(path) == before
    assert {p.parts[-2:] for p in before if p.stat().st_mtime_ns != stamps[p]} == {("0", "1"), ("1", "1")}
    with pytest.raises(InvalidProduct, match="model"):
        Store(str(path)).array("checksum")[0, 0] = 0
        bayesr.check(path, repair=True, model="natural-x4")


def test_a_damaged_copy_of_the_image(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    model.sample(photo, 2, tile=16, store=path)
    (shard,) = (p for p in (path / "progress" / "input" / "c").rglob("*") if p.is_file())
    shard.write_bytes(shard.read_bytes()[:-40])
    assert bayesr.check(path).image
    with pytest.raises(InvalidProduct, match="img="):
        bayesr.check(path, repair=True, model=model)
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.check(path, repair=True, model=model, img=255 - photo)
    bayesr.check(path, repair=True, model=model, img=photo)
    assert bayesr.check(path).sound


def test_unfinished_and_foreign_stores(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    model.sample(photo, 2, tile=16, store=path)
    Store(str(path)).array("done")[0, 1] = 0
    found = bayesr.check(path)
    assert found.unfinished == 1 and not found.sound and "not drawn" in str(found)
    with pytest.raises(StoreFailed, match="resume"):
        bayesr.extend(path, 4, model=model)
    xr.Dataset({"a": ("x", np.arange(3.0))}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    for foreign in (tmp_path / "b.zarr", tmp_path / "nothing.zarr"):
        with pytest.raises(StoreFailed):
            bayesr.check(foreign)
    assert json.loads(xr.open_zarr(path).attrs["engine"])["tile"] == 16
