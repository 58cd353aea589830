import json
import pickle

import pytest

from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.store.groups import NEXT, Groups
from tests.store.helpers import METADATA, declared, written


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.zarr"


def change(file, **changes):
    found = json.loads(file.read_text())
    found["attributes"].update(changes)
    file.write_text(json.dumps(found))


def test_attributes_are_read_as_plain_values(path):
    declared(path)
    groups = pickle.loads(pickle.dumps(Groups(str(path))))
    assert groups.declared and groups.metadata == METADATA
    assert groups.settings == {"tile": 4, "nodata": None, "keepbits": None}
    assert groups.provenance.n == groups.attributes["n"] == 4
    change(path / "progress" / "zarr.json", **{NEXT: 8})
    assert groups.settings[NEXT] == 8
    change(path / "progress" / "zarr.json", tile="x")
    with pytest.raises(InvalidProduct, match="tile must be"):
        groups.settings  # noqa: B018


def test_arrays_are_found_in_both_groups_or_missed(path):
    groups = written(path)
    assert groups.array("mean").path == "mean" and groups.array("done").path == "progress/done"
    for name in ("variance", "progress"):
        with pytest.raises(InvalidProduct, match="lacks"):
            Groups(str(path)).array("nothing" if name == "variance" else name)


def test_what_is_no_store_is_told_from_a_damaged_one(path):
    with pytest.raises(StoreFailed, match="There is no store"):
        Groups(str(path)).require()
    written(path)
    (path / "progress" / "zarr.json").unlink()
    with pytest.raises(InvalidProduct, match="lacks the metadata of its finished tiles"):
        Groups(str(path)).require()
    (path.parent / "b").mkdir()
    (path.parent / "b" / "mine.txt").touch()
    with pytest.raises(StoreFailed, match="no store of bayesr"):
        Groups(str(path.parent / "b")).require()


def test_all_metadata_are_gathered_when_a_store_is_finished(path):
    store = written(path)
    assert not store.consolidated
    store.consolidate()
    assert store.consolidated
