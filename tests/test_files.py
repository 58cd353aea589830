import fcntl
import os
import threading
from pathlib import Path
from threading import Thread

import pytest

from bayesr.errors import UnknownModel
from bayesr.files import locate, nearest, write_atomically


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
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "a.txt", "new")


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
