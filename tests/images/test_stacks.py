import numpy as np
import pytest
import tifffile
import xarray as xr

from bayesr import images
from bayesr.errors import AmbiguousDimensions, InvalidPixels
from bayesr.images import stacks


def stack(dtype=np.float32, **attrs):
    pixels = np.random.default_rng(0).integers(1, 200, (2, 3, 6, 5, 2)).astype(dtype)
    return xr.DataArray(pixels, dims=("time", "z", "y", "x", "band"), attrs=attrs, coords={"z": [1.0, 3.0, 9.0]})


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "attrs", [{}, {"scale_factor": 0.5, "add_offset": 3.0}, {"_FillValue": 7, "missing_value": [9, 9]}, {"units": "K"}]
)
def test_a_slice_of_a_stack_is_read_as_the_slice_alone(attrs, lazy):
    given = stack(np.uint16, **attrs)
    array = images.source(given.chunk(z=2, y=4) if lazy else given, stack=True)
    assert array.dims == ("time", "z", *images.DIMS) and images.leading(array) == ("time", "z")
    assert array.variable._in_memory != lazy and list(array["z"].values) == [1, 3, 9]
    for place in images.places(array):
        alone = images.source(given.isel(time=place[0], z=place[1]))
        found = images.slice_at(array, place)
        xr.testing.assert_identical(found.load(), alone.drop_vars(("time", "z"), errors="ignore").load())
        assert found.dtype == alone.dtype
    whole = array.to_numpy()
    np.testing.assert_array_equal(whole[1, 2], images.slice_at(array, (1, 2)))
    for key in ((0, slice(None), 1), (slice(None), 2, slice(None), slice(1, 3)), (1, slice(2, 0, -1))):
        np.testing.assert_array_equal(array.variable[key].to_numpy(), whole[key])


def test_an_image_is_a_stack_of_one_slice():
    array = images.source(np.zeros((9, 8, 3), np.uint8), stack=True)
    assert list(stacks.places(array)) == [()] and stacks.leading(array) == () and stacks.slice_at(array, ()) is array
    assert stacks.apply_to_slices(array, lambda one: one) is array


@pytest.mark.parametrize("lazy", [False, True])
def test_one_value_range_and_one_type_for_all_slices(lazy):
    given = stack()
    given[0, 0, 0, 0, 0], given[1, 2, 3, 3, 1] = -50, 900
    blocks = []
    array = images.source(given.chunk(time=1) if lazy else given, stack=True)
    image = images.survey(array, keep=lambda where, block: blocks.append((where, block)))
    assert image.value_range == (-50, 900) and image.range_source == "minmax" and len(image.slices) == 6
    copy = np.zeros(array.shape, array.dtype)
    for where, block in blocks:
        copy[where] = block
    np.testing.assert_array_equal(copy, array)
    part = image.at((1, 2))
    assert part.value_range == (-50, 900) and part.data.dims == images.DIMS and part.slices == ()
    alone = images.survey(images.source(given[1, 2]), value_range=(-50, 900))
    assert part.sha256 == alone.sha256 == image.slices[5].sha256 != image.sha256
    np.testing.assert_array_equal(part.scaled(), alone.scaled())
    assert image.find(alone.sha256).sha256 == alone.sha256 and image.find(image.sha256) is image
    assert image.find("0" * 64) is None and image.at(()) is image


def test_percentiles_are_those_of_all_slices():
    given = stack()
    image = images.survey(images.source(given, stack=True), value_range="percentiles")
    np.testing.assert_allclose(image.value_range, np.percentile(given, (0.1, 99.9)))


def test_missing_pixels_of_stacks():
    given = stack()
    given[0, 1], given[1, 1, :2] = np.nan, np.nan
    with pytest.raises(InvalidPixels, match="in the slice 0, 1"):
        images.survey(images.source(given, stack=True))
    image = images.survey(images.source(given, stack=True), nodata=np.nan)
    assert [one.empty for one in image.slices] == [False, True, False, False, False, False]
    assert image.at((1, 1)).missing[:, :2].all() and not image.at((1, 1)).missing[:, 2:].any()
    packed = stack(np.uint16, scale_factor=0.5)  # stored as half, so that the marker is looked for as it is stored
    marker = float(packed[1, 0, 2, 3, 0])
    image = images.survey(images.source(packed, stack=True), nodata=marker)
    for place in images.places(image.data):
        alone = images.survey(images.source(packed[place]), nodata=marker)
        np.testing.assert_array_equal(image.at(place).values(), alone.values())
    assert image.at((1, 0)).missing[:, 2, 3].all()
    with pytest.raises(InvalidPixels, match="Every pixel"):
        images.survey(images.source(stack() * np.nan, stack=True), nodata=np.nan)


def test_axes_of_stacks():
    pixels = np.zeros((2, 9, 8, 3), np.uint8)
    array = images.source(pixels, ("time", "y", "x", "band"), stack=True)
    assert array.dims == ("time", *images.DIMS) and images.source(pixels, "tyxb", stack=True).dims[0] == "t"
    for dims in (None, ("time", "y", "x", "x"), ("time", "z", "y", "band"), "yx"):
        with pytest.raises(AmbiguousDimensions, match=r"time|name"):
            images.source(pixels, dims, stack=True)
    with pytest.raises(AmbiguousDimensions):
        images.source(pixels, ("time", "y", "x", "band"))
    named = xr.DataArray(pixels, dims=("scene", "row", "col", "channel"))
    assert images.source(named, stack=True).dims == ("scene", *images.DIMS)
    assert images.source(named[:1], stack=True).dims == images.DIMS  # one plane is one image, unless it is named
    assert images.source(named[:1], ("scene", "y", "x", "band"), stack=True).dims == ("scene", *images.DIMS)
    with pytest.raises(AmbiguousDimensions):
        images.source(xr.DataArray(pixels, dims=("lat", "y", "x", "band")), stack=True)


def test_files_that_name_their_axes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 9, 8), dtype=np.uint8)
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": "TZYX"})
    array = images.source(path, stack=True)
    assert array.dims == ("time", "z", *images.DIMS)
    np.testing.assert_array_equal(array[:, :, 0], pixels)
    xr.DataArray(pixels, dims=("member", "z", "y", "x"), name="image").to_dataset().to_netcdf(tmp_path / "a.nc")
    array = images.source(tmp_path / "a.nc", stack=True)
    assert array.dims == ("member", "z", *images.DIMS) and not array.variable._in_memory
    np.testing.assert_array_equal(array[1, :, 0, 3:], pixels[1, :, 3:])
    with pytest.raises(AmbiguousDimensions, match="select one plane"):
        images.source(path)


def test_files_that_look_like_images(tmp_path):
    names = ("a.png", "b.TIF", "c.nc", "d.txt", "e.jp2", "f.pdf")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "slide").write_bytes(b"II*\0")
    known = [name for name in (*names, "slide") if images.looks_like_image(tmp_path / name)]
    assert known == ["a.png", "b.TIF", "c.nc", "e.jp2", "slide"]
