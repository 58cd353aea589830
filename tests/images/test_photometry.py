import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile
import xarray as xr

from bayesr import images
from bayesr.errors import InvalidPixels, NotAnImage
from bayesr.images import lazy, photometry

GREY = np.random.default_rng(0).integers(0, 256, (7, 9), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "tile": (16, 16)}])
def test_white_at_zero_is_turned_around(tmp_path, dtype, how):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 50), dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", **how)
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif").data[0], np.iinfo(dtype).max - pixels)


def test_white_at_zero_of_12_bits_has_the_largest_value_of_12_bits():
    array = xr.DataArray(np.array([[0, 4095]], np.uint16), dims=("y", "x"))
    assert photometry.invert_grey(array, "a", bits=12).values.tolist() == [[4095, 0]]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_white_at_zero_without_a_largest_value_is_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype), photometric="miniswhite")
    with pytest.raises(NotAnImage, match="black at 0"):
        images.read(tmp_path / "a.tif")


@pytest.mark.parametrize("factor", [257, 256, 1])
def test_palettes_are_colours(tmp_path, factor):
    table = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=table * np.uint16(factor))
    image = images.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, table[:, GREY])
    assert image.data.dtype == np.uint8


def test_palettes_of_16_bits_keep_them(tmp_path):
    table = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=table)
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif").data, table[:, GREY])


def test_palettes_of_grey_give_one_band(tmp_path):
    ramp = np.broadcast_to(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 256))
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif").data, 255 - GREY[None])


def test_lazy_indices_are_coloured_by_window():
    table = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    array = photometry.with_palette(lazy.windowed(GREY, ("y", "x"), (3, 4)), table)
    assert not array.variable._in_memory and array.dims == ("y", "x", "band")
    np.testing.assert_array_equal(array[2:5, 3, :2], table[GREY[2:5, 3]][:, :2])
    np.testing.assert_array_equal(lazy.pixels(images.source(array)), table[GREY].transpose(2, 0, 1))


@pytest.mark.parametrize(("kind", "bands"), [("separated", 4), ("cielab", 3), ("cfa", 1)])
def test_colours_that_are_not_read_are_refused(tmp_path, kind, bands):
    pixels = np.zeros((7, 9, bands) if bands > 1 else (7, 9), np.uint8)
    extra = {"extratags": [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]} if kind == "cfa" else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=kind, **extra)
    with pytest.raises(NotAnImage, match="save it as RGB"):
        images.read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_orientations_are_those_of_pillow(orientation, pixels):
    array = xr.DataArray(pixels, dims=("y", "x", "band")[: pixels.ndim])
    exif = PIL.Image.Exif()
    exif[274] = orientation
    picture = PIL.Image.fromarray(pixels)
    picture.info["exif"] = exif.tobytes()
    upright = np.asarray(PIL.ImageOps.exif_transpose(picture))
    found = photometry.upright(array, orientation)
    np.testing.assert_array_equal(found.transpose("y", "x", ...), upright)
    by_window = photometry.upright(lazy.windowed(pixels, array.dims, pixels.shape), orientation)
    np.testing.assert_array_equal(lazy.pixels(images.source(by_window)), images.source(upright))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_tiffs_are_upright(tmp_path, orientation):
    tifffile.imwrite(tmp_path / "a.tif", RGB, extratags=[(274, 3, 1, orientation, True)])
    upright = {1: RGB, 3: RGB[::-1, ::-1], 6: np.rot90(RGB, -1)}[orientation]
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif").data, upright.transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "rowsperstrip": 1}, {"planarconfig": "separate"}])
def test_alpha_channels_of_tiffs_are_missing_pixels(tmp_path, dtype, how):
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, top, (30, 40, 4), dtype)
    pixels[..., 3] = top
    pixels[2:5, 3:6, 3] = 0
    if "planarconfig" in how:
        pixels = pixels.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], **how)
    image = images.read(tmp_path / "a.tif")
    pixels = pixels.transpose(1, 2, 0) if "planarconfig" in how else pixels
    assert image.data.shape == (3, 30, 40) and image.bounds == (0, top)
    absent = pixels[..., 3] == 0
    np.testing.assert_array_equal(image.missing, np.broadcast_to(absent, (3, 30, 40)))
    np.testing.assert_array_equal(image.values()[:, ~absent], pixels[~absent, :3].T)


def test_partly_transparent_pixels_of_tiffs_are_refused(tmp_path):
    pixels = np.dstack([RGB, np.full((7, 9), 99, np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    with pytest.raises(InvalidPixels, match="partly transparent"):
        images.read(tmp_path / "a.tif")


def test_a_fourth_band_that_is_no_alpha_channel_is_data(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (7, 9, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif").data, pixels.transpose(2, 0, 1))
