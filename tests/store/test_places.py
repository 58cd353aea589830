import contextlib
import itertools
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import InvalidArgument, StoreExists, StoreFailed
from bayesr.store import places
from bayesr.store.places import check, files, is_same_or_inside, place_of


def test_an_existing_store_is_kept(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    model.sample(photo, 2, store=path)
    before = float(xr.open_zarr(path)["mean"].sum())
    with pytest.raises(StoreExists, match="overwrite"):
        model.sample(255 - photo, 2, store=path)
    assert float(xr.open_zarr(path)["mean"].sum()) == before
    assert float(model.sample(255 - photo, 2, store=path, overwrite=True)["mean"].sum()) != before


def test_other_folders_than_stores_are_never_replaced(model, photo, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    with pytest.raises(StoreFailed, match="does not touch"):
        model.sample(photo, 2, store=tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "dear"


def test_a_full_disk_is_refused_before_any_work(model, photo, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(StoreFailed, match="MiB"):
        model.sample(photo, 2, store=tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk(model, photo, tmp_path):
    """Write to a file system of one MiB, where the test may mount one."""
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


def test_places_are_paths_and_urls():
    assert place_of("s3://bucket/a.zarr") == "s3://bucket/a.zarr"
    assert place_of(Path("~/a.zarr")) == str(Path.home() / "a.zarr") and place_of("a.zarr") == "a.zarr"


def test_a_part_of_a_store_lies_in_the_same_place(tmp_path):
    place = str(tmp_path / "a.zarr")
    assert (
        is_same_or_inside(place, place)
        and is_same_or_inside(f"{place}/mean", place)
        and is_same_or_inside(f"{place}/../a.zarr", place)
    )
    assert (
        not is_same_or_inside(str(tmp_path), place)
        and not is_same_or_inside(f"{place}2", place)
        and not is_same_or_inside(None, place)
    )
    assert is_same_or_inside("s3://a/b.zarr", "s3://a/b.zarr") and not is_same_or_inside("s3://a/b.zarr", place)


def test_a_place_is_checked_before_any_work(tmp_path):
    check(str(tmp_path / "new" / "a.zarr"), 1000, overwrite=False, resume=False)
    (tmp_path / "file").touch()
    for place, options, error, message in (
        (tmp_path, {}, StoreExists, "already there"),
        (tmp_path / "file", {"overwrite": True}, StoreFailed, "no store of bayesr"),
        (tmp_path / "new.zarr", {"resume": True}, StoreFailed, "leave resume out"),
        (tmp_path / "new.zarr", {"resume": True, "overwrite": True}, InvalidArgument, "contradict"),
    ):
        with pytest.raises(error, match=message):
            check(str(place), 0, **({"overwrite": False, "resume": False} | options))
    with pytest.raises(StoreFailed, match="MiB"):
        check(str(tmp_path / "new.zarr"), 2**60, overwrite=False, resume=False)
    with pytest.raises(StoreFailed, match="such URLs"):
        files("nowhere://a/b.zarr")


def test_urls_that_open_a_damaged_archive_are_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    for url in (f"tar://x::{tmp_path / 'a.tar'}", f"zip://x::{tmp_path / 'a.tar'}"):
        with pytest.raises(StoreFailed, match="cannot be reached"):
            places.files(url)


def test_a_folder_that_is_still_written_to_is_removed(tmp_path):
    """As after a failed write of zarr, whose other threads go on for a while."""
    folder, stop = tmp_path / "a.zarr", threading.Event()

    def write():
        for i in itertools.count():
            if stop.is_set():
                return
            with contextlib.suppress(OSError):
                (folder / str(i % 7)).mkdir(parents=True, exist_ok=True)
                (folder / str(i % 7) / str(i)).write_bytes(b"")

    thread = threading.Thread(target=write)
    thread.start()
    ends = threading.Timer(0.3, stop.set)
    ends.start()
    try:
        while not stop.is_set():
            places.remove(str(folder))
    finally:
        stop.set()
        thread.join()
    places.remove(str(folder))
    places.remove(str(folder))
    assert not folder.exists()
