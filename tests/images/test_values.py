import pickle

import numpy as np
import pytest
import xarray as xr

from bayesr import images
from bayesr.errors import InvalidPixels, NotAnImage

RAW = np.random.default_rng(0).integers(100, 900, (2, 6, 7), dtype=np.uint16)


def array(pixels=RAW, **attrs):
    return xr.DataArray(pixels, dims=images.DIMS, attrs=attrs)


@pytest.mark.parametrize("lazy", [False, True])
def test_scale_and_offset_give_physical_values(lazy):
    packed = array(scale_factor=0.01, add_offset=200.0, units="K", _FillValue=100)
    image = images.survey(images.source(packed.chunk(y=4) if lazy else packed))
    expected = np.where(RAW == 100, np.nan, RAW * 0.01 + 200)
    np.testing.assert_allclose(image.values(), expected, rtol=1e-12)
    assert image.quantisation_step == 0.01 and image.bounds is None and image.data.attrs["units"] == "K"
    assert image.data.dtype == np.float64  # single precision would lose digits to the offset


def test_small_integers_without_an_offset_are_scaled_in_single_precision():
    image = images.read(array(scale_factor=0.01))
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.values(), (RAW.astype(np.float32) * np.float32(0.01)).astype(float))


def test_bands_may_have_scales_of_their_own():
    image = images.read(array(scale_factor=(0.1, 2.0), add_offset=[0, 5]))
    np.testing.assert_allclose(
        image.values(), RAW * np.array([0.1, 2])[:, None, None] + np.array([0, 5])[:, None, None]
    )
    assert image.quantisation_step == 0  # no single one


def test_raw_counts_are_those_without_the_attributes():
    packed = array(scale_factor=0.01, units="K")
    np.testing.assert_array_equal(images.read(packed.drop_attrs()).values(), RAW)


@pytest.mark.parametrize("scale", ["a", (1, 2, 3), np.nan])
def test_scales_that_are_no_numbers_are_refused(scale):
    with pytest.raises(NotAnImage, match="scale_factor"):
        images.read(array(scale_factor=scale))


def test_decoding_again_changes_nothing():
    once = images.source(array(scale_factor=0.1, missing_value=[100, 101], _FillValue=102))
    again = images.source(once)
    xr.testing.assert_identical(once, again)
    assert images.survey(once).sha256 == images.survey(again).sha256
    assert pickle.loads(pickle.dumps(again)).identical(once)


def test_a_given_nodata_is_a_stored_value_and_adds_to_what_is_declared():
    pixels = RAW.copy()
    pixels[:, 0, 0], pixels[:, 0, 1] = 100, 101
    image = images.read(array(pixels, scale_factor=0.01, _FillValue=100), nodata=101)
    assert image.missing[:, 0, :2].all() and image.missing.sum() == 4 + 2 * (RAW[:, 1:] <= 101).all(0).sum()
    several = images.read(array(pixels, _FillValue=100, missing_value=102), nodata=101)
    assert several.missing[:, 0, :2].all()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_several_markers_are_all_missing(dtype):
    pixels = np.arange(2, 44).reshape(1, 6, 7).astype(dtype)
    image = images.read(array(pixels, _FillValue=5, missing_value=9, nodata=5))
    assert np.argwhere(image.missing[0]).tolist() == [[0, 3], [1, 0]]
    np.testing.assert_array_equal(image.values()[~image.missing], pixels[~image.missing])
    assert image.bounds == images.bounds_of(np.dtype(dtype))
    assert image.range_source == ("type" if dtype == "u1" else "minmax")


def test_markers_of_64_bits_together_with_others_are_refused():
    with pytest.raises(NotAnImage, match="float64"):
        images.read(array(RAW.astype(np.int64), _FillValue=5, missing_value=9))


def test_bands_may_have_markers_of_their_own():
    pixels = np.stack([np.full((4, 5), 7, np.uint8), np.arange(20, dtype=np.uint8).reshape(4, 5)])
    pixels[0, 0, 0] = 9
    image = images.read(array(pixels, nodatavals=(9, 3)), per_band=True)
    assert np.argwhere(image.missing).tolist() == [[0, 0, 0], [1, 0, 3]]
    none = images.read(array(pixels, nodatavals=(9, None)), per_band=True)
    assert np.argwhere(none.missing).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("name", ["_FillValue", "missing_value", "nodata", "fill_value", "nodatavals"])
@pytest.mark.parametrize("value", [-9999, (-9999,), [-9999, -9999], np.float64(-9999), "-9999", np.array([-9999])])
def test_every_attribute_that_declares_missing_pixels_counts(name, value):
    pixels = RAW.astype(np.int16)
    pixels[:, 2, 3] = -9999
    image = images.read(array(pixels, **{name: value}))
    assert (image.missing.sum() == 2 and image.value_range == (RAW.min(), RAW.max())) or image.value_range[0] >= 100


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
def test_what_xarray_has_masked_is_missing(name):
    pixels = RAW.astype(np.float32)
    pixels[:, 2, 3] = np.nan
    masked = array(pixels)
    masked.encoding[name] = -9999
    assert images.read(masked).missing.sum() == 2
    with pytest.raises(InvalidPixels, match="nodata"):
        images.read(array(pixels))


@pytest.mark.parametrize("value", ["none", object(), (1, 2, 3)])
def test_declarations_that_are_no_numbers_are_refused(value):
    with pytest.raises(InvalidPixels, match="nodata"):
        images.read(array(nodata=value))


@pytest.mark.parametrize(
    ("units", "found", "of_bands"),
    [
        ("K", "K", None),
        (" K ", "K", None),
        (("K", "K"), "K", None),
        (("K", "m"), None, ["K", "m"]),
        (("K", None), None, ["K", ""]),
        (b"K", "K", None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_units_are_of_the_image_or_of_each_band(units, found, of_bands):
    image = images.source(array(units=units))
    assert image.attrs.get("units") == found
    assert (list(image["band_units"].values) if "band_units" in image.coords else None) == of_bands
