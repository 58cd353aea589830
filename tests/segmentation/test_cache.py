import numpy as np
import pytest
import xarray as xr

from bayesr.errors import StoreExists, StoreFailed
from bayesr.segmentation.cache import SegmentationCache
from bayesr.segmentation.segmenter import Segmentation

N = 3
IDENTITY = {"model": "tiny", "threshold": 0.5}
SETTINGS = {"overwrite": False, "resume": False, "public": False}


def cache(path, identity=IDENTITY, **options):
    return SegmentationCache(path, N, identity, **(SETTINGS | options))


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
    first = cache(path)
    assert not first.begun and first.get(0) is None and not path.exists(), "an early failure leaves nothing behind"
    for i in (0, 2):
        first.put(i, segmentation(i, classes))
    again = cache(path, resume=True)
    assert again.begun and again.get(1) is None and not again.finished
    for i in (0, 2):
        same(again.get(i), segmentation(i, classes))


@pytest.mark.parametrize("public", [False, True])
def test_members_stay_in_the_result_where_they_are_asked_for(path, public):
    run = cache(path, public=public)
    for i in range(N):
        run.put(i, segmentation(i))
    result = xr.Dataset({"count": ((), 2.0), "mask": (("y", "x"), np.ones((5, 6)))})
    found = run.finish(result)
    assert run.finished and next(iter(found)) == "mask" and float(found["count"]) == 2
    assert ("member_labels" in found) == public and not (path / "progress" / "labels").exists()
    assert cache(path, resume=True, public=public).finished


def test_another_run_is_not_resumed(path):
    cache(path).put(0, segmentation(0))
    with pytest.raises(StoreFailed, match=r"another threshold: 0\.5, not 0\.4"):
        cache(path, IDENTITY | {"threshold": 0.4}, resume=True)
    with pytest.raises(StoreExists):
        cache(path)
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(path.parent / "b.zarr", consolidated=False)
    with pytest.raises(StoreFailed, match="can be resumed"):
        cache(path.parent / "b.zarr", resume=True)


def test_an_overwritten_run_is_replaced_with_its_first_member(path):
    cache(path).put(0, segmentation(0))
    new = cache(path, IDENTITY | {"threshold": 0.4}, overwrite=True)
    assert cache(path, resume=True).get(0) is not None
    new.put(1, segmentation(1))
    assert new.get(0) is None
