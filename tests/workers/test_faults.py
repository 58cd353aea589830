"""Scenario: processes are killed, stores are contended, disks are full.

Finished tiles stay, and the product is the one of an undisturbed run. There are twenty kills in all: of the driver, of
worker processes, and of a driver whose workers live on.
"""

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import dask.array  # noqa: F401 (drivers are forked with it, and need not import it)
import numpy as np
import psutil
import pytest
import torch
from distributed import LocalCluster

import bayesr
from bayesr.errors import StoreBusy, StoreFailed
from tests.conftest import make_model
from tests.faults.kills import PROCESSES

SETTINGS = dict(n=4, tile=8, variables=["mean", "std"], seed=3)
TILES = 8 * 10


def image():
    y, x = np.mgrid[0:64, 0:80] / 80
    scene = 0.5 + 0.3 * np.sin(9 * y) * np.sign(x - y) + 0.2 * x
    return (255 * scene).astype(np.uint8)


def drive(place, **settings):
    """Sample as the script of a user does."""
    torch.set_num_threads(1)
    model = make_model(bands=1)
    return model.sample(image(), store=place, resume=Path(place).exists(), **SETTINGS, **settings)


def start(place, **settings):
    process = PROCESSES.Process(target=drive, args=(place,), kwargs=settings)
    process.start()
    return process


def done(place):
    """Return the tiles that are marked done, by row and column."""
    return {tuple(map(int, path.parts[-2:])) for path in (place / "progress/done/c").glob("*/*") if not path.suffix}


def shards(place):
    """Return the contents of all files except metadata, which hold the time."""
    files = [path for path in place.rglob("*") if path.is_file() and path.name != "zarr.json"]
    return {path.relative_to(place): path.read_bytes() for path in files if path.suffix != ".partial"}


def is_worker(process):
    with suppress(psutil.Error):  # it may have been killed just before
        return "bayesr.workers" in process.cmdline()


class Watch:
    """Records when the shards of finished tiles were written, to detect whether they are written again."""

    def __init__(self, place):
        self.place, self.written = place, {}

    def look(self):
        for row, column in done(self.place):
            for name in ("mean/c/0", "std/c/0", "progress/done/c", "progress/checksum/c"):
                path = self.place / name / str(row) / str(column)
                path = path / "0" if path.is_dir() else path
                self.written.setdefault(path, self.stamp(path))

    @staticmethod
    def stamp(path):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns

    def compare(self):
        assert self.written and all(self.stamp(path) == stamp for path, stamp in self.written.items())

    def wait(self, more, while_true):
        """Wait until so many more tiles are done."""
        enough = min(len(done(self.place)) + more, TILES)
        while len(done(self.place)) < enough and while_true():
            time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed") / "a.zarr"
    process = start(place)
    process.join()
    assert process.exitcode == 0 and len(done(place)) == TILES
    return shards(place)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of the user: its two processes live on when a driver dies."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


def kill_drivers(place, times, rng, **settings):
    """Start drivers on one store, each killed at a random moment, and a last one that finishes."""
    watch = Watch(place)
    for time_ in range(times):
        process = start(place, **settings)
        if time_ % 4 == 0:  # before or while it begins
            process.join(rng.uniform(0, 0.5))
        else:
            watch.wait(rng.integers(1, 2 * TILES // (times + 2)), process.is_alive)
            time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it was to be killed, not to end"
        watch.look()
    assert len(done(place)) < TILES
    process = start(place, **settings)
    process.join()
    assert process.exitcode == 0
    watch.compare()


def test_a_driver_is_killed_time_and_again(tmp_path, undisturbed):
    kill_drivers(tmp_path / "a.zarr", 13, np.random.default_rng(0))
    assert shards(tmp_path / "a.zarr") == undisturbed


def test_a_driver_is_killed_while_its_workers_live_on(tmp_path, undisturbed, cluster):
    kill_drivers(tmp_path / "a.zarr", 3, np.random.default_rng(1), cluster=cluster.scheduler_address)
    assert shards(tmp_path / "a.zarr") == undisturbed


def test_workers_are_killed_time_and_again(tmp_path, undisturbed):
    place, rng, kills = tmp_path / "a.zarr", np.random.default_rng(2), []
    watch = Watch(place)

    def kill():
        while len(kills) < 4:
            watch.wait(rng.integers(3, 15), lambda: True)
            time.sleep(rng.uniform(0, 0.03))
            mine = [child for child in psutil.Process().children() if is_worker(child)]
            if mine and len(done(place)) < TILES:
                watch.look()
                rng.choice(mine).kill()
                kills.append(len(done(place)))

    killer = Thread(target=kill, daemon=True)
    killer.start()
    drive(place, cluster=2)
    killer.join(1)
    assert len(kills) == 4
    watch.compare()
    assert shards(place) == undisturbed


def grow(place):
    torch.set_num_threads(1)
    return bayesr.extend(place, 8, model=make_model(bands=1))


def grown(place):
    files = [place / "progress/done/c" / str(row) / str(column) for row, column in done(place)]
    return sum(np.frombuffer(path.read_bytes(), "<u4")[0] == 8 for path in files)


def test_an_extension_is_killed_time_and_again(tmp_path):
    """No member is counted twice, whichever tiles had been replaced."""
    whole, place, rng = tmp_path / "whole.zarr", tmp_path / "a.zarr", np.random.default_rng(4)
    make_model(bands=1).sample(image(), 4, tile=16, seed=3, store=whole)
    shutil.copytree(whole, place)
    grow(whole)
    for _ in range(4):
        process = PROCESSES.Process(target=grow, args=(place,))
        process.start()
        enough = grown(place) + rng.integers(1, 4)
        while grown(place) < enough and process.is_alive():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL and grown(place) < 20
    grow(place)
    assert shards(place) == shards(whole)


def test_of_two_processes_on_a_store_one_is_refused(tmp_path, undisturbed):
    place = tmp_path / "a.zarr"
    process, model = start(place), make_model(bands=1)
    Watch(place).wait(5, process.is_alive)
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(StoreBusy, match=f"rocess {process.pid} "):
            model.sample(image(), store=place, **SETTINGS, **how)
    process.join()
    assert process.exitcode == 0 and shards(place) == undisturbed


@pytest.mark.parametrize("many", [False, True])
def test_a_full_disk_is_an_error_and_the_store_can_be_resumed(tmp_path, undisturbed, cluster, many):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        how = {"cluster": cluster.scheduler_address} if many else {}
        with pytest.raises(StoreFailed, match=r"No space left.*resume=True"):
            drive(small / "a.zarr", **how)
        watch = Watch(small / "a.zarr")
        watch.look()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        drive(small / "a.zarr", **how)
        watch.compare()
        assert shards(small / "a.zarr") == undisturbed
    finally:
        subprocess.run(["umount", str(small)], check=True)
