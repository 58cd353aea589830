import json

import numpy as np
import pytest
import xarray as xr
import zarr

from bayesr.errors import StoreFailed
from bayesr.product import MAPS, MASK_MEANS, SAMPLES
from bayesr.store import replacing
from bayesr.store.creation import begin, compare, complete, declare
from bayesr.store.groups import READING
from bayesr.store.layout import Store
from tests.store.helpers import (
    BANDS,
    HEIGHT,
    METADATA,
    TILES,
    VARIABLES,
    WIDTH,
    attributes_after_each_write,
    declared,
    image,
    part,
    provenance,
    template,
    values,
)


@pytest.mark.parametrize("stop", ["at once", "group", "image", "template"])
def test_an_interrupted_creation_begins_again(model, photo, tmp_path, monkeypatch, stop):
    path = tmp_path / "a.zarr"
    path.mkdir()
    if stop == "group":
        zarr.open_group(path, mode="w")
    elif stop == "image":
        begin(Store(str(path)), xr.DataArray(photo.transpose(2, 0, 1), dims=("band", "y", "x")), shards=True)
    elif stop == "template":
        with monkeypatch.context() as patch:

            def killed(*args, **options):
                raise KeyboardInterrupt

            patch.setattr(xr.Dataset, "to_zarr", killed)
            patch.setattr(replacing, "discard", lambda place: None)
            with pytest.raises(KeyboardInterrupt):
                model.sample(photo, 2, store=path, overwrite=True)
        assert (path / "progress" / "done").exists()
    ds = model.sample(photo, 2, store=path, resume=True)
    xr.testing.assert_equal(ds.compute(), model.sample(photo, 2, keep_samples=False))


def test_a_new_store_has_a_template_and_no_values(tmp_path):
    store = declared(tmp_path / "a.zarr")
    assert store.declared and not store.finished().any() and store.finished().shape == (2, 2)
    assert store.variables == [*MAPS, SAMPLES, MASK_MEANS]
    np.testing.assert_array_equal(store.input(), image())
    ds = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    assert ds["mean"].shape == (BANDS, 2 * HEIGHT, 2 * WIDTH) and np.isnan(ds["mean"]).all()
    assert not [path for path in (tmp_path / "a.zarr" / "mean").rglob("*") if path.parent.name == "c"]


def test_metadata_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """A process that is killed after any of its writes leaves a store that can be resumed."""
    seen = attributes_after_each_write(monkeypatch, tmp_path / "a.zarr" / "progress")
    declared(tmp_path / "a.zarr")
    assert {} in seen and seen[-1] == METADATA
    assert all(attributes in ({}, METADATA) for attributes in seen)


def test_before_the_template_a_store_is_not_declared(tmp_path):
    store = Store(str(tmp_path / "a.zarr"))
    begin(store, image(), shards=True)
    assert not store.declared
    with pytest.raises(StoreFailed, match="not complete"):
        store.require()


def with_engine(attributes, **changes):
    return json.dumps(json.loads(attributes["engine"]) | changes)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"n": 8}, "n"), ({"seed": 1}, "seed"), ({"model_sha256": "1" * 64}, "model_sha256"), ({"level": 0.5}, "level")],
)
def test_another_product_is_not_resumed(tmp_path, change, name):
    store = declared(tmp_path / "a.zarr")
    attributes = store.attributes
    compare(store, attributes, METADATA, list(VARIABLES))
    compare(store, attributes | {"engine": with_engine(attributes, torch="99.0")}, METADATA, list(VARIABLES))
    with pytest.raises(StoreFailed, match="with another engine"):
        compare(store, attributes | {"engine": with_engine(attributes, device="cuda")}, METADATA, list(VARIABLES))
    with pytest.raises(StoreFailed, match=f"with another {name}"):
        compare(store, attributes | change, METADATA, list(VARIABLES))
    with pytest.raises(StoreFailed, match="with another tile"):
        compare(store, attributes, METADATA | {"tile": 8}, list(VARIABLES))
    with pytest.raises(StoreFailed, match="with another variables"):
        compare(store, attributes, METADATA, ["mean"])
    compare(store, attributes, METADATA, list(VARIABLES), True)
    with pytest.raises(StoreFailed, match="with another shards"):
        compare(store, attributes, METADATA, list(VARIABLES), False)


@pytest.mark.parametrize("shards", [True, False])
def test_files_are_shards_or_chunks_of_the_same_size(tmp_path, shards):
    store = declared(tmp_path / "a.zarr", shards=shards)
    assert store.sharded is shards
    arrays = {name: store.array(name) for name in (*VARIABLES, "input")}
    assert {array.sharded for array in arrays.values()} == {shards}
    for name in MAPS:
        assert arrays[name].files == arrays[name].chunks == (1, 8, 8)
    assert arrays[MASK_MEANS].files == (1, 1, 8, 8)
    for name in (*VARIABLES, "input"):
        metadata = json.loads((tmp_path / "a.zarr" / arrays[name].path / "zarr.json").read_text())
        assert ("sharding_indexed" in str(metadata)) is ("crc32c" in str(metadata)) is shards
    coordinates = [json.loads((tmp_path / "a.zarr" / d / "zarr.json").read_text())["attributes"] for d in ("y", "x")]
    assert not any("_FillValue" in attributes for attributes in coordinates)


def test_a_store_that_cannot_be_created_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Group, "create_array", full)
    with pytest.raises(StoreFailed, match="nothing is left behind"):
        begin(Store(str(tmp_path / "a.zarr")), image(), shards=True)
    assert not list((tmp_path / "a.zarr").iterdir())


def test_a_store_whose_image_is_still_read_can_be_written_and_is_not_declared(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "a.zarr"))
    begin(store, image(), shards=True)
    declare(store, template(provenance(4).attrs(), 4), METADATA | {READING: True}, 1, shards=True)
    tile, arrays = TILES[0], values(4)
    Store(store.place).write(tile, part(arrays, tile), 4)  # as a worker does
    assert store.finished().sum() == 1 and not store.declared
    with pytest.raises(StoreFailed, match="not complete"):
        store.require()
    seen = attributes_after_each_write(monkeypatch, tmp_path / "a.zarr" / "progress")
    found = provenance(4, "1" * 64)
    complete(store, found.attrs(), METADATA)
    assert seen == [METADATA | {READING: True}, METADATA], "at each moment one of both"
    assert Store(store.place).declared and Store(store.place).provenance == found
    assert Store(store.place).finished().sum() == 1
