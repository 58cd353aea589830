"""More members for a finished store."""

import numpy as np
import pytest
import xarray as xr
import zarr

import bayesr
from bayesr.errors import InvalidArgument, InvalidProduct, StoreFailed
from bayesr.store.layout import Store
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
    model.sample(photo, n, masks=masks, tile=16, store=path, level=0.8, shards=n % 3 == 0)
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


def contents(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_damage_is_found_before_anything_changes_and_repaired_at_any_time(model, photo, tmp_path):
    path, plus = tmp_path / "a.zarr", Store(str(tmp_path / "a.zarr"))
    model.sample(photo, 4, tile=16, store=path)
    shard = path / "mean" / "c" / "0" / "0" / "0"
    whole = shard.read_bytes()
    for harm in ("flipped", "other values"):
        if harm == "flipped":
            shard.write_bytes(whole[:99] + bytes([whole[99] ^ 16]) + whole[100:])
        else:
            shard.write_bytes(whole)
            plus.array("mean")[0, :64, :64] = plus.array("mean")[0, :64, :64] + 50
        before = contents(path)
        with pytest.raises(InvalidProduct, match=r"(?s)nothing was changed.*repair=True.*tile 0, 0: mean"):
            bayesr.extend(path, 8, model=model)
        assert contents(path) == before
        assert list(bayesr.check(path, repair=True, model=model).damaged) == [(0, 0)]
        assert bayesr.check(path).sound
    close(bayesr.extend(path, 8, model=model), model.sample(photo, 8, masks=2))


def test_members_of_another_image_are_not_added(model, photo, tmp_path):
    """The store's copy of the image is compared with the image that was sampled."""
    path = tmp_path / "a.zarr"
    model.sample(photo, 4, tile=16, store=path)
    Store(str(path)).array("done")[0, 1] = 0
    Store(str(path)).array("input")[:] = 255 - photo.transpose(2, 0, 1)
    with pytest.raises(InvalidProduct, match="copy of the image"):
        model.sample(photo, 4, tile=16, store=path, resume=True)
    bayesr.check(path, repair=True, model=model, img=photo)
    Store(str(path)).array("input")[:] = 255 - photo.transpose(2, 0, 1)
    with pytest.raises(InvalidProduct, match="copy of the image"):
        bayesr.extend(path, 8, model=model)
    bayesr.check(path, repair=True, model=model, img=photo)
    close(bayesr.extend(path, 8, model=model), model.sample(photo, 8, masks=2))


def test_a_store_is_repaired_while_members_are_added(model, photo, tmp_path, monkeypatch):
    """Tiles with all members, with the first ones, and with one that is being replaced are damaged."""
    path, whole, writes = tmp_path / "a.zarr", tmp_path / "whole.zarr", []
    for place in (path, whole):
        model.sample(photo, 4, tile=16, store=place, keep_samples=True)
    bayesr.extend(whole, 8, model=model)
    put = Store.put_maps

    def stopped(*args):
        writes.append(args)
        if len(writes) == 3:
            raise KeyboardInterrupt
        put(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_maps", stopped)
        with pytest.raises(KeyboardInterrupt):
            bayesr.extend(path, 8, model=model)
    assert bayesr.check(path).sound and Store(str(path)).done().tolist() == [[8, 8], [4, 4]]
    for victim in ("mean/c/0/0/0", "progress/next/c/0/0/1/0", "samples/c/0/0/1/1"):
        (path / victim).write_bytes((path / victim).read_bytes()[:-9])
    with pytest.raises(InvalidProduct, match="nothing was changed"):
        bayesr.extend(path, 8, model=model)
    assert set(bayesr.check(path, repair=True, model=model).damaged) == {(0, 0), (1, 0), (1, 1)}
    assert bayesr.check(path).sound
    found = bayesr.extend(path, 8, model=model)
    xr.testing.assert_equal(found.compute(), xr.open_zarr(whole).compute())


def test_links_out_of_a_store_are_refused(model, photo, tmp_path):
    path, elsewhere = tmp_path / "a.zarr", tmp_path / "elsewhere"
    model.sample(photo, 4, tile=16, store=path)
    (path / "std" / "c" / "0" / "0" / "0").write_bytes(b"nothing")
    (path / "mean").rename(elsewhere)
    (path / "mean").symlink_to(elsewhere)
    before = contents(elsewhere)
    for call in (
        lambda: bayesr.extend(path, 8, model=model),
        lambda: bayesr.check(path, repair=True, model=model),
        lambda: model.sample(photo, 4, tile=16, store=path, overwrite=True),
        lambda: model.sample(photo, 4, tile=16, store=path, resume=True),
    ):
        with pytest.raises(StoreFailed, match="symbolic link"):
            call()
    assert contents(elsewhere) == before
    (tmp_path / "b.zarr").symlink_to(tmp_path / "nothing")
    with pytest.raises(StoreFailed, match="does not exist"):
        model.sample(photo, 4, store=tmp_path / "b.zarr")


def test_an_extension_is_repeated_without_effect(model, photo, tmp_path):
    model.sample(photo, 4, tile=16, store=tmp_path / "a.zarr")
    bayesr.extend(tmp_path / "a.zarr", 8, model=model)
    before = contents(tmp_path / "a.zarr")
    assert bayesr.extend(tmp_path / "a.zarr", 8, model=model).attrs["n"] == 8
    assert contents(tmp_path / "a.zarr") == before
    with pytest.raises(InvalidArgument, match="more"):
        bayesr.extend(tmp_path / "a.zarr", 4, model=model)
