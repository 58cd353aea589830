import numpy as np
import pytest
import xarray as xr

from bayesr.errors import StoreBusy, StoreExists, StoreFailed
from bayesr.segmentation.cache import SegmentationCache
from bayesr.segmentation.segmenter import Segmentation

N = 3
IDENTITY = {"model": "tiny", "threshold": 0.5}
SETTINGS = {"overwrite": False, "resume": False, "public": False}


def cache(path, identity=IDENTITY, **options):
    return SegmentationCache(str(path), N, identity, **(SETTINGS | options))


def segmentation(i, classes=0):
    shape = (classes, 5, 6) if classes else (5, 6)
    rng = np.random.default_rng(i)
    labels = None if classes else rng.integers(0, 4, (5, 6), dtype=np.int32)
    return Segmentation(rng.random(shape, np.float32), labels)


def same(a, b):
    np.testing.assert_array_equal(a.probability, b.probability)
    if b.labels is None:
        assert a.labels is None
    else:
        np.testing.assert_array_equal(a.labels, b.labels)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.zarr"


@pytest.mark.parametrize("classes", [0, 3])
def test_finished_members_are_there_when_a_run_is_resumed(path, classes):
    with cache(path) as first:
        assert not first.begun and first.get(0) is None
    assert not path.exists(), "an early failure leaves nothing behind"
    with cache(path) as first:
        for i in (0, 2):
            first.put(i, segmentation(i, classes))
        with pytest.raises(StoreBusy), cache(path, resume=True):
            pass
    with cache(path, resume=True) as again:
        assert again.begun and again.get(1) is None and not again.finished
        for i in (0, 2):
            same(again.get(i), segmentation(i, classes))


@pytest.mark.parametrize("public", [False, True])
def test_members_stay_in_the_result_where_they_are_asked_for(path, public):
    result = xr.Dataset({"count": ((), 2.0), "mask": (("y", "x"), np.ones((5, 6)))})
    with cache(path, public=public) as run:
        for i in range(N):
            run.put(i, segmentation(i))
        found = run.finish(result)
        assert run.finished and next(iter(found)) == "mask" and float(found["count"]) == 2
    assert ("member_labels" in found) == public and not (path / "progress" / "labels").exists()
    with cache(path, resume=True, public=public) as run:
        assert run.finished
        xr.testing.assert_identical(run.close(), found)


def test_another_run_is_not_resumed(path):
    with cache(path) as run:
        run.put(0, segmentation(0))
    with (
        pytest.raises(StoreFailed, match=r"another threshold: 0\.5, not 0\.4"),
        cache(path, IDENTITY | {"threshold": 0.4}, resume=True),
    ):
        pass
    with pytest.raises(StoreExists):
        cache(path)
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(path.parent / "b.zarr", consolidated=False)
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(StoreFailed, match="no store of bayesr"):
            cache(path.parent / "b.zarr", **how)


def test_an_overwritten_run_stays_until_the_new_one_is_finished(path):
    result = xr.Dataset({"count": ((), 2.0)})
    with cache(path) as run:
        run.put(0, segmentation(0))
        run.finish(result)
    other = IDENTITY | {"threshold": 0.4}
    with cache(path, other, overwrite=True) as new:
        assert new.get(0) is None
        new.put(1, segmentation(1))
    assert float(xr.open_zarr(path)["count"]) == 2
    with cache(path, other, resume=True) as new:
        same(new.get(1), segmentation(1))
        assert float(new.finish(result + 1)["count"]) == 3
    assert float(xr.open_zarr(path)["count"]) == 3
    assert {found.name for found in path.iterdir()} == {"zarr.json", "progress", "count"}


@pytest.mark.parametrize("harm", ["progress/probability/c/1/0/0", "progress/labels/c/1/0/0", "progress/checksum/c/1/0"])
def test_a_damaged_member_is_segmented_again(path, harm):
    with cache(path) as run:
        for i in range(N):
            run.put(i, segmentation(i))
    (path / harm).write_bytes(b"nothing")
    with cache(path, resume=True) as again:
        assert again.get(1) is None
        same(again.get(2), segmentation(2))
        again.put(1, segmentation(1))
        same(again.get(1), segmentation(1))
