import time
from threading import Event, current_thread
from threading import enumerate as all_threads

import pytest

from bayesr import workers
from bayesr.errors import StoreFailed
from bayesr.workers import pipeline
from bayesr.workers.pipeline import TILES_IN_MEMORY
from tests.workers.work import TILES, TOTAL, Work


def test_every_tile_once(path):
    done, threads = [], set(all_threads())
    workers.run(Work(path), iter(TILES), TOTAL, done.append)
    Work(path).check()
    assert sum(done) == TOTAL and set(all_threads()) <= threads  # others may end meanwhile


def test_a_tile_is_written_while_the_next_is_drawn_and_only_one_waits(path):
    class Watched(Work):
        drawing, log = Event(), []

        def draw(self, tile, advance):
            if self.log:
                self.drawing.set()
            in_hand = [kind for kind, _ in self.log].count("drawn") - [kind for kind, _ in self.log].count("written")
            assert in_hand < TILES_IN_MEMORY
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
def test_tiles_drawn_before_an_error_or_an_interrupt_are_written(path, kind):
    class Stops(Work):
        def draw(self, tile, advance):
            if tile is TILES[3]:
                raise kind("stop")
            return Work.draw(self, tile, advance)

        def write(self, tile, drawn):
            time.sleep(0.05)
            Work.write(self, tile, drawn)

    threads = set(all_threads())
    with pytest.raises(kind, match="stop"):
        workers.run(Stops(path), TILES, TOTAL, lambda amount: None)
    Work(path).check(TILES[:3])
    assert set(all_threads()) <= threads


def test_tiles_that_are_not_ready_yet_are_waited_for(path):
    workers.run(Work(path), (given for tile in TILES for given in (None, tile, None)), TOTAL, lambda amount: None)
    Work(path).check()


def test_memory_is_released_after_every_sixteenth_tile(monkeypatch):
    calls = []
    monkeypatch.setattr(pipeline, "_malloc_trim", lambda: calls.append)
    one, other = pipeline.MemoryReleaser(), pipeline.MemoryReleaser()
    for tile in range(1, 41):
        one.tile_done()
        assert len(calls) == tile // 16
    other.tile_done()
    assert calls == [0, 0], "every process and every run counts its own tiles"


def test_systems_that_cannot_release_memory_are_left_alone(monkeypatch):
    monkeypatch.setattr(pipeline, "_malloc_trim", lambda: None)
    releaser = pipeline.MemoryReleaser()
    for _ in range(40):
        releaser.tile_done()


def test_the_real_function_can_be_called():
    releaser = pipeline.MemoryReleaser()
    for _ in range(32):
        releaser.tile_done()
