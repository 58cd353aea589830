import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
import xarray as xr
import zarr

from bayesr.errors import StoreFailed, UnknownModel
from bayesr.files import (
    append_atomically,
    locate,
    make_folder,
    nearest,
    temporary_folder,
    write_atomically,
    zarr_store,
)


@pytest.mark.parametrize("content", [b"new", bytearray(b"new"), memoryview(b"new"), "new"])
def test_a_file_is_replaced(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_atomically(path, content)
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    other = tmp_path / "b.txt"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_a_failure_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreFailed, match=r"a\.txt could not be written \(No space.*as it was before.*Free some space"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(StoreFailed, match=r"there is no folder .*absent. Make it first"):
        write_atomically(tmp_path / "absent" / "a.txt", "new")


def test_files_of_similar_names_are_kept(tmp_path):
    """Of a name with another suffix, such as .partial, and of a model that is called so."""
    names = ["thesis.partial", "thesis.safetensors.partial", "thesis.tmp", "thesis.safetensors~"]
    for name in names:
        (tmp_path / name).write_text(name)
    write_atomically(tmp_path / "thesis.safetensors", "model")
    write_atomically(tmp_path / "thesis.safetensors.partial", "another model")
    assert {p.name for p in tmp_path.iterdir()} == {*names, "thesis.safetensors"}
    assert (tmp_path / "thesis.partial").read_text() == "thesis.partial"
    assert (tmp_path / "thesis.safetensors").read_text() == "model"


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    """Even if somebody guessed the temporary name, nothing that exists is opened, and it is not removed either."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    victim, link = tmp_path / "victim", tmp_path / ".bayesr-guessed.partial"
    victim.write_text("mine")
    link.symlink_to(victim)
    with pytest.raises(StoreFailed, match="File exists"):
        write_atomically(tmp_path / "a.txt", "new")
    assert victim.read_text() == "mine" and link.is_symlink() and not (tmp_path / "a.txt").exists()


def test_a_link_at_the_final_name_is_replaced(tmp_path):
    victim, link, nowhere = tmp_path / "victim", tmp_path / "a.txt", tmp_path / "b.txt"
    victim.write_text("mine")
    link.symlink_to(victim)
    nowhere.symlink_to(tmp_path / "missing")
    for path in (link, nowhere):
        write_atomically(path, "new")
        assert path.read_text() == "new" and not path.is_symlink()
    assert victim.read_text() == "mine" and not (tmp_path / "missing").exists()


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/full")
    for name in ("pipe", "folder", "device"):
        for write in (write_atomically, append_atomically):
            with pytest.raises(StoreFailed, match="no regular file"):
                write(tmp_path / name, "new")
    assert {p.name for p in tmp_path.iterdir()} == {"pipe", "folder", "device"}
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_modes_and_long_names(tmp_path):
    secret, long = tmp_path / "secret", tmp_path / ("x" * 255)
    secret.touch(0o600)
    write_atomically(secret, "new")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    write_atomically(long, "new")
    assert long.read_text() == "new"
    with pytest.raises(StoreFailed, match="name too long"):
        write_atomically(tmp_path / ("x" * 256), "new")


LIMITED = """
import resource, sys
from pathlib import Path
from bayesr.errors import StoreFailed
from bayesr.files import append_atomically, write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
folder = Path(sys.argv[1])
for attempt in (
    lambda: write_atomically(folder / "a.txt", "x" * 2000),
    lambda: append_atomically(folder / "a.txt", "x" * 2000),
):
    try:
        attempt()
    except StoreFailed as error:
        print(error)
"""


def test_a_full_disk_leaves_everything_as_it_was(tmp_path):
    """The limit of the size of files is that of a process, so another process meets it."""
    (tmp_path / "a.txt").write_text("old")
    ran = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert len(lines) == 2 and all("File too large" in line and "Free some space" in line for line in lines)
    assert (tmp_path / "a.txt").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_text_is_appended(tmp_path):
    path = tmp_path / "a.txt"
    append_atomically(path, "one\n")
    append_atomically(path, "zwölf\n")
    assert path.read_text(encoding="utf-8") == "one\nzwölf\n"


def test_a_temporary_folder_goes_although_a_thread_still_writes_to_it(tmp_path, monkeypatch):
    """As after an interruption: the other thread does not know of it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = threading.Event()

    def write(folder):
        for i in range(20):
            (folder / "deep").mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                (folder / "deep" / str(i)).write_text("x")
            time.sleep(0.005)
        ended.set()

    with pytest.raises(KeyboardInterrupt), temporary_folder() as folder:
        threading.Thread(target=write, args=(folder,)).start()
        time.sleep(0.02)
        raise KeyboardInterrupt
    assert ended.wait(5) and list(tmp_path.iterdir()) == []
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_cannot_be_made_in_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match=os.strerror(errno.ENOTDIR)):
        make_folder(tmp_path / "file" / "inside")
    make_folder(tmp_path / "one" / "two")
    make_folder(tmp_path / "one" / "two")
    assert (tmp_path / "one" / "two").is_dir()


def test_the_nearest_names():
    assert nearest("natrual", ["aerial", "natural"])[0] == "natural"
    assert nearest("xyz", ["aerial", "natural"]) == ["aerial", "natural"]


def test_names_and_paths_are_located(tmp_path):
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    for name in ("natural", "aerial"):
        (bundled / f"{name}.safetensors").touch()
    own = tmp_path / "own.safetensors"
    own.touch()
    assert locate("natural", bundled, "model") == bundled / "natural.safetensors"
    assert locate(own, bundled, "model") == own
    with pytest.raises(UnknownModel, match=r"No model 'natrual'.*Nearest: natural.*See the list\."):
        locate("natrual", bundled, "model", "See the list.")
    with pytest.raises(UnknownModel, match="none is bundled"):
        locate("natural", tmp_path / "bundled" / "none", "segmenter")


def test_names_that_no_system_has_are_refused(tmp_path):
    with pytest.raises(StoreFailed, match="no name of a file"):
        write_atomically(tmp_path / "a\0b", "new")
    for given in ([], None, 5.0, {}):
        with pytest.raises(UnknownModel, match="a name or a path, not"):
            locate(given, tmp_path, "model")


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    """A file that is being written is locked; other names are those of the user."""
    leftover, written = (tmp_path / f".bayesr-{n * 16}.partial" for n in "ab")
    kept = [tmp_path / "thesis.partial", tmp_path / "a.partial", tmp_path / ".bayesr-c.partial.txt", written]
    for path in (leftover, *kept):
        path.touch()
    (tmp_path / ".bayesr-d.partial").mkdir()
    (tmp_path / ".bayesr-e.partial").symlink_to(kept[0])
    os.mkfifo(tmp_path / ".bayesr-f.partial")
    before = set(tmp_path.iterdir())
    with open(written, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(tmp_path / "a.txt", "new")
    assert set(tmp_path.iterdir()) == before - {leftover} | {tmp_path / "a.txt"}


def test_writers_at_the_same_time_remove_nothing_of_each_other(tmp_path):
    def write(k):
        for i in range(60):
            write_atomically(tmp_path / f"{k % 2}.txt", f"{k} {i}" * 99)

    threads = [Thread(target=write, args=(k,)) for k in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda failed: failures.append(failed))
        failures = []
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures and sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt"]


@pytest.mark.parametrize("name", ["a#b.zarr", "a?b=1.zarr", "a b%20.zarr"])
def test_a_folder_is_no_url(tmp_path, name):
    root = zarr.open_group(zarr_store(tmp_path / name), mode="a", zarr_format=3)
    root.create_array("a", shape=(2,), dtype="u1", dimension_names=["x"])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    ds = xr.open_dataset(zarr_store(str(tmp_path / name)), engine="zarr", consolidated=False)
    assert list(zarr.open_group(zarr_store(str(tmp_path / name)), mode="r")) == ["a"] and ds.sizes == {"x": 2}
    assert zarr_store("memory://a.zarr") == "memory://a.zarr"
