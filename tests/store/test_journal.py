"""Replacement of tiles; that whole extensions survive interrupts is tested in ``tests/sampling/test_extending.py``."""

import numpy as np
import pytest

from bayesr.product import MASK_MEANS, SAMPLES
from bayesr.store.groups import NEXT
from bayesr.store.integrity import Counts, damage, inspect
from bayesr.store.journal import Journal
from bayesr.store.layout import Store
from tests.store.helpers import SCALE, TILES, VARIABLES, attributes_after_each_write, part, values, written

N, MORE = 4, 6


@pytest.fixture(params=[True, False], ids=["shards", "chunks"])
def path(tmp_path, request):
    written(tmp_path / "a.zarr", N, shards=request.param)
    return tmp_path / "a.zarr"


def later(tile):
    """Return the maps of all members, and the members that are new, on a tile."""
    return part(values(MORE, seed=1), tile) | {SAMPLES: part(values(MORE, seed=1), tile)[SAMPLES][N:]}


def test_tiles_are_replaced_and_members_are_added(path):
    journal = Journal(Store(str(path)))
    assert journal.members is None
    journal.open(MORE, 2)
    journal.open(MORE, 2)  # an extension that continues
    assert journal.members == MORE and Store(str(path)).array(SAMPLES).shape[0] == MORE
    for tile in TILES:
        journal.replace(tile, later(tile), MORE, N)
        assert not journal.pending(journal.store.tile_index(tile), MORE)
    journal.close(MORE)
    store = Store(str(path))
    assert journal.members is None and not (path / "progress" / NEXT).exists()
    assert (store.done() == MORE).all() and store.attributes["n"] == MORE
    assert store.attributes["history"].endswith(f"extend(n={MORE})")
    for tile in TILES:
        found, first = store.read(tile, VARIABLES), part(values(N), tile)
        np.testing.assert_array_equal(found["mean"], later(tile)["mean"])
        np.testing.assert_array_equal(found[SAMPLES], [*first[SAMPLES], *later(tile)[SAMPLES]])
        np.testing.assert_allclose(found[MASK_MEANS], later(tile)[MASK_MEANS], rtol=1e-4)
    assert inspect(store, False).sound


def test_an_extension_is_recorded_whole_or_not_at_all(path, monkeypatch):
    """Whenever it is killed, the history names the extension if and only if `n` counts its members."""
    journal = Journal(Store(str(path)))
    journal.open(MORE, 2)
    for tile in TILES:
        journal.replace(tile, later(tile), MORE, N)
    seen = attributes_after_each_write(monkeypatch, path)
    journal.close(MORE)
    assert seen and seen[-1]["n"] == MORE
    assert all((found["n"] == MORE) == ("extend" in found["history"]) for found in seen)


@pytest.mark.parametrize("stop", ["put_maps", "put_members"])
def test_an_interrupted_replacement_is_finished_or_begun_again(path, monkeypatch, stop):
    """Before the journal holds the tile the old one is whole; afterwards the journal is."""
    tile = TILES[1]

    def killed(*args):
        raise KeyboardInterrupt

    journal = Journal(Store(str(path)))
    journal.open(MORE, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Store, stop, killed)
        with pytest.raises(KeyboardInterrupt):
            journal.replace(tile, later(tile), MORE, N)
    journal = Journal(Store(str(path)))
    assert journal.pending(journal.store.tile_index(tile), MORE) == (stop == "put_maps") and not journal.store.is_done(
        tile, MORE
    )
    if journal.pending(journal.store.tile_index(tile), MORE):
        journal.resume(tile, MORE)
    else:
        journal.replace(tile, later(tile), MORE, N)
    assert not journal.pending(journal.store.tile_index(tile), MORE) and journal.store.is_done(tile, MORE)
    where = tile.high(SCALE)
    np.testing.assert_array_equal(Store(str(path)).array("std")[(..., *where)], later(tile)["std"])
    assert damage(journal.store, journal.store.tile_index(tile), Counts(N, MORE)) == {}
