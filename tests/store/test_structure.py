"""Attributes and arrays that do not fit; ``tests/faults/test_hostile_stores.py`` has many more."""

import json

import numpy as np
import pytest
import zarr

from bayesr.errors import InvalidProduct
from bayesr.store import structure
from bayesr.store.layout import Store
from tests.store.helpers import written


@pytest.fixture
def path(tmp_path):
    written(tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def test_a_whole_store_fits(path, tmp_path):
    structure.require(Store(str(path)))
    assert structure.damage(Store(str(path))) == ""
    assert structure.damage(written(tmp_path / "chunks.zarr", shards=False)) == ""


def test_files_are_those_of_tiles(path):
    """Where they are smaller, no tile could be removed or written by itself."""
    chunked = zarr.open_group(path, mode="r+").create_array(
        "std", shape=(2, 12, 10), chunks=(1, 4, 4), dtype="float32", overwrite=True
    )
    assert structure.damage(Store(str(path))).startswith(f"{path} is damaged: the part of std in a file is (1, 4, 4)")
    assert chunked.shards is None


@pytest.mark.parametrize(
    ("inside", "key", "value", "message"),
    [
        ("", "attributes", {}, "lacks the attribute"),
        ("mean", "shape", [2, 12, 8], r"mean is \(2, 12, 8\), .* need \(2, 12, 10\)"),
        ("samples", "shape", [9, 2, 12, 10], "samples is"),
        ("progress/done", "shape", [9, 9], "done is uint32"),
        ("progress/input", "shape", [2, 60, 50], "done is"),
        ("progress/checksum", "data_type", "int64", "checksum is int64"),
        ("std", "data_type", "float64", "std is float64"),
        ("y", "shape", [3], "is damaged"),
    ],
)
def test_what_does_not_fit_is_named(path, inside, key, value, message):
    file = path / inside / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(InvalidProduct, match=message):
        structure.require(Store(str(path)))
    assert structure.damage(Store(str(path)))


def test_coordinates_are_those_of_members(path):
    store = Store(str(path))
    store.array("realization")[:] = np.array([0, 1, 1, 3])
    assert "realization is changed" in structure.damage(store)
