"""More members for a finished store."""

import numpy as np
import pytest
import xarray as xr
import zarr

import bayesr
from bayesr.errors import InvalidArgument, InvalidProduct, StoreFailed
from tests.sampling.helpers import disagreement


def close(found, expected):
    """Whether two products agree to 1e-5 of the value range."""
    found = found.compute()
    for name in found:
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(expected[name]), name)
        assert not disagreement(found, expected, name) >= 1e-5, name  # NaN where there are no numbers


@pytest.mark.parametrize(
    ("n", "masks", "more"), [(4, 2, 8), (8, 4, 12), (3, 3, 9), (2, 1, 3), (1, 1, 4), (4, 1, 6), (6, 2, 64)]
)
def test_an_extended_store_equals_a_product_of_all_members(model, photo, tmp_path, n, masks, more):
    path = tmp_path / "a.zarr"
    model.sample(photo, n, masks=masks, tile=16, store=path, level=0.8)
    ds = bayesr.extend(path, more, model=model)
    direct = model.sample(photo, more, masks=masks, level=0.8, keep_samples=False)
    close(ds, direct)
    assert ds.attrs["n"] == more and ds.attrs["history"].splitlines()[1].endswith(f"extend(n={more})")
    assert {k: v for k, v in ds.attrs.items() if k not in ("history", "n", "engine")} == {
        k: v for k, v in direct.attrs.items() if k not in ("history", "n", "engine")
    }
    assert bayesr.check(path).sound
    xr.testing.assert_allclose(
        bayesr.replay(ds, more - 1, photo, model=model), direct_member(model, photo, ds), 0, 3e-3
    )


def direct_member(model, photo, ds):
    n = ds.attrs["n"]
    return model.sample(photo, n, masks=ds.attrs["masks"])["samples"][n - 1].drop_vars("mask")


def test_first_members_stay_as_they_are(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    img = photo.astype(np.float32)
    img[3:9, 18:] = np.nan
    options = {"nodata": np.nan, "value_range": (0, 255)}
    before = model.sample(img, 4, tile=16, store=path, keep_samples=True, **options).compute()
    stamps = {p: p.stat().st_mtime_ns for p in (path / "samples" / "c").rglob("*") if p.is_file()}
    ds = bayesr.extend(path, 8, model=model)
    assert ds.sizes["realization"] == 8
    np.testing.assert_array_equal(ds["mask"], np.arange(8) % 2)
    np.testing.assert_array_equal(ds["samples"][:4], before["samples"])
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    close(ds, model.sample(img, 8, masks=2, **options))
    assert bayesr.check(path).sound


@pytest.mark.parametrize("stop", [0, 1, 2, 6, 10, 11, 12, 13])
def test_an_interrupted_extension_loses_nothing(model, photo, tmp_path, monkeypatch, stop):
    """Stopped before any of its writes, in turn."""
    path = tmp_path / "a.zarr"
    model.sample(photo, 4, tile=16, store=path, keep_samples=True)
    writes, original = [], zarr.Array.__setitem__

    def counted(array, where, values):
        if array.path.rpartition("/")[2] not in ("realization", "mask"):
            writes.append(array.path)
            if len(writes) == 5 + stop:
                raise KeyboardInterrupt
        return original(array, where, values)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__setitem__", counted)
        with pytest.raises(KeyboardInterrupt):
            bayesr.extend(path, 8, model=model)
    assert bayesr.check(path).sound, "neither tiles that are replaced nor those that are not"
    with pytest.raises(StoreFailed, match=r"extend.* 8"):
        model.sample(photo, 4, tile=16, store=path, keep_samples=True, resume=True)
    with pytest.raises(InvalidArgument, match="n=8"):
        bayesr.extend(path, 16, model=model)
    ds = bayesr.extend(path, 8, model=model)
    close(ds, model.sample(photo, 8, masks=2))
    assert bayesr.check(path).sound and not (path / "progress" / "next").exists()


def test_invalid_extensions_are_refused(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    model.sample(photo, 4, store=path)
    for n, match in ((4, "more"), (2, "more"), (7, "multiple")):
        with pytest.raises(InvalidArgument, match=match):
            bayesr.extend(path, n, model=model)
    with pytest.raises(bayesr.BayesrError, match="tiny"):
        bayesr.extend(path, 8)
    model.sample(photo, 4, store=tmp_path / "b.zarr", variables=["mean", "std"])
    with pytest.raises(InvalidProduct, match="without"):
        bayesr.extend(tmp_path / "b.zarr", 8, model=model)
    with pytest.raises(StoreFailed):
        bayesr.extend(tmp_path / "c.zarr", 8, model=model)
    assert not (tmp_path / "c.zarr").exists()
    assert bayesr.check(path).sound
