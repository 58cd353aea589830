import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr
import zarr

import bayesr
from bayesr import sampling, store
from bayesr.errors import StoreExists, StoreFailed


def test_a_store_holds_what_memory_holds(model, photo, tmp_path):
    inside = model.sample(photo, 4, tile=16)
    lazy = model.sample(photo, 4, tile=16, store=tmp_path / "a.zarr", keep_samples=True)
    assert lazy["mean"].chunks is not None
    disk = xr.open_zarr(tmp_path / "a.zarr")
    assert {k: v for k, v in disk.attrs.items() if k != "history"} == {
        k: v for k, v in inside.attrs.items() if k != "history"
    }
    xr.testing.assert_equal(disk, inside)
    for name in inside.variables:
        attrs = {k: v for k, v in disk[name].attrs.items() if k != "_FillValue"}
        assert attrs == inside[name].attrs, name
    array = zarr.open_group(tmp_path / "a.zarr", mode="r")["mean"]
    assert array.metadata.zarr_format == 3 and array.shards == (1, 64, 64) and array.chunks == (1, 32, 32)
    np.testing.assert_array_equal(bayesr.replay(disk, 3, photo, model=model), inside["samples"][3])


def test_samples_are_left_out_by_default(model, photo, tmp_path):
    assert "samples" not in model.sample(photo, 2, store=tmp_path / "a.zarr")


def test_an_existing_store_is_kept(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    model.sample(photo, 2, store=path)
    before = float(xr.open_zarr(path)["mean"].sum())
    with pytest.raises(StoreExists, match="overwrite"):
        model.sample(255 - photo, 2, store=path)
    assert float(xr.open_zarr(path)["mean"].sum()) == before
    assert float(model.sample(255 - photo, 2, store=path, overwrite=True)["mean"].sum()) != before


def test_what_is_no_store_is_never_replaced(model, photo, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    with pytest.raises(StoreFailed, match="does not touch"):
        model.sample(photo, 2, store=tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "dear"


def test_resume_does_only_what_is_missing(model, photo, tmp_path, monkeypatch):
    path, drawn, draw = tmp_path / "a.zarr", [], sampling.draw

    def watched(*args):
        drawn.append(args[3].core)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*args)

    monkeypatch.setattr(sampling, "draw", watched)
    with pytest.raises(KeyboardInterrupt):
        model.sample(photo, 4, tile=16, store=path)
    for changed in ({"seed": 1}, {"n": 2}, {"level": 0.8}):
        with pytest.raises(StoreFailed, match=next(iter(changed))):
            model.sample(photo, **({"n": 4, "tile": 16, "store": path, "resume": True} | changed))
    with pytest.raises(StoreFailed, match="input_sha256"):
        model.sample(255 - photo, 4, tile=16, store=path, resume=True)
    first = drawn[:2]
    ds = model.sample(photo, 4, tile=16, store=path, resume=True)
    assert not set(first) & set(drawn[3:]) and len(set(drawn)) == 4
    xr.testing.assert_equal(ds.compute(), model.sample(photo, 4, tile=16, keep_samples=False))
    with pytest.raises(StoreFailed, match="leave resume out"):
        model.sample(photo, 4, store=tmp_path / "b.zarr", resume=True)
    (tmp_path / "c.zarr").mkdir()
    with pytest.raises(StoreFailed, match="no store"):
        model.sample(photo, 4, store=tmp_path / "c.zarr", resume=True)


def test_no_room_is_said_before_any_work(model, photo, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(StoreFailed, match="MiB"):
        model.sample(photo, 2, store=tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk(model, photo, tmp_path):
    """On a file system of one MiB, where the test may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        with pytest.raises(StoreFailed, match="free"):
            model.sample(np.tile(photo, (4, 4, 1)), 8, store=small / "a.zarr", keep_samples=True)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_write_that_fails_says_how_to_go_on(model, photo, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    create = store.Store.create
    with monkeypatch.context() as patch:

        def created(*args):
            made = create(*args)
            patch.setattr(zarr.Array, "__setitem__", full)
            return made

        patch.setattr(store.Store, "create", created)
        with pytest.raises(StoreFailed, match="resume=True"):
            model.sample(photo, 2, tile=16, store=tmp_path / "a.zarr")
    ds = model.sample(photo, 2, tile=16, store=tmp_path / "a.zarr", resume=True)
    assert np.isfinite(ds["mean"]).all()
