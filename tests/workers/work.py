"""Small work for tests: each tile is written as a file."""

import time
from pathlib import Path

import numpy as np

from bayesr.grid import tiles

TILES = list(tiles(24, 20, 4, 1))
TOTAL = 4.0 * len(TILES)


class Work:
    """Sums a tile's window; the folder `path` takes the place of a store."""

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
        """Return whether this is the first call with these words, in any process."""
        try:
            Path(f"{self.path}-{what}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class Slow(Work):
    def draw(self, tile, advance):
        for _ in range(40):
            time.sleep(0.01)
            advance(0.1)
        return Work.draw(self, tile, lambda amount: None)


def clean(client):
    """Check that nothing of a run is left on a cluster."""
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
