from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bayesr import images
from bayesr.errors import InvalidArgument, InvalidPixels
from bayesr.images import image_statistics


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def test_arrays_tensors_and_pictures_agree(rgb):
    first = images.read(rgb)
    assert first.data.dims == ("band", "y", "x")
    for other in (
        rgb.transpose(2, 0, 1),
        torch.from_numpy(rgb.transpose(2, 0, 1).copy()),
        PIL.Image.fromarray(rgb),
        xr.DataArray(rgb, dims=("lat", "lon", "channel")),
        xr.DataArray(rgb, dims=("y", "x", "band")).chunk(x=3),
        xr.Dataset({"a": (("y", "x", "band"), rgb)}),
    ):
        assert images.read(other).sha256 == first.sha256
    assert images.read(rgb[..., 0]).data.shape == (1, 7, 9)


def test_value_range_scales_and_never_clips():
    pixels = np.array([[0.0, 5.0], [10.0, 20.0]])
    np.testing.assert_allclose(images.read(pixels, value_range=(5, 10)).scaled()[0], [[-1, 0], [1, 3]])
    np.testing.assert_allclose(images.read(pixels).scaled()[0], pixels / 20)
    assert np.isfinite(images.read(np.full((4, 4), 3.0)).scaled()).all()
    for bad in ((1, 1), (2, 1), (0, np.inf)):
        with pytest.raises(InvalidArgument):
            images.read(pixels, value_range=bad)


def test_nodata():
    pixels = np.ones((5, 6), np.float32)
    pixels[1, 2] = np.nan
    with pytest.raises(InvalidPixels, match="nodata"):
        images.read(pixels)
    image = images.read(pixels, nodata=np.nan)
    assert image.missing is not None and image.missing.sum() == 1 and image.missing[0, 1, 2]
    assert np.isfinite(image.scaled()).all()
    assert image.value_range == (1, 2)
    pixels[0, 0] = np.inf
    with pytest.raises(InvalidPixels, match="infinite"):
        images.read(pixels, nodata=np.nan)
    with pytest.raises(InvalidPixels, match="Every pixel"):
        images.read(np.zeros((3, 3), np.uint8), nodata=0)
    integer = images.read(np.array([[0, 7], [9, 8]], np.uint16), nodata=0)
    assert integer.value_range == (7, 9) and integer.missing is not None and integer.missing[0, 0, 0]


@st.composite
def holed(draw):
    """An image with holes of pixels and of rectangles, lazy or not, larger than the fill reaches."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    pixels = random.normal(size=(draw(st.integers(1, 3)), height, width)).astype(np.float32)
    gone = random.random((height, width)) < draw(st.sampled_from([0, 0.01, 0.5, 0.97]))
    y, x = random.integers(0, height), random.integers(0, width)
    gone[y : y + random.integers(0, height), x : x + random.integers(0, width)] = True
    gone[random.integers(0, height), random.integers(0, width)] = False
    pixels[: draw(st.integers(1, len(pixels))), gone] = np.nan
    array = xr.DataArray(pixels, dims=images.DIMS)
    array = images.source(array.chunk(y=50, x=60) if draw(st.booleans()) else array)
    return images.survey(array, nodata=np.nan, per_band=draw(st.booleans()))


@given(image=holed(), data=st.data())
def test_windows_agree_with_the_whole(image, data):
    _, height, width = image.data.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    pixels, missing = image.window(top, bottom, left, right)
    assert pixels.dtype == np.float32 and np.isfinite(pixels).all()
    np.testing.assert_array_equal(pixels, image.scaled()[:, top:bottom, left:right])
    expected = np.isnan(image.data.values[:, top:bottom, left:right])
    if not image.per_band:
        expected = np.broadcast_to(expected.any(0), expected.shape)
    np.testing.assert_array_equal(np.zeros_like(expected) if missing is None else missing, expected)
    assert (missing is None) == (not expected.any())


def test_nodata_that_no_pixel_has_is_none():
    image = images.read(np.arange(12.0).reshape(3, 4), nodata=-1)
    assert image.nodata is None and image.missing is None and image.window(0, 2, 0, 2)[1] is None


@pytest.mark.parametrize("shape", [(3, 1024, 1024), (1, 40, 700)])
def test_small_images_are_their_own_overview(shape):
    image = images.read(np.random.default_rng(0).random(shape), dims="byx")
    np.testing.assert_array_equal(image.overview(), image.scaled())


@given(
    height=st.integers(32, 1500),
    width=st.integers(1025, 1500),
    turned=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(height=130, width=1030, turned=False, seed=0)  # windows that begin at one multiple of 8
@settings(max_examples=8)
def test_an_overview_has_the_statistics_of_its_windows(height, width, turned, seed):
    """The image has JPEG blocks, so that windows must keep to the grid of blocks."""
    random = np.random.default_rng(seed)
    pixels = (
        random.random((1, height, width), np.float32)
        + 3 * random.random((1, -(-height // 8), -(-width // 8))).repeat(8, 1).repeat(8, 2)[:, :height, :width]
    )
    pixels = pixels.swapaxes(1, 2) if turned else pixels
    image = images.read(pixels, dims="byx")
    seen = image.overview()
    assert max(seen.shape) <= 384
    aligned = [
        tuple(slice(s.start // 8 * 8, s.start // 8 * 8 + s.stop - s.start) for s in window)
        for window in image_statistics.windows(*image.data.shape[1:])
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_statistics, "windows", lambda *size: aligned)
        expected = image_statistics.statistics(image.scaled())
    np.testing.assert_array_equal(image_statistics.statistics(seen), expected)


def test_geotiff(tmp_path, rgb):
    """Coordinates, CRS and declared nodata are kept, and the product's georeference is rewritten."""
    import rioxarray  # noqa: F401, registers .rio
    from rasterio.transform import Affine

    from tests.conftest import make_model

    counts = rgb.transpose(2, 0, 1).astype(np.uint16) + 1
    counts[:, 0, 0] = 0
    array = xr.DataArray(counts, dims=("band", "y", "x")).rio.write_crs(32611).rio.write_nodata(0)
    transform = Affine(10, 0, 500_000, 0, -10, 4_000_000)
    array.rio.write_transform(transform).rio.to_raster(tmp_path / "a.tif")
    image = images.read(tmp_path / "a.tif")
    assert image.missing is not None and image.missing.sum() == 3 and image.missing[:, 0, 0].all()
    ds = make_model().sample(tmp_path / "a.tif", 2)
    assert ds.rio.crs.to_epsg() == 32611
    assert ds["mean"].rio.transform() == transform @ Affine.scale(0.25)
    assert ds["mean"].rio.bounds() == (500_000, 4_000_000 - 70, 500_090, 4_000_000)
    assert np.isnan(ds["mean"].values[:, :4, :4]).all() and np.isfinite(ds["mean"].values[:, 4:, :]).all()


@pytest.mark.parametrize("nodata", [None, np.nan])
def test_a_window_is_computed_from_the_pixels_around_it_alone(nodata):
    pixels = np.random.default_rng(0).random((2, 90, 80)).astype(np.float32)
    pixels[:, 40:60, 30:50] = np.nan if nodata is not None else 0.5
    image = images.survey(images.source(pixels, "byx"), nodata=nodata, value_range=(0, 1))
    for window in ((0, 20, 0, 10), (30, 90, 20, 60), (50, 55, 70, 80)):
        rows, columns = image.around(*window)
        assert rows.start <= window[0] and rows.stop >= window[1] and columns.start <= window[2]
        part = np.full_like(pixels, np.nan if nodata is not None else 7)
        part[:, rows, columns] = pixels[:, rows, columns]
        alone = replace(image, data=image.data.copy(data=part))
        for one, other in zip(image.window(*window), alone.window(*window), strict=True):
            np.testing.assert_array_equal(one, other)
