"""One product takes the place of another; that every kill is survived is tested in ``tests/faults``."""

import pytest

from bayesr.errors import StoreFailed
from bayesr.store import replacing
from bayesr.store.places import COMPLETE, INCOMPLETE, MOVING, OLD


def tree(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path):
    tree(tmp_path / "a.zarr", zarr_json="old", mean__c="old", samples__c="old", progress__input="old")
    tree(tmp_path / "a.zarr" / INCOMPLETE, zarr_json="new", mean__c="new", progress__input="new")
    return tmp_path / "a.zarr"


NEW = {"zarr.json": "new", "mean/c": "new", "progress/input": "new"}


def test_the_new_product_takes_the_place_of_the_old_one(place):
    assert replacing.is_being_replaced(str(place)) and replacing.new_place(str(place)) == str(place / INCOMPLETE)
    replacing.commit(str(place))
    assert content(place) == NEW and not replacing.is_being_replaced(str(place))
    replacing.commit(str(place))
    assert content(place) == NEW


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
@pytest.mark.parametrize("when", ["complete", "moving"])
def test_a_replacement_that_was_cut_short_is_finished(place, when, moved):
    old, new = [place / name for name in ("zarr.json", "samples", "progress", "mean")], place / INCOMPLETE
    (place / OLD).mkdir()
    for path in old if when == "moving" else old[:moved]:
        path.rename(place / OLD / path.name)
    new = new.rename(place / (MOVING if when == "moving" else COMPLETE))
    for path in sorted(new.iterdir())[:moved] if when == "moving" else []:
        path.rename(place / path.name)
    replacing.recover(str(place))
    assert content(place) == NEW and {path.name for path in place.iterdir()} == {"zarr.json", "mean", "progress"}


def test_what_is_not_whole_is_left_or_dropped(place):
    with replacing.writing(str(place)):
        assert replacing.is_being_replaced(str(place))
    replacing.discard(str(place / INCOMPLETE))
    assert set(content(place).values()) == {"old"}
    replacing.discard(str(place))
    assert not list(place.iterdir())


@pytest.mark.parametrize("link", ["mean", "progress/input", "mean/c"])
def test_links_out_of_a_store_are_refused(place, tmp_path, link):
    target = tmp_path / "elsewhere"
    (place / link).rename(target)
    (place / link).symlink_to(target)
    with pytest.raises(StoreFailed, match="is a symbolic link"), replacing.writing(str(place)):
        pass
    assert target.exists()


def test_a_store_may_itself_be_a_link(place, tmp_path):
    (tmp_path / "b.zarr").symlink_to(place)
    with replacing.writing(str(tmp_path / "b.zarr")):
        replacing.commit(str(tmp_path / "b.zarr"))
    assert content(place) == NEW
