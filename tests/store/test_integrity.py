"""Damage of stores; how damaged tiles are drawn again is tested in ``tests/sampling/test_repairing.py``."""

import zlib

import numpy as np
import pytest

from bayesr.product import MAPS, SAMPLES
from bayesr.store.integrity import Counts, IntegrityReport, damage, inspect
from bayesr.store.layout import Store
from tests.store.helpers import TILES, VARIABLES, declared, part, values, written

COUNTS = Counts(4, None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.zarr"


def test_checksums_are_those_of_the_values(path):
    store, arrays = written(path), values(4)
    for tile in TILES:
        recorded = store.checksums(store.tile_index(tile))
        assert set(recorded) == set(VARIABLES) and damage(store, store.tile_index(tile), COUNTS) == {}
        for name in (*MAPS, SAMPLES):
            expected = zlib.crc32(np.ascontiguousarray(part(arrays, tile)[name]).data)
            assert recorded[name] == store.checksum_of(name, store.tile_index(tile), 4) == expected


@pytest.mark.parametrize("shards", [True, False])
@pytest.mark.parametrize("name", ["mean", SAMPLES])
def test_other_values_and_broken_files_are_found_where_they_are(path, name, shards):
    store = written(path, shards=shards)
    store.array(name)[..., :8, :8] = 7
    assert damage(store, (0, 0), COUNTS) == {name: "does not have its recorded checksum"}
    assert damage(store, (0, 1), COUNTS) == damage(store, (1, 0), COUNTS) == {}
    for file in (path / name / "c").rglob("1/0"):
        if file.is_file():
            file.write_bytes(b"nothing")
    report = inspect(Store(str(path)), False)
    assert set(report.damaged) == {(0, 0), (1, 0)} and not report.sound
    assert report.damaged[1, 0][name].startswith("cannot be read")


@pytest.mark.parametrize("shards", [True, False])
@pytest.mark.parametrize("name", ["mean", SAMPLES])
def test_a_missing_byte_is_found(path, name, shards):
    """Decoders read a file from which the last byte is missing, and may return the right values."""
    written(path, shards=shards)
    for file in (path / name / "c").rglob("1/0"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-1])
    report = inspect(Store(str(path)), False)
    assert set(report.damaged) == {(1, 0)} and set(report.damaged[1, 0]) == {name}


def test_a_changed_copy_of_the_image_is_found(path):
    store = written(path)
    assert inspect(store, False) == IntegrityReport(str(path), 4, 0)
    store.array("input")[0, 0, 0] = 1
    report = inspect(Store(str(path)), False)
    assert report.image and not report.damaged and "the copy of the image" in str(report)


def test_tiles_that_are_not_drawn_yet_are_no_damage(path):
    store = declared(path)
    store.write(TILES[0], part(values(4), TILES[0]), 4)
    report = inspect(store, False)
    assert (report.tiles, report.unfinished, dict(report.damaged)) == (4, 3, {})
    assert not report.sound and "3 not drawn yet" in str(report)
