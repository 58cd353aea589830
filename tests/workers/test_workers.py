"""Small work, real clusters: tiles are written as files that say who drew them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread, Timer, active_count, current_thread

import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster, get_worker

from bayesr import workers
from bayesr.errors import InvalidArgument, StoreFailed, WorkersFailed
from bayesr.grid import tiles
from bayesr.workers import clusters, dispatch
from bayesr.workers.pipeline import IN_HAND

TILES = list(tiles(24, 20, 4, 1))
TOTAL = 4.0 * len(TILES)
ROOT = Path(__file__).parents[2]


class Work:
    """Sums a tile's window; `path` is what the store would be."""

    cost = 4.0

    def __init__(self, path):
        self.path = Path(path)

    def of(self, tile):
        return self.path / f"{tile.core[0]}-{tile.core[2]}"

    def is_done(self, tile):
        return self.of(tile).exists()

    def draw(self, tile, advance):
        for _ in range(4):
            advance(1.0)
        return np.arange(*tile.window[:2]).sum() + np.arange(*tile.window[2:]).sum()

    def write(self, tile, drawn):
        with self.of(tile).open("x") as file:  # once
            file.write(f"{drawn}")

    def check(self, expected=TILES):
        draw = [Work.draw(self, tile, lambda amount: None) for tile in expected]
        assert {path.name: path.read_text() for path in self.path.iterdir()} == {
            self.of(tile).name: f"{drawn}" for tile, drawn in zip(expected, draw, strict=True)
        }

    def first_time(self, what):
        """Whether nobody asked before, in whatever process."""
        try:
            Path(f"{self.path}-{what}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@pytest.fixture
def path(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture(scope="module")
def client():
    """Of a cluster with one worker of three threads, in this process."""
    settings = dict(processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0")
    with LocalCluster(n_workers=1, threads_per_worker=3, **settings) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(dispatch, "_LOOK", 0.2)


def clean(client):
    """Nothing of a run is left on a cluster."""
    scheduler = client.cluster.scheduler
    assert client.status == "running" and not [key for key in client.futures if key.startswith("bayesr")]
    assert not [name for name in scheduler.worker_plugins if name.startswith("bayesr")]
    for worker in client.cluster.workers.values():
        assert not [name for name in worker.plugins if name.startswith("bayesr")]
    for _ in range(100):
        if not (left := [key for key in scheduler.tasks if key.startswith("bayesr")]):
            return
        time.sleep(0.05)
    raise AssertionError(left)


# -- in this process -----------------------------------------------------------------------------------


def test_every_tile_once(path):
    done, threads = [], active_count()
    workers.run(Work(path), iter(TILES), TOTAL, done.append)
    Work(path).check()
    assert sum(done) == TOTAL and active_count() == threads


def test_a_tile_is_written_while_the_next_is_drawn_and_only_one_waits(path):
    class Watched(Work):
        drawing, log = Event(), []

        def draw(self, tile, advance):
            if self.log:
                self.drawing.set()
            in_hand = [kind for kind, _ in self.log].count("drawn") - [kind for kind, _ in self.log].count("written")
            assert in_hand < IN_HAND
            self.log.append(("drawn", tile))
            return Work.draw(self, tile, advance)

        def write(self, tile, drawn):
            assert current_thread().name == "bayesr-writer"
            assert self.drawing.wait(5), "nothing is drawn meanwhile"
            time.sleep(0.01)
            Work.write(self, tile, drawn)
            self.log.append(("written", tile))

    work = Watched(path)
    workers.run(work, TILES, TOTAL, lambda amount: None)
    for kind in ("drawn", "written"):
        assert [tile for what, tile in work.log if what == kind] == TILES


def test_an_error_in_writing_ends_the_drawing_at_once(path):
    error, failed = StoreFailed("full"), Event()

    class Full(Work):
        drawn = 0

        def draw(self, tile, advance):
            if tile is TILES[1]:
                assert failed.wait(5)
                time.sleep(0.05)
                advance(1.0)
                raise AssertionError("drawing goes on")
            return Work.draw(self, tile, advance)

        def write(self, tile, drawn):
            failed.set()
            raise error

    with pytest.raises(StoreFailed) as caught:
        workers.run(Full(path), TILES, TOTAL, lambda amount: None)
    assert caught.value is error


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_is_drawn_before_an_error_or_an_interrupt_is_written(path, kind):
    class Stops(Work):
        def draw(self, tile, advance):
            if tile is TILES[3]:
                raise kind("stop")
            return Work.draw(self, tile, advance)

        def write(self, tile, drawn):
            time.sleep(0.05)
            Work.write(self, tile, drawn)

    threads = active_count()
    with pytest.raises(kind, match="stop"):
        workers.run(Stops(path), TILES, TOTAL, lambda amount: None)
    Work(path).check(TILES[:3])
    assert active_count() == threads


# -- on a cluster --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["client", "cluster", "address"])
def test_a_cluster_of_the_user_is_left_as_it_was(path, client, how):
    done, threads = [], torch.get_num_threads()
    cluster = {"client": client, "cluster": client.cluster, "address": client.cluster.scheduler_address}[how]
    workers.run(Work(path), iter(TILES), TOTAL, done.append, cluster)
    Work(path).check()
    assert sum(done) == TOTAL and torch.get_num_threads() == threads
    clean(client)
    assert client.submit(sum, [1, 2], pure=False).result() == 3


class Threaded(Work):
    """Its worker lies in this process, so that class attributes tell what happens."""

    drawing, in_hand, most, overlapped, threads = 0, 0, 0, False, set()

    def draw(self, tile, advance):
        kind = type(self)
        kind.drawing += 1
        kind.in_hand += 1
        assert kind.drawing == 1 and kind.in_hand <= IN_HAND
        kind.threads.add(torch.get_num_threads())
        time.sleep(0.01)
        kind.drawing -= 1
        return Work.draw(self, tile, advance)

    def write(self, tile, drawn):
        time.sleep(0.01)
        type(self).overlapped |= self.drawing == 1
        Work.write(self, tile, drawn)
        type(self).in_hand -= 1


def test_a_worker_draws_one_tile_at_a_time_with_all_its_threads(path, client):
    workers.run(Threaded(path), TILES, TOTAL, lambda amount: None, client)
    Work(path).check()
    assert Threaded.overlapped and Threaded.threads == {3}


class Broken(Work):
    def __init__(self, path, where):
        super().__init__(path)
        self.where = where

    def draw(self, tile, advance):
        if self.where == "draw" and tile == TILES[7]:
            raise StoreFailed("broken in draw")
        return Work.draw(self, tile, advance)

    def write(self, tile, drawn):
        if self.where == "write" and tile == TILES[7]:
            raise StoreFailed("broken in write")
        Work.write(self, tile, drawn)


@pytest.mark.parametrize("where", ["draw", "write"])
def test_our_errors_come_back_at_once_as_they_are(path, client, where):
    with pytest.raises(StoreFailed, match=f"^broken in {where}$"):
        workers.run(Broken(path, where), TILES, TOTAL, lambda amount: None, client)
    clean(client)


class Shaky(Work):
    """One tile fails `times` times."""

    def __init__(self, path, times):
        super().__init__(path)
        self.times = times

    def draw(self, tile, advance):
        if tile == TILES[5] and any(self.first_time(i) for i in range(self.times)):
            raise RuntimeError("shaky")
        return Work.draw(self, tile, advance)


def test_other_errors_are_tried_again(path, client):
    done = []
    workers.run(Shaky(path, 2), TILES, TOTAL, done.append, client)
    Work(path).check()
    assert sum(done) == TOTAL


def test_an_error_that_stays_names_the_tile(path, client):
    top, bottom, left, right = TILES[5].core
    with pytest.raises(WorkersFailed, match=f"rows {top} to {bottom} and columns {left} to {right}.*shaky.*resume"):
        workers.run(Shaky(path, 3), TILES, TOTAL, lambda amount: None, client)
    clean(client)


class Slow(Work):
    def draw(self, tile, advance):
        for _ in range(40):
            time.sleep(0.01)
            advance(0.1)
        return Work.draw(self, tile, lambda amount: None)


def test_an_interrupt_stops_everything(path, client):
    def interrupt(amount):
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        workers.run(Slow(path), TILES, TOTAL, interrupt, client)
    done = [tile for tile in TILES if Slow(path).is_done(tile)]
    assert 1 <= len(done) <= 2 and time.monotonic() - begun < 0.4 * len(TILES) / 2
    clean(client)
    time.sleep(0.5)
    Work(path).check(done)  # nobody writes any more
    workers.run(Work(path), [tile for tile in TILES if tile not in done], TOTAL, lambda amount: None, client)
    Work(path).check()


def test_what_a_lost_driver_left_behind_stops_by_itself_and_is_removed_by_the_next(path, client):
    lost = Client(client.cluster.scheduler_address, set_as_default=False)
    with pytest.raises(WorkersFailed, match="resume"):
        workers.run(Slow(path), TILES, TOTAL, lambda amount: lost.close(), lost)
    assert [name for name in client.cluster.scheduler.worker_plugins if name.startswith("bayesr")]
    time.sleep(0.2)
    done = [tile for tile in TILES if Slow(path).is_done(tile)]
    time.sleep(0.5)
    Work(path).check(done)
    assert 1 <= len(done) <= 2
    workers.run(Work(path), TILES, TOTAL, lambda amount: None, client)
    Work(path).check()
    clean(client)


class Keyed(Work):
    def write(self, tile, drawn):
        self.of(tile).write_text(str(get_worker().get_current_task()))


def test_small_tiles_share_a_task(path, client):
    many = list(tiles(40, 400, 4, 0))
    workers.run(Keyed(path), iter(many), 4.0 * len(many), lambda amount: None, client)
    keys = [file.read_text() for file in path.iterdir()]
    assert len(keys) == len(many) and len(set(keys)) < len(many) / 2


def test_a_cluster_may_get_its_workers_late_and_they_have_the_work(path):
    settings = dict(processes=False, dashboard_address=":0", threads_per_worker=1)
    with LocalCluster(n_workers=0, **settings) as cluster:
        timer = Timer(0.5, cluster.scale, [2])
        timer.start()
        workers.run(Work(path), TILES, TOTAL, lambda amount: None, cluster)
        timer.join()
    Work(path).check()


def test_a_cluster_without_workers_is_given_up(path, monkeypatch):
    monkeypatch.setattr(dispatch, "_PATIENCE", 0.3)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(WorkersFailed, match="no worker"),
    ):
        workers.run(Work(path), TILES, TOTAL, lambda amount: None, cluster)


def test_a_scheduler_that_goes_away_is_an_error(path):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0")
    address = cluster.scheduler_address
    closer = Thread(target=cluster.close)
    with pytest.raises(WorkersFailed, match="resume"):
        workers.run(Slow(path), TILES, TOTAL, lambda amount: closer.ident or closer.start(), address)
    closer.join()


def test_what_is_no_cluster_is_refused(path, client, monkeypatch):
    monkeypatch.setattr(clusters, "_CONNECT", 0.3)
    for wrong in (0, -1, True, 2.0, "tcp://127.0.0.1:1", "nowhere", "ftp://a:1"):
        with pytest.raises(InvalidArgument):
            workers.run(Work(path), TILES, TOTAL, lambda amount: None, wrong)
    closed = Client(client.cluster, set_as_default=False)
    closed.close()
    with pytest.raises(InvalidArgument, match="closed"):
        workers.run(Work(path), TILES, TOTAL, lambda amount: None, closed)


# -- processes of our own ------------------------------------------------------------------------------


class Deadly(Work):
    """Its process is killed in the middle of two tiles, once while drawing, once before writing."""

    def draw(self, tile, advance):
        if tile == TILES[4] and self.first_time("draw"):
            os.kill(os.getpid(), signal.SIGKILL)
        assert torch.get_num_threads() == 1
        return Work.draw(self, tile, advance)

    def write(self, tile, drawn):
        if tile == TILES[17] and self.first_time("write"):
            os.kill(os.getpid(), signal.SIGKILL)
        Work.write(self, tile, drawn)


def test_tiles_of_killed_processes_are_done_by_others(path, capfd):
    done = []
    workers.run(Deadly(path), TILES, TOTAL, done.append, 2)
    Work(path).check()
    assert sum(done) == TOTAL
    assert capfd.readouterr().err == ""


class Suicidal(Work):
    def draw(self, tile, advance):
        sys.stderr.write("my last words\n")
        os._exit(7)


def test_processes_that_do_nothing_but_die_are_given_up(path, monkeypatch):
    monkeypatch.setattr(clusters, "_DEATHS", 1)
    with pytest.raises(WorkersFailed, match=r"exit code 7 \(my last words\).*resume"):
        workers.run(Suicidal(path), TILES, TOTAL, lambda amount: None, 1)


SCRIPT = """
import os, signal
from tests.workers.test_workers import *
workers.run(Slow({path!r}), TILES, TOTAL, lambda amount: os.kill(os.getpid(), signal.SIGKILL), 1)
"""


def test_a_plain_script_can_have_workers_which_end_with_it(path, tmp_path):
    """Without ``if __name__ == "__main__"``, and killed once the first tile is done."""
    for folder in ("here", "scratch"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(path)))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "scratch")}
    ran = subprocess.run([sys.executable, script], env=environment, cwd=tmp_path / "here", capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGKILL, b"", b"")
    for _ in range(100):
        if not list((tmp_path / "scratch").iterdir()):
            break
        time.sleep(0.05)
    done = [tile for tile in TILES if Slow(path).is_done(tile)]
    time.sleep(0.6)
    Work(path).check(done)
    assert done and not list((tmp_path / "scratch").iterdir()) and not list((tmp_path / "here").iterdir())
