import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import bayesr
from bayesr.errors import InvalidArgument, StoreExists, StoreFailed
from bayesr.grid import tiles
from bayesr.product import MAPS
from bayesr.sampling import job
from bayesr.store.layout import SIGNIFICAND_BITS, Store, stored_form


def test_a_store_holds_the_product_in_memory(model, photo, tmp_path):
    inside = model.sample(photo, 4, tile=16)
    lazy = model.sample(photo, 4, tile=16, store=tmp_path / "a.zarr", keep_samples=True)
    assert lazy["mean"].chunks is not None
    disk = xr.open_zarr(tmp_path / "a.zarr")
    assert {k: v for k, v in disk.attrs.items() if k != "history"} == {
        k: v for k, v in inside.attrs.items() if k != "history"
    }
    xr.testing.assert_equal(disk, inside)
    for name in inside.variables:
        attrs = {k: v for k, v in disk[name].attrs.items() if k != "_FillValue"}
        assert attrs == inside[name].attrs, name
    array = zarr.open_group(tmp_path / "a.zarr", mode="r")["mean"]
    assert array.metadata.zarr_format == 3 and array.shards == array.chunks == (1, 64, 64)
    np.testing.assert_array_equal(bayesr.replay(disk, 3, photo, model=model), inside["samples"][3])


def test_any_reader_of_zarr_verifies_the_values(model, photo, tmp_path):
    """Each chunk ends with a CRC-32C, which the codec of Zarr's specification compares when it reads."""
    model.sample(photo, 4, tile=16, store=tmp_path / "a.zarr")
    shard = tmp_path / "a.zarr" / "mean" / "c" / "0" / "0" / "0"
    whole = bytearray(shard.read_bytes())
    whole[len(whole) // 2] ^= 1
    shard.write_bytes(whole)
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(tmp_path / "a.zarr")["mean"].load()
    assert not bayesr.check(tmp_path / "a.zarr").sound


@pytest.mark.parametrize(
    ("tile", "shards", "expected"), [(None, None, False), (16, None, True), (16, False, False), (None, True, True)]
)
def test_products_of_one_tile_have_no_shards_unless_asked_for(model, photo, tmp_path, tile, shards, expected):
    ds = model.sample(photo, 4, tile=tile, store=tmp_path / "a.zarr", shards=shards)
    assert Store(str(tmp_path / "a.zarr")).sharded is expected
    xr.testing.assert_equal(ds.compute(), model.sample(photo, 4, tile=tile, keep_samples=False))
    with pytest.raises(InvalidArgument, match=r"shards= are for products in a store"):
        model.sample(photo, 4, shards=True)


def test_samples_are_left_out_by_default(model, photo, tmp_path):
    assert "samples" not in model.sample(photo, 2, store=tmp_path / "a.zarr")


def test_resume_does_only_what_is_missing(model, photo, tmp_path, monkeypatch):
    path, drawn, draw = tmp_path / "a.zarr", [], job.draw

    def watched(*args, **options):
        drawn.append(args[3].core)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*args, **options)

    monkeypatch.setattr(job, "draw", watched)
    with pytest.raises(KeyboardInterrupt):
        model.sample(photo, 4, tile=16, store=path)
    others = (
        {"seed": 1},
        {"n": 2},
        {"level": 0.8},
        {"tile": 8},
        {"variables": ["mean"]},
        {"keepbits": 9},
        {"shards": False},
    )
    for changed in others:
        with pytest.raises(StoreFailed, match="engine" if "tile" in changed else next(iter(changed))):
            model.sample(photo, **({"n": 4, "tile": 16, "store": path, "resume": True} | changed))
    with pytest.raises(StoreFailed, match="input_sha256"):
        model.sample(255 - photo, 4, tile=16, store=path, resume=True)
    first = drawn[:2]
    ds = model.sample(photo, 4, tile=16, store=path, resume=True)
    assert not set(first) & set(drawn[3:]) and len(set(drawn)) == 4
    xr.testing.assert_equal(ds.compute(), model.sample(photo, 4, tile=16, keep_samples=False))
    with pytest.raises(StoreFailed, match="leave resume out"):
        model.sample(photo, 4, store=tmp_path / "b.zarr", resume=True)
    other = xr.Dataset({"a": ("x", np.arange(3.0))})
    other.to_zarr(tmp_path / "c.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StoreFailed, match="no store of bayesr"):
        model.sample(photo, 4, store=tmp_path / "c.zarr", resume=True)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "c.zarr", consolidated=False).compute(), other)


def test_a_write_that_fails_says_how_to_continue(model, photo, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_maps", full)
        with pytest.raises(StoreFailed, match="resume=True"):
            model.sample(photo, 2, tile=16, store=tmp_path / "a.zarr")
    ds = model.sample(photo, 2, tile=16, store=tmp_path / "a.zarr", resume=True)
    assert np.isfinite(ds["mean"]).all()


def test_chosen_variables(model, photo, tmp_path):
    whole = model.sample(photo, 4)
    for store in (None, tmp_path / "a.zarr"):
        some = model.sample(photo, 4, variables=["std", "mean", "samples"], store=store)
        assert list(some) == ["mean", "std", "samples"]
        xr.testing.assert_equal(some.compute(), whole[list(some)])
    assert list(model.sample(photo, 4, variables="mean", keep_samples=True)) == ["mean", "samples"]
    for wrong in (["mode"], [], ["mean", "samples"]):
        with pytest.raises(InvalidArgument, match="variables"):
            model.sample(photo, 4, variables=wrong, keep_samples=False)
    with pytest.raises(InvalidArgument, match="store="):
        model.sample(photo, 4, cluster=2)


@pytest.mark.parametrize("bits", [1, 9, 23])
def test_significant_bits_are_those_nearest(model, photo, tmp_path, bits):
    whole = model.sample(photo, 4)
    kept = model.sample(photo, 4, store=tmp_path / "a.zarr", keepbits=bits, keep_samples=True)
    np.testing.assert_array_equal(kept["samples"], whole["samples"])
    for name in MAPS:
        assert (np.abs(kept[name] - whole[name]) <= np.abs(whole[name]) * 2.0 ** -(bits + 1)).all(), name
        assert not (kept[name].to_numpy().view(np.uint32) & ((1 << (23 - bits)) - 1)).any()
    assert bayesr.check(tmp_path / "a.zarr").sound


def test_a_tile_without_data_is_skipped(model, photo, tmp_path, monkeypatch):
    img = photo.astype(np.float32)
    img[:16, :16] = img[20, 25] = np.nan
    drawn, draw = [], job.draw
    monkeypatch.setattr(job, "draw", lambda *args, **options: drawn.append(args[3].core) or draw(*args, **options))
    ds = model.sample(img, 4, tile=16, nodata=np.nan, store=tmp_path / "a.zarr", keep_samples=True)
    assert len(drawn) == 3 and (0, 16, 0, 16) not in drawn
    hole = np.isnan(img[..., 0]).repeat(4, 0).repeat(4, 1)
    for name in ds:
        values = ds[name].to_numpy()
        assert np.isnan(values[..., hole]).all() and np.isfinite(values[..., ~hole]).all(), name
    shards = {
        p.relative_to(tmp_path / "a.zarr" / "mean" / "c").as_posix()
        for p in (tmp_path / "a.zarr" / "mean" / "c").rglob("*")
        if p.is_file()
    }
    assert "0/0/0" not in shards and "0/1/1" in shards
    assert Store(str(tmp_path / "a.zarr")).done().all() and bayesr.check(tmp_path / "a.zarr").sound
    xr.testing.assert_equal(ds.compute(), model.sample(img, 4, tile=16, nodata=np.nan))


def test_a_store_on_another_file_system(model, photo):
    """The file system is in memory; fsspec gives access to it, as to object stores."""
    place = "memory://bucket/a.zarr"
    ds = model.sample(photo, 4, tile=16, store=place)
    xr.testing.assert_equal(ds.compute(), model.sample(photo, 4, tile=16, keep_samples=False))
    with pytest.raises(StoreExists, match="overwrite"):
        model.sample(photo, 4, store=place)
    assert bayesr.extend(place, 8, model=model).attrs["n"] == 8
    assert bayesr.check(place).sound
    model.sample(255 - photo, 2, store=place, overwrite=True)
    assert bayesr.check(place).tiles == 1
    with pytest.raises(StoreFailed, match="such URLs"):
        model.sample(photo, 2, store="nowhere://bucket/a.zarr")


def test_tiles_write_whole_files(model, photo, tmp_path):
    model.sample(photo, 2, tile=16, store=tmp_path / "a.zarr")
    store = Store(str(tmp_path / "a.zarr"))
    (odd,) = tiles(8, 8, 8, 0)
    assert store.done().shape == (2, 2) and store.tile_index(odd) == (0, 0)
    shifted = type(odd)((8, 16, 0, 8), odd.window)
    with pytest.raises(AssertionError, match="whole files"):
        store.write(shifted, {}, 2)


NUMBERS = st.floats(-(2.0**99), 2.0**99, width=32).filter(lambda x: x == 0 or abs(x) > 2.0**-99)


@given(arrays(np.float32, (3, 4), elements=NUMBERS), st.integers(1, SIGNIFICAND_BITS[4]))
def test_rounded_to_the_nearest_number_of_so_many_bits(values, bits):
    found = stored_form(values, bits)
    assert not (found.view(np.uint32) & np.uint32((1 << (SIGNIFICAND_BITS[4] - bits)) - 1)).any()
    exponent = np.floor(np.log2(np.abs(values, where=values != 0, out=np.ones_like(values)).astype(np.float64)))
    assert (np.abs(found.astype(np.float64) - values) <= 2.0 ** (exponent - bits - 1)).all()
    np.testing.assert_array_equal(stored_form(found, bits), found)


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=True, allow_infinity=False)))
def test_equal_values_are_equal_bytes(values):
    given_, other = values.copy(), np.asfortranarray(values)
    other.view(np.uint32)[np.isnan(other)] |= 0x80000001  # another kind of NaN
    assert stored_form(values).tobytes() == stored_form(other).tobytes()
    np.testing.assert_array_equal(stored_form(values), values)
    assert values.tobytes() == given_.tobytes(), "what is given is left as it is"


@given(arrays(np.float64, 5, elements=st.floats(-1e300, 1e300)), st.integers(1, SIGNIFICAND_BITS[8]))
def test_double_precision_is_rounded_to_so_many_bits(values, bits):
    found = stored_form(values, bits)
    assert (
        found.dtype == np.float64
        and not (found.view(np.uint64) & np.uint64((1 << (SIGNIFICAND_BITS[8] - bits)) - 1)).any()
    )
    np.testing.assert_allclose(found, values, rtol=2.0**-bits, atol=1e-300)
    np.testing.assert_array_equal(stored_form(values), values)
