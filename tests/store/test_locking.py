import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread

import fsspec
import psutil
import pytest

from bayesr.errors import StoreBusy, StoreFailed
from bayesr.store import locking
from bayesr.store.locking import LEASE, lock

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from bayesr.store.locking import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other():
    """Another process that holds a store."""
    started = []

    def hold(place):
        command = [sys.executable, "-c", HOLD, str(place)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def url():
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://bucket/a.zarr"
    files.store.clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(locking, "_SETTLE", 0.1)
    monkeypatch.setattr(locking, "_RENEWAL_INTERVAL", 0.05)


def lease(url):
    files, path = fsspec.core.url_to_fs(url)
    return json.loads(files.cat_file(f"{path}{LEASE}"))


def leave(url, age=0.0, **changes):
    """Write a lease of this process, renewed `age` seconds ago, with changes."""
    there = {"id": "other", "host": socket.gethostname(), "pid": os.getpid(), "time": time.time() - age}
    there["started"] = psutil.Process().create_time()
    files, path = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{path}{LEASE}", json.dumps(there | changes).encode())


# -- directories ---------------------------------------------------------------------------------------


def test_a_directory_has_one_writer_and_no_trace_of_it(tmp_path):
    place = str(tmp_path / "new" / "a.zarr")
    for _ in range(2):
        with lock(place), lock(str(tmp_path / "b.zarr")):
            with pytest.raises(StoreBusy, match=f"(?s)rocess {os.getpid()} on this machine.*resume"), lock(place):
                pass
            assert not list(Path(place).iterdir())


def test_directories_above_are_removed_unless_something_is_in_them(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(KeyError), lock(str(tmp_path / "old" / "new" / "newer" / "a.zarr")):
        raise KeyError
    assert not list((tmp_path / "old").iterdir())
    with lock(str(tmp_path / "new" / "newer" / "a.zarr")):
        (tmp_path / "new" / "b").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b"]


def test_another_process_is_kept_out_until_it_is_killed(tmp_path, other):
    process = other(tmp_path)
    with pytest.raises(StoreBusy, match=f"rocess {process.pid} "), lock(str(tmp_path)):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock(str(tmp_path)):
        assert not list(tmp_path.iterdir())


def test_a_directory_that_another_writer_removes_meanwhile_is_made_again(tmp_path):
    """A writer that leaves nothing removes the directory; whoever opened it before must not lock the removed one."""
    place, results, together = tmp_path / "a.zarr", [], Barrier(4)

    def attempt(name):
        together.wait()
        for _ in range(200):
            with suppress(StoreBusy), lock(str(place)):
                results.append(place.exists() and not list(place.iterdir()))
                (place / name).touch()
                results.append([path.name for path in place.iterdir()] == [name])
                (place / name).unlink()

    threads = [Thread(target=attempt, args=(f"{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) > 4 and all(results)


def test_a_directory_stays_locked_when_it_is_emptied(tmp_path):
    (tmp_path / "mean").mkdir()
    with lock(str(tmp_path)):
        shutil.rmtree(tmp_path / "mean")
        with pytest.raises(StoreBusy), lock(str(tmp_path)):
            pass


def test_errors_let_go(tmp_path, url):
    for place in (str(tmp_path), url):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt), lock(place):
                raise KeyboardInterrupt


def test_a_place_that_cannot_exist_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file" / "a.zarr"), "nosuchthing://a/b"):
        with pytest.raises(StoreFailed), lock(place):
            pass


def test_a_directory_that_cannot_be_locked_has_a_lease(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(locking.fcntl, "flock", refuse)
    with lock(str(tmp_path)):
        assert lease(str(tmp_path))["pid"] == os.getpid()
        with pytest.raises(StoreBusy), lock(str(tmp_path)):
            pass
    assert not list(tmp_path.parent.glob(f"*{LEASE}"))


# -- leases --------------------------------------------------------------------------------------------


def test_an_object_store_has_one_writer(url):
    for _ in range(2):
        with lock(url), lock("memory://bucket/b.zarr"):
            assert lease(url)["time"] <= time.time()
            with pytest.raises(StoreBusy, match=f"rocess {os.getpid()} on {socket.gethostname()}"), lock(url):
                pass
        assert not fsspec.filesystem("memory").find("/")


def test_a_lease_is_renewed(url):
    with lock(url):
        first = lease(url)["time"]
        time.sleep(0.2)
        assert lease(url)["time"] > first


@pytest.mark.parametrize(
    ("changes", "free"),
    [
        ({}, False),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "age": -1000}, False),
        ({"host": "elsewhere", "age": 61}, True),
        ({"started": 0.0}, True),  # another process had this number
        ({"pid": 2**22 + 1}, True),  # more than Linux counts to
    ],
)
def test_only_a_lease_that_is_old_or_of_a_dead_process_is_taken_over(url, changes, free):
    leave(url, **changes)
    if free:
        with lock(url):
            assert lease(url)["id"] != "other"
    else:
        with pytest.raises(StoreBusy), lock(url):
            pass
        assert lease(url)["id"] == "other"


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "elsewhere", "age": -(10**6)},
        {"host": "elsewhere", "time": "now"},
        {"host": "elsewhere", "time": None},
        {"host": "elsewhere", "time": float("nan")},
        {"host": "elsewhere", "time": 1e300},
        {"host": ["a"], "pid": {}, "time": True},
        {"pid": "x", "time": "x"},
        {"pid": -1, "time": None},
        {"age": -(10**6)},  # this process lives, and its clock was set back
        {"started": "x", "time": []},
    ],
)
def test_in_doubt_the_message_says_how_to_go_on(url, changes):
    leave(url, **changes)
    with pytest.raises(StoreBusy, match=f"/bucket/a.zarr{LEASE} is a leftover: remove it"), lock(url):
        pass
    fsspec.filesystem("memory").rm(f"/bucket/a.zarr{LEASE}")
    with lock(url):
        assert lease(url)["pid"] == os.getpid()


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": "x", "time": 0},
        {"pid": 2**22 + 1, "time": "x"},
        {"pid": 2**70, "time": None},
        {"started": 0.0, "time": 9e9},
    ],
)
def test_a_lease_with_wrong_fields_is_taken_over_where_the_others_tell(url, changes):
    leave(url, **changes)
    with lock(url):
        assert lease(url)["id"] != "other"


def test_a_link_to_nothing_is_refused_at_once(tmp_path):
    (tmp_path / "a.zarr").symlink_to(tmp_path / "nothing")
    with pytest.raises(StoreFailed, match="does not exist: remove the link"), lock(str(tmp_path / "a.zarr")):
        pass
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_lease_is_none(url):
    files, path = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{path}{LEASE}", b'{"id": "oth')
    with lock(url):
        assert lease(url)["pid"] == os.getpid()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_one_gets_the_lease(url, stale):
    together, results = Barrier(8), []

    def attempt():
        together.wait()
        try:
            with lock(url):
                results.append(True)
                time.sleep(0.5)
        except StoreBusy:
            results.append(False)

    if stale:
        leave(url, time=0.0)
    threads = [Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]


def test_a_lease_that_was_lost_is_an_error_and_left_to_the_other(url):
    with pytest.raises(StoreBusy, match="Process 5 on elsewhere took"), lock(url):
        leave(url, host="elsewhere", pid=5)
        time.sleep(0.2)
    assert lease(url)["id"] == "other"
