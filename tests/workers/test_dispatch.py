import time
from threading import Thread, Timer

import pytest
import torch
from distributed import Client, LocalCluster, get_worker

from bayesr import workers
from bayesr.errors import StoreFailed, WorkersFailed
from bayesr.grid import tiles
from bayesr.workers import dispatch
from bayesr.workers.pipeline import TILES_IN_MEMORY
from tests.workers.work import TILES, TOTAL, Slow, Work, clean


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
    """The worker is in this process, so that class attributes record the calls."""

    drawing, in_hand, most, overlapped, threads = 0, 0, 0, False, set()

    def draw(self, tile, advance):
        kind = type(self)
        kind.drawing += 1
        kind.in_hand += 1
        assert kind.drawing == 1 and kind.in_hand <= TILES_IN_MEMORY
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


def test_tasks_of_a_lost_driver_stop_and_the_next_run_removes_them(path, client):
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
    monkeypatch.setattr(dispatch, "NO_WORKER_TIMEOUT", 0.3)
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


def late(ended, error=None):
    """Yield the second half of all tiles when those of the first half are done."""
    half = len(TILES) // 2
    yield from TILES[:half]
    while len(ended) < half:
        yield None
    if error is not None:
        raise error
    yield from TILES[half:]
    yield None


def test_tiles_that_are_not_ready_yet_are_waited_for(path, client):
    done = []
    workers.run(Work(path), late(Ended(done, 4.0)), TOTAL, done.append, client)
    Work(path).check()
    assert sum(done) == TOTAL


def test_an_error_of_the_tiles_ends_the_run(path, client):
    done = []
    with pytest.raises(StoreFailed, match=r"^no more$"):
        workers.run(Work(path), late(Ended(done, 4.0), StoreFailed("no more")), TOTAL, done.append, client)
    clean(client)


class Ended:
    """The number of tiles that are done, by the amounts of work."""

    def __init__(self, amounts, cost):
        self.amounts, self.cost = amounts, cost

    def __len__(self):
        return round(sum(self.amounts) / self.cost)
