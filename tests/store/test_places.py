import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import StoreExists, StoreFailed
from bayesr.store import places


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


def test_no_room_is_said_before_any_work(model, photo, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
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
