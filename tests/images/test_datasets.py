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
