import hashlib

import numpy as np
import pytest
import xarray as xr

from bayesr import images
from bayesr.errors import InvalidArgument, InvalidPixels


def by_definition(pixels):
    """Compute the checksum as documented."""
    little = pixels.astype(pixels.dtype.newbyteorder("<"))
    whole = hashlib.sha256(f"{little.dtype.str} {pixels.shape}".encode())
    for top in range(0, pixels.shape[1], 1024):
        for left in range(0, pixels.shape[2], 1024):
            whole.update(hashlib.sha256(little[:, top : top + 1024, left : left + 1024].tobytes()).digest())
    return whole.hexdigest()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4", ">f8"])
@pytest.mark.parametrize("chunks", [None, (1, 300, 2000), (2, 1500, 7)])
def test_checksum_is_of_blocks_whatever_the_chunks(dtype, chunks):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 1030, 1100)).astype(dtype)
    array = xr.DataArray(pixels, dims=images.DIMS)
    if chunks is not None:
        array = array.chunk(dict(zip(images.DIMS, chunks, strict=True)))
    known = images.survey(images.source(array))
    assert known.sha256 == by_definition(pixels)
    pixels[1, 1029, 1099] += 1
    assert images.read(pixels, dims="byx").sha256 != known.sha256


@pytest.mark.parametrize("chunks", [300, 1024, 1600])
def test_a_survey_sees_every_block_once(chunks):
    pixels = np.random.default_rng(0).integers(3, 900, (2, 2100, 1100)).astype(">u2")
    copy, advanced = np.zeros(pixels.shape, np.uint16), []

    def keep(where, block):
        _, rows, columns = where
        assert rows.start % 1024 == columns.start % 1024 == 0 and block.dtype == np.uint16 and block.flags.c_contiguous
        assert max(block.shape[1:]) <= 1024 and not copy[:, rows, columns].any()
        copy[:, rows, columns] = block

    array = images.source(xr.DataArray(pixels, dims=images.DIMS).chunk(y=chunks, x=chunks))
    image = images.survey(array, keep=keep, advance=advanced.append)
    np.testing.assert_array_equal(copy, pixels)
    assert sum(advanced) == pixels.size and image.value_range == (3, 899) and image.data is array


def test_a_survey_ends_at_the_first_bad_block():
    pixels = np.zeros((1, 1000, 2100), np.float32)
    pixels[0, 3, [5, 2060, 2090]] = np.nan
    seen = []
    with pytest.raises(InvalidPixels, match="At least 1 pixel"):
        images.survey(images.source(pixels, "byx"), keep=lambda *block: seen.append(block))
    assert all(np.isfinite(block).all() for *_, block in seen)
    seen.clear()
    with pytest.raises(InvalidArgument):
        images.survey(images.source(pixels, "byx"), value_range=(1, 1), keep=lambda *block: seen.append(block))
    assert not seen
    with pytest.raises(InvalidPixels, match=r"^2 pixel"):
        images.survey(images.source(pixels[..., 1024:], "byx"))
    image = images.survey(images.source(pixels, "byx"), nodata=np.nan, value_range=(0, 1))
    assert image.missing.sum() == 3


def test_bounds_are_those_of_integer_types():
    assert images.bounds_of(np.dtype("u1")) == (0, 255) and images.bounds_of(np.dtype(">i2")) == (-32768, 32767)
    assert images.bounds_of(np.dtype("f4")) is None


def counts_with_gaps():
    """Three bands of counts from 100 on: one pixel lacks all bands, another one of them."""
    pixels = np.random.default_rng(0).integers(100, 2000, (3, 6, 7), dtype=np.uint16)
    pixels[:, 1, 2] = 0
    pixels[1, 3, 4] = 0
    return xr.DataArray(pixels, dims=images.DIMS, attrs={"_FillValue": 0})


def test_nodata_in_one_band_is_data_for_models_of_several_bands():
    image = images.read(counts_with_gaps())
    assert image.missing.sum() == 3 and image.missing[:, 1, 2].all() and image.value_range[0] == 0
    of_bands = images.read(counts_with_gaps(), per_band=True)
    assert of_bands.missing.sum() == 4 and of_bands.missing[1, 3, 4] and of_bands.value_range[0] >= 100
    np.testing.assert_array_equal(np.isnan(of_bands.values()), of_bands.missing)


@pytest.mark.parametrize(("dtype", "marker"), [(np.int16, -9999), (np.float32, -9999), (np.uint16, 65535)])
def test_a_marker_far_from_all_values_in_one_band_is_refused(dtype, marker):
    pixels = np.random.default_rng(0).integers(1000, 2000, (3, 6, 7)).astype(dtype)
    pixels[0, 0, 0] = marker
    with pytest.raises(InvalidPixels, match=r"1 pixel\(s\).*one-band model"):
        images.read(pixels, dims="byx", nodata=marker)
    assert images.read(pixels, dims="byx", nodata=marker, per_band=True).missing.sum() == 1


def test_nan_in_one_band_is_missing_in_all_bands():
    pixels = np.random.default_rng(0).random((3, 6, 7))
    pixels[2, 0, 1] = np.nan
    assert images.read(pixels, dims="byx", nodata=np.nan).missing.sum() == 3


@pytest.mark.parametrize("chunks", [None, {"y": 50, "x": 60}])
def test_percentiles_leave_out_hot_pixels_and_missing_ones(chunks):
    pixels = np.random.default_rng(0).normal(100, 5, (1, 90, 100))
    pixels[0, 3, 4], pixels[0, 5, 6] = 1e6, -9999
    array = xr.DataArray(pixels, dims=images.DIMS, attrs={"nodata": -9999})
    image = images.survey(images.source(array if chunks is None else array.chunk(chunks)), value_range="percentiles")
    expected = np.percentile(pixels[pixels != -9999], (0.1, 99.9))
    np.testing.assert_allclose(image.value_range, expected, rtol=1e-12)
    assert image.range_source == "percentiles"


def test_the_value_range_says_where_it_comes_from():
    floats = np.random.default_rng(0).random((5, 6)) * 0.5
    for given, found, source in (
        (None, (floats.min(), floats.max()), "minmax"),
        ("minmax", (floats.min(), floats.max()), "minmax"),
        ("unit", (0, 1), "unit"),
        ((0, 2), (0, 2), "given"),
    ):
        image = images.read(floats, value_range=given)
        assert (image.value_range, image.range_source) == (found, source)
    assert images.read((255 * floats).astype(np.uint8)).range_source == "type"
    assert images.read((255 * floats).astype(np.uint8), value_range="minmax").value_range[1] < 130


def as_bytes(pixels):
    return xr.DataArray((200 * pixels).astype(np.uint8), dims=images.DIMS)


def with_alpha(pixels):
    array = as_bytes(np.concatenate([pixels, np.ones_like(pixels[:1])]))
    array[3] = np.where(pixels[0] > 0.9, 0, 255)
    array.encoding["alpha_band"] = 3
    return array


def packed(pixels):
    attrs = {"scale_factor": 0.01, "missing_value": 7}
    return xr.DataArray((200 * pixels).astype(np.uint16), dims=images.DIMS, attrs=attrs)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (as_bytes, {}),
        (as_bytes, {"nodata": 0, "per_band": True}),
        (with_alpha, {}),
        (with_alpha, {"nodata": 3}),
        (packed, {"value_range": "unit"}),
        (packed, {"value_range": (0, 2), "nodata": 9}),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_the_provisional_image_is_that_of_the_survey(make, given):
    array = images.source(make(np.random.default_rng(0).random((3, 20, 30))).chunk(y=8))
    before, after = images.provisional(array, **given), images.survey(array, **given)
    assert not before.surveyed and after.surveyed
    for name in ("value_range", "bounds", "per_band", "quantisation_step", "range_source", "dtype"):
        assert getattr(before, name) == getattr(after, name), name
    for window in ((0, 20, 0, 30), (3, 9, 10, 30)):
        for one, other in zip(before.window(*window), after.window(*window), strict=True):
            np.testing.assert_array_equal(one, other)


def test_there_is_no_provisional_image_where_the_pixels_decide():
    floats = images.source(np.random.default_rng(0).random((5, 6)))
    for value_range in (None, "minmax", "percentiles"):
        assert images.provisional(floats, value_range=value_range) is None
    assert images.provisional(floats, value_range=(0, 1e-200)) is None, "the survey refuses it with the values"
    with pytest.raises(InvalidArgument):
        images.provisional(floats, value_range=(1, 1))
