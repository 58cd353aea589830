import pickle

import numpy as np

from bayesr.sampling.drawing import Drawing
from tests.sampling.helpers import job_of


class Written:
    """A target that remembers tiles."""

    def __init__(self):
        self.tiles = {}

    def is_done(self, tile, n):
        return tile in self.tiles and self.tiles[tile][1] == n

    def write(self, tile, arrays, n):
        self.tiles[tile] = arrays, n


def test_a_tile_is_drawn_and_then_written_with_its_number_of_members(model, photo):
    job, target = job_of(model, photo, tile=16), Written()
    drawing, amounts = Drawing(job, target), []
    for tile in job.tiles():
        assert not drawing.is_done(tile)
        drawn = drawing.draw(tile, amounts.append)
        assert not drawing.is_done(tile), "drawing writes nothing"
        drawing.write(tile, drawn)
        assert drawing.is_done(tile)
        np.testing.assert_array_equal(target.tiles[tile][0]["mean"], job.draw(tile, lambda amount: None)["mean"])
    assert sum(amounts) == drawing.cost * len(target.tiles) == 2 * 4


def test_it_is_sent_to_workers(model, photo):
    drawing = Drawing(job_of(model, photo, tile=16), Written())
    tile = next(drawing.job.tiles())
    again = pickle.loads(pickle.dumps(drawing))
    for name, values in again.draw(tile, lambda amount: None).items():
        np.testing.assert_array_equal(values, drawing.draw(tile, lambda amount: None)[name])
