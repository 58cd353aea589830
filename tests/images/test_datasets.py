import contextlib

import numpy as np
import pytest
import xarray as xr
import zarr

from bayesr import images
from bayesr.errors import ImageNotFound, NotAnImage
from bayesr.images import lazy
from tests.images.test_sources import named


def test_memory_maps_and_arrays_of_zarr_stay_lazy(tmp_path, counts):
    np.save(tmp_path / "a.npy", counts)
    mapped = images.source(np.load(tmp_path / "a.npy", mmap_mode="r"), "byx")
    assert np.shares_memory(mapped.variable._data, mapped.to_numpy())
    bare = zarr.create_array({}, data=counts, chunks=(1, 100, 100), attributes={"_FillValue": 5})
    array = images.source(bare, "byx")
    assert not array.variable._in_memory
    known = images.survey(array)
    assert known.sha256 == images.survey(mapped).sha256 and images.survey(array, per_band=True).nodata == 5


@pytest.mark.parametrize("kind", ["group", "array"])
def test_urls_of_zarr_stores(counts, kind):
    url = f"memory://bayesr-test-{kind}.zarr"
    if kind == "group":
        named(counts).to_zarr(url, consolidated=False, zarr_format=3, mode="w")
    else:
        zarr.create_array(url, data=counts, chunks=(2, 200, 200), dimension_names=images.DIMS, overwrite=True)
    array = images.source(url)
    assert not array.variable._in_memory
    np.testing.assert_array_equal(lazy.pixels(array, slice(90, 110), slice(3, 5)), counts[:, 90:110, 3:5])
    for missing in ("memory://bayesr-none.zarr", "file:///bayesr/none.zarr"):
        with pytest.raises(ImageNotFound, match=missing):
            images.source(missing)
    with pytest.raises(NotAnImage, match="protocol"):
        images.source("nosuchprotocol://a.zarr")


@pytest.mark.parametrize("engine", ["netcdf", "zarr"])
def test_stores_keep_coordinates(tmp_path, rgb, engine):
    array = xr.DataArray(rgb, dims=("y", "x", "band"), coords={"x": np.arange(9) * 10.0}, name="img")
    path = tmp_path / ("a.nc" if engine == "netcdf" else "a.zarr")
    array.to_netcdf(path, engine="netcdf4") if engine == "netcdf" else array.to_zarr(path, consolidated=False)
    image = images.read(path)
    np.testing.assert_array_equal(image.data["x"], np.arange(9) * 10.0)
    assert image.sha256 == images.read(rgb).sha256


MAPPING = {"grid_mapping_name": "transverse_mercator", "crs_wkt": "PROJCS[...]"}


@pytest.mark.parametrize("kind", ["netcdf", 2, 3])
@pytest.mark.parametrize("name", ["spatial_ref", "crs", "utm_zone_11"])
@pytest.mark.parametrize("coordinate", [True, False])
def test_the_grid_mapping_of_stores_counts(tmp_path, rgb, kind, name, coordinate):
    ds = xr.Dataset({"img": (("y", "x", "band"), rgb, {"grid_mapping": name}), name: ((), 0, MAPPING)})
    ds = ds.assign_coords(x=np.arange(9) * 10.0, y=np.arange(7) * 5.0)
    ds = ds.set_coords(name) if coordinate else ds
    path = tmp_path / "a.nc"
    if kind == "netcdf":
        ds.to_netcdf(path)
    else:
        path = tmp_path / "a.zarr"
        ds.to_zarr(path, zarr_format=kind, consolidated=False)
    for given in (path, ds, ds["img"] if coordinate else ds):
        image = images.source(given)
        assert image["spatial_ref"].attrs == MAPPING and image["x"][1] == 10
        np.testing.assert_array_equal(lazy.pixels(image), rgb.transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
@pytest.mark.parametrize("group", [True, False])
def test_zeros_of_zarr_2_are_data(tmp_path, dtype, group):
    pixels = (np.arange(63) % 5).reshape(7, 9).astype(dtype)
    place = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2) if group else None
    array = (
        place.create_array("img", data=pixels, chunks=(4, 4))
        if place is not None
        else zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(4, 4), zarr_format=2)
    )
    array.attrs["_ARRAY_DIMENSIONS"] = ["y", "x"]
    image = images.read(tmp_path / "a.zarr")
    assert array.fill_value == 0 and image.missing is None and image.data.dtype == dtype
    np.testing.assert_array_equal(image.values()[0], pixels)


@pytest.mark.parametrize("fill", [-9999, 7])
@pytest.mark.parametrize("packed", [False, True])
def test_other_fill_values_of_zarr_2_are_missing_pixels(tmp_path, fill, packed):
    pixels = (np.arange(63) % 5).reshape(7, 9).astype(np.int16)
    pixels[2, 3] = fill
    place = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    array = place.create_array("img", data=pixels, chunks=(4, 4), fill_value=fill)
    array.attrs.update({"_ARRAY_DIMENSIONS": ["y", "x"]} | ({"scale_factor": 0.5} if packed else {}))
    image = images.read(tmp_path / "a.zarr")
    expected = np.where(pixels == fill, np.nan, pixels * (0.5 if packed else 1))
    np.testing.assert_array_equal(image.values()[0], expected)


@pytest.mark.parametrize("kind", ["netcdf", 2, 3])
def test_declared_values_are_missing_pixels(tmp_path, kind):
    pixels = np.random.default_rng(0).random((7, 9)).astype(np.float32)
    pixels[2, 3] = np.nan
    ds = xr.Dataset({"img": (("y", "x"), pixels)})
    path, encoding = tmp_path / "a.store", {"img": {"_FillValue": -9999.0}}
    if kind == "netcdf":
        path = tmp_path / "a.nc"
        ds.to_netcdf(path, encoding=encoding)
    else:
        ds.to_zarr(path, zarr_format=kind, consolidated=False, encoding=encoding)
    for given in (
        path,
        xr.open_dataset(
            path, engine=None if kind == "netcdf" else "zarr", **({} if kind == "netcdf" else {"consolidated": False})
        ),
    ):
        assert np.argwhere(images.read(given).missing).tolist() == [[0, 2, 3]]


def test_packed_coordinates_and_bytes_without_a_sign(tmp_path):
    ds = xr.Dataset(
        {"img": (("y", "x"), np.arange(63).reshape(7, 9) * 0.5 + 100, {"units": "K"})}, {"x": np.arange(9) * 0.5}
    )
    encoding = {
        "img": {"dtype": "u1", "scale_factor": 0.5, "add_offset": 100.0, "_FillValue": 255},
        "x": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 0.0},
    }
    ds.to_netcdf(tmp_path / "a.nc", encoding=encoding)
    image = images.read(tmp_path / "a.nc")
    np.testing.assert_allclose(image.values()[0], ds["img"])
    np.testing.assert_array_equal(image.data["x"], ds["x"])
    assert image.quantisation_step == 0.5 and image.data.attrs["units"] == "K"


def test_a_variable_of_a_product_is_an_image(tmp_path):
    """Xarray writes the value of missing pixels into Zarr v3 as base64."""
    ds = xr.Dataset({"mean": (("band", "y", "x"), np.arange(60, dtype=np.float32).reshape(3, 4, 5))})
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False, encoding={"mean": {"_FillValue": 7.0}})
    assert isinstance(zarr.open_group(tmp_path / "a.zarr")["mean"].attrs["_FillValue"], str)
    image = images.source(str(tmp_path / "a.zarr" / "mean"))
    assert image.attrs["_FillValue"] == 7.0
    np.testing.assert_array_equal(image, ds["mean"])
    zarr.open_group(tmp_path / "a.zarr")["mean"].attrs["_FillValue"] = "what"
    with pytest.raises(NotAnImage, match="_FillValue"):
        images.source(str(tmp_path / "a.zarr" / "mean"))


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF4"])
def test_formats_of_netcdf_hold_the_same(tmp_path, format):
    pixels = np.random.default_rng(0).integers(0, 900, (8, 6)).astype(np.int16)
    xr.DataArray(pixels, dims=("y", "x"), name="a", attrs={"units": "K"}).to_netcdf(tmp_path / "a.nc", format=format)
    image = images.read(tmp_path / "a.nc")
    np.testing.assert_array_equal(image.data.values[0], pixels)
    assert images.source(tmp_path / "a.nc").attrs["units"] == "K"


def test_a_wrong_count_in_the_header_of_a_netcdf_file_is_refused(tmp_path):
    xr.DataArray(np.zeros((8, 6)), dims=("y", "x"), name="a").to_netcdf(tmp_path / "a.nc", format="NETCDF3_CLASSIC")
    data = bytearray((tmp_path / "a.nc").read_bytes())
    for place in range(4, 20):
        (tmp_path / "b.nc").write_bytes(data[:place] + b"\x93" + data[place + 1 :])
        with contextlib.suppress(NotAnImage):
            images.read(tmp_path / "b.nc")
    (tmp_path / "b.nc").write_bytes(data[:12] + b"\x93" + data[13:])
    with pytest.raises(NotAnImage, match="cannot be read"):
        images.read(tmp_path / "b.nc")
