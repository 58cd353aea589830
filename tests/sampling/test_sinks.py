import uuid

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr import images
from bayesr.errors import InvalidArgument, InvalidPixels, StoreFailed, TooLarge
from bayesr.sampling import job
from bayesr.sampling.sinks import MemorySink, StoreSink
from bayesr.store import creation
from bayesr.store.layout import Store
from tests.sampling.helpers import job_of


def test_an_invalid_image_neither_leaves_nor_replaces_a_store(model, photo, tmp_path):
    path, holes = tmp_path / "a.zarr", np.full((20, 20, 3), np.nan, np.float32)
    holes[5:, 5:] = 0.5
    with pytest.raises(InvalidPixels):
        model.sample(holes, 2, store=path)
    assert not path.exists()
    model.sample(photo, 2, store=path)
    with pytest.raises(InvalidPixels):
        model.sample(holes, 2, store=path, overwrite=True)
    assert bayesr.check(path).sound


def test_an_invalid_image_replaces_no_store_behind_a_url(model, photo):
    url = f"memory://{uuid.uuid4().hex}.zarr"
    model.sample(photo, 2, store=url)
    with pytest.raises(InvalidPixels):
        model.sample(np.full((20, 20, 3), np.inf, np.float32), 2, store=url, overwrite=True)
    assert bayesr.check(url).sound


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_image_is_read_once(model, photo, tmp_path, monkeypatch, overwrite):
    if overwrite:
        model.sample(photo, 2, store=tmp_path / "a.zarr")
    read, survey = [], images.survey
    monkeypatch.setattr(images, "survey", lambda *args, **given: read.append(args) or survey(*args, **given))
    model.sample(photo, 2, store=tmp_path / "a.zarr", overwrite=overwrite)
    assert len(read) == 1


def test_an_image_is_not_overwritten_by_its_product(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    image = xr.DataArray(photo, dims=("y", "x", "band"), name="image")
    image.to_dataset().to_zarr(path, zarr_format=3, consolidated=False)
    with pytest.raises(InvalidArgument, match="the image itself"):
        model.sample(path, 2, store=path, overwrite=True)
    np.testing.assert_array_equal(xr.open_zarr(path, consolidated=False)["image"], image)


def test_a_result_too_large_for_memory_is_refused(model, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(TooLarge, match="store="):
        model.sample(np.zeros((8, 8, 3), np.uint8), 2)


@pytest.mark.parametrize("variables", [None, ["std"], ["mean", "samples"]])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_memory_and_store_give_equal_products(model, photo, tmp_path, variables, dtype):
    options = {"n": 4, "tile": 16, "variables": variables, "keep_samples": True, "value_range": (0, 255)}
    inside = model.sample(photo.astype(dtype), **options)
    stored = model.sample(photo.astype(dtype), store=tmp_path / "a.zarr", **options)
    assert list(inside.data_vars) == list(stored.data_vars)
    xr.testing.assert_equal(inside, stored.compute())
    assert {k: v for k, v in inside.attrs.items() if k != "history"} == {
        k: v for k, v in stored.attrs.items() if k != "history"
    }


def test_a_tile_that_is_the_whole_product_is_not_copied(model, photo):
    job = job_of(model, photo, tile=32)
    sink = MemorySink()
    assert sink.begin(job) is job and sink.missing(job) == list(job.tiles()) and not sink.is_done(None, 2)
    mean = np.zeros(job.shape_of("mean"), np.float32)
    sink.write(sink.missing(job)[0], {"mean": mean}, 2)
    assert np.shares_memory(sink.finish()["mean"].to_numpy(), mean)


@pytest.mark.parametrize("when", ["read", "begin"])
def test_a_store_that_could_not_be_begun_leaves_nothing(model, photo, tmp_path, monkeypatch, when):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store if when == "read" else creation, "write_input" if when == "read" else "declare", full)
    with pytest.raises(OSError, match="No space"):
        model.sample(photo, 2, store=tmp_path / "a.zarr")
    assert list((tmp_path / "a.zarr").iterdir()) == [] if (tmp_path / "a.zarr").exists() else True
    monkeypatch.undo()
    assert np.isfinite(model.sample(photo, 2, store=tmp_path / "a.zarr")["mean"]).all()


def test_a_stores_missing_tiles_are_those_that_are_not_written(model, photo, tmp_path):
    job = job_of(model, photo, tile=16)
    given = {"overwrite": False, "keepbits": None, "shards": None, "tile": 16, "progress": False}
    with StoreSink(str(tmp_path / "a.zarr"), resume=False, **given) as sink:
        sink.read(xr.DataArray(photo.transpose(2, 0, 1), dims=images.DIMS), {"nodata": None, "value_range": None})
        begun = sink.begin(job)
        first, *others = sink.missing(begun)
        sink.target.write(first, begun.draw(first, lambda amount: None), 2)
        assert sink.missing(begun) == others and sink.target.is_done(first, 2)
    with StoreSink(str(tmp_path / "a.zarr"), resume=True, **given) as sink:
        sink.read(xr.DataArray(photo.transpose(2, 0, 1), dims=images.DIMS), {"nodata": None, "value_range": None})
        assert sink.missing(sink.begin(job)) == others


def test_a_product_stays_until_the_one_that_replaces_it_is_whole(model, photo, tmp_path, monkeypatch):
    path, drawn, draw = tmp_path / "a.zarr", [], job.draw
    old = model.sample(photo, 2, store=path).compute()

    def stopped(*args, **options):
        drawn.append(args[3].core)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(job, "draw", stopped)
        with pytest.raises(KeyboardInterrupt):
            model.sample(photo, 4, tile=16, store=path, overwrite=True)
        xr.testing.assert_identical(xr.open_zarr(path).compute(), old)
        assert bayesr.check(path).sound
        new = model.sample(photo, 4, tile=16, store=path, resume=True)
    assert len(drawn) == 5 and drawn[3:] not in drawn[:2]
    xr.testing.assert_equal(new.compute(), model.sample(photo, 4, tile=16, keep_samples=False))
    assert bayesr.check(path).sound and not list(path.glob(".*"))


def test_only_products_of_ours_are_overwritten(model, photo, tmp_path):
    mine = xr.Dataset({"heights": (("y", "x"), np.ones((4, 4)))}, attrs={"bayesr_version": "1"})
    mine.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StoreFailed, match="does not touch"):
        model.sample(photo, 2, store=tmp_path / "a.zarr", overwrite=True)
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "a.zarr", consolidated=False).compute(), mine)
    (tmp_path / "empty.zarr").mkdir()
    assert model.sample(photo, 2, store=tmp_path / "empty.zarr", overwrite=True).attrs["n"] == 2
    (tmp_path / "empty.zarr" / "zarr.json").write_text("{")  # damaged, and still one of ours
    assert model.sample(photo, 2, store=tmp_path / "empty.zarr", overwrite=True).attrs["n"] == 2
