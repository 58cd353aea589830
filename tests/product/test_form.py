import warnings

import dask.array
import numpy as np
import pytest
import xarray as xr

from bayesr.errors import InvalidProduct
from bayesr.product import canonical, part_of_product

MAP, MEMBERS = ("band", "y", "x"), ("realization", "band", "y", "x")


def made(bands=3, n=4, side=8, masks=2):
    """Return a product of different values everywhere, of a low-resolution image of half the side."""
    centres = (np.arange(side) + 0.5) / 2
    attrs = {"units": "input pixels"}
    values = np.random.default_rng(0).random((n, bands, side, side)).astype(np.float32)
    return xr.Dataset(
        {
            "mean": (MAP, values.mean(0), {"long_name": "posterior mean", "grid_mapping": "spatial_ref"}),
            "std": (MAP, values.std(0), {"grid_mapping": "spatial_ref"}),
            "samples": (MEMBERS, values, {"grid_mapping": "spatial_ref"}),
        },
        {
            "y": ("y", centres, attrs), "x": ("x", centres, attrs), "band": [f"b{i}" for i in range(bands)],
            "realization": np.arange(n), "mask": ("realization", np.arange(n) % masks), "spatial_ref": 0,
        },
        {"scale": 2, "n": n, "masks": masks, "model_sha256": "0"},
    )  # fmt: skip


def same(found, expected):
    """Check that variables and coordinates are equal, with their dimensions in one order."""
    xr.testing.assert_equal(found, expected)
    assert all(found[name].dims == expected[name].dims for name in expected.data_vars)
    assert set(found.coords) == set(expected.coords)


def test_a_product_as_it_was_written_is_returned_itself():
    ds = made()
    assert canonical(ds) is ds


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.transpose("x", "y", "realization", "band"),
        lambda ds: ds.transpose(..., "x", "y"),
        lambda ds: ds.assign(std=ds["std"].transpose("x", "band", "y")),
        lambda ds: ds.reset_coords(["mask", "spatial_ref"]),
        lambda ds: ds.set_coords(["std", "samples"]),
        lambda ds: ds.drop_vars("mask"),
        lambda ds: ds.drop_vars(["mask", "realization"]),
        lambda ds: ds.drop_indexes(["y", "x"]),
        lambda ds: ds.chunk({"y": 3}).transpose("y", ...),
        lambda ds: ds.transpose("x", ...).reset_coords("mask").set_coords("mean"),
    ],
)
def test_the_form_comes_back(change):
    ds = made()
    same(canonical(change(ds)), ds)


def test_one_band_and_one_member_come_back():
    ds = made()
    for part, expected in (
        (ds.isel(band=1), ds.isel(band=[1])),
        (ds.isel(realization=3), ds.isel(realization=[3])),
        (ds.isel(realization=3, band=2).transpose("x", "y"), ds.isel(realization=[3], band=[2])),
        (ds.isel(realization=3).reset_coords("mask"), ds.isel(realization=[3])),
        (made(bands=1, n=1, masks=1).squeeze(), made(bands=1, n=1, masks=1)),
        (made(bands=1).squeeze("band", drop=True), made(bands=1).drop_vars("band")),
        (made(n=1, masks=1).squeeze("realization", drop=True), made(n=1, masks=1)),
        (ds.isel(band=[1]).assign(std=ds["std"].isel(band=1, drop=True)), ds.isel(band=[1])),
    ):
        same(canonical(part), expected)


def test_parts_stay_parts():
    part = made().isel(y=slice(2, 6), x=slice(0, 1), realization=slice(1, 4, 2))
    assert canonical(part) is part
    assert list(canonical(part.drop_vars("mask"))["mask"].values) == [1, 1]


def never():
    raise AssertionError("the product was read")


def test_lazy_products_are_not_read():
    ds = made()
    plan = dask.array.map_blocks(lambda: never(), chunks=((4,), (3,), (4, 4), (8,)), dtype=np.float32, meta=np.empty(0))
    lazy = ds.assign(samples=(MEMBERS, plan)).isel(band=1).transpose("x", ...)
    found = canonical(lazy)["samples"]
    assert found.dims == MEMBERS and found.chunks == ((4,), (1,), (4, 4), (8,))


def test_products_in_stores_without_dask_stay_lazy(tmp_path):
    ds = made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata is not in the Zarr v3 specification yet
        ds.to_zarr(tmp_path / "a.zarr", zarr_format=3, encoding={"samples": {"chunks": (1, 1, 4, 4)}})
    stored = xr.open_zarr(tmp_path / "a.zarr", chunks=None)
    found = canonical(stored.isel(band=1).transpose("x", ...))
    assert found["samples"].chunks == ((1,) * 4, (1,), (4, 4), (4, 4))
    same(found.compute(), ds.isel(band=[1]))
    whole = canonical(stored)
    assert not whole["samples"].variable._in_memory


def without_y(ds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray warns of duplicate dimensions, too
        return ds.drop_vars("y").assign(mean=(("band", "x", "x"), ds["mean"].values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.isel(y=3), r"ds\.isel\(y=slice\(3, 4\)\)"),
        (lambda ds: ds.isel(x=3, drop=True), r"ds\.isel\(x=slice"),
        (lambda ds: ds.rename(y="lat"), r"\(band, lat, x\).*ds\.rename\(\{'lat': 'y'\}\)"),
        (lambda ds: ds.rename(y="lat", x="lon"), r"ds\.rename\(\{'lat': 'y'\}\)"),
        (lambda ds: ds.swap_dims(y="spare").drop_vars("y"), r"ds\.rename\(\{'spare': 'y'\}\)"),
        (lambda ds: ds.rename(band="channel"), r"ds\.rename\(\{'channel': 'band'\}\)"),
        (lambda ds: ds.rename(realization="member"), r"samples .*ds\.rename\(\{'member': 'realization'\}\)"),
        (lambda ds: ds.expand_dims(time=1), r"ds\.isel\(time=0\)"),
        (lambda ds: ds.expand_dims(time=2), r"ds\.isel\(time=0\)"),
        (lambda ds: ds.assign(mean=ds["samples"]), r"mean .*ds\.isel\(realization=0\)"),
        (lambda ds: ds.stack(pixel=("y", "x")), r"mean has the dimensions \(band, pixel\)"),
        (lambda ds: ds.assign(std=ds["std"].mean("band")), "std .*the same band of all variables"),
        (without_y, "name each dimension once"),
        (lambda ds: ds.drop_vars("y"), "lost its coordinate y"),
        (lambda ds: ds.assign_coords(x=np.full(8, np.nan)), "x of the product is not finite"),
        (lambda ds: ds.assign_coords(x=list("abcdefgh")), "x of the product is not finite"),
        (lambda ds: ds.isel(y=slice(None, None, -1)), "Along y.*unbroken part"),
        (lambda ds: ds.isel(y=slice(None, None, 2)), "Along y.*unbroken part"),
        (lambda ds: ds.isel(y=[0, 1, 5]), "Along y.*unbroken part"),
        (lambda ds: ds.isel(x=[0, 0]), "Along x.*unbroken part"),
        (lambda ds: ds.isel(y=slice(3, 3)), "no pixels along y"),
        (lambda ds: ds.drop_vars("realization").isel(realization=[1, 2]).drop_vars("mask"), "2 of its 4 members"),
        (lambda ds: ds.isel(realization=2, drop=True), "1 of its 4 members"),
        (lambda ds: ds.assign_coords(realization=list("abcd")).drop_vars("mask"), "the members' numbers"),
        (lambda ds: ds.rename(mean="mu", std="sd", samples="members"), "holds none of the variables"),
        (lambda ds: ds.astype(complex), "holds complex128, not numbers"),
        (lambda ds: ds["mean"], r"give ds instead of ds\['mean'\]"),
        (lambda ds: ds["mean"].rename(None), "this is a DataArray"),
        (lambda ds: ds["samples"].values, "not ndarray"),
        (lambda ds: None, "not NoneType"),
        (lambda ds: "a.zarr", r"xarray\.open_zarr\('a\.zarr'\)"),
    ],
)
def test_what_is_no_product_is_refused_with_advice(change, message):
    ds = made().assign_coords(spare=("y", np.arange(8)))
    with pytest.raises(InvalidProduct, match=message):
        canonical(change(ds))


def test_coordinates_in_other_units_may_run_backwards():
    """A raster whose first row is in the north is cut, sorted, and its axis renumbered."""
    ds = made().assign_coords(y=800 - 10.0 * np.arange(8), x=10.0 * np.arange(8))
    for part in (ds, ds.sortby("y"), ds.isel(y=[3]), ds.isel(y=slice(2, 5))):
        assert canonical(part) is part


def test_a_variable_of_a_product_is_no_image():
    ds = made()
    assert part_of_product(ds["mean"]) and part_of_product(ds["samples"]) and part_of_product(ds["samples"][0])
    image = xr.DataArray(np.zeros((4, 4)), dims=("y", "x"))
    assert not any(map(part_of_product, (image, image.rename("mean"), image.rename("samples"), ds, image.values, None)))
