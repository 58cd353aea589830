import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayesr.images.nodata import REACH, filled, is_missing


def by_definition(pixels, absent):
    """Fill pass by pass and pixel by pixel, in double precision."""
    values, known = pixels.astype(float), ~absent
    for _ in range(REACH):
        before = known.copy()
        means = {}
        for y, x in np.argwhere(~before):
            part = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
            if before[part].any():
                means[y, x] = values[:, *part][:, before[part]].mean(1)
        for (y, x), mean in means.items():
            values[:, y, x], known[y, x] = mean, True
    values[:, ~known] = 0.5
    return values


@st.composite
def holed(draw, largest=45):
    seed, share = draw(st.integers(0, 2**32)), draw(st.sampled_from([0.0, 0.1, 0.6, 0.99]))
    bands, height, width = draw(st.integers(1, 2)), draw(st.integers(1, largest)), draw(st.integers(1, largest))
    random = np.random.default_rng(seed)
    absent = random.random((height, width)) < share
    y, x = random.integers(0, height), random.integers(0, width)
    absent[y : y + random.integers(0, height + 1), x : x + random.integers(0, width + 1)] = True
    pixels = random.random((bands, height, width), np.float32)
    pixels[:, absent] = random.choice([0, -1e9, np.float32(np.nan)])
    return pixels, absent


@given(holed())
def test_fill_is_the_mean_of_known_neighbours_pass_by_pass(image):
    pixels, absent = image
    found = filled(pixels, absent)
    np.testing.assert_allclose(found, by_definition(pixels, absent), rtol=1e-5)
    np.testing.assert_array_equal(found[:, ~absent], pixels[:, ~absent])


def test_pixels_far_from_data_are_grey():
    absent = np.ones((3, 50), bool)
    absent[:, 0] = False
    found = filled(np.full((1, 3, 50), 0.25, np.float32), absent)
    assert (found[..., : 1 + REACH] == 0.25).all() and (found[..., 1 + REACH :] == 0.5).all()
    assert (filled(np.zeros((2, 4, 4), np.float32), np.ones((4, 4), bool)) == 0.5).all()


def test_nodata_is_compared_as_it_is_stored():
    pixels = np.array([[[0.1, 0.2, np.nan, np.inf]], [[0.3, 0.1, 0.3, 0.3]]], np.float32)
    assert is_missing(pixels, 0.1, per_band=True)[:, 0].tolist() == [
        [True, False, False, False],
        [False, True, False, False],
    ]
    assert is_missing(pixels, float("nan"))[:, 0].tolist() == 2 * [[False, False, True, False]]
    assert is_missing(pixels, float("inf"))[:, 0].tolist() == 2 * [[False, False, False, True]]
    assert not is_missing(pixels, -1.7976931348623157e308).any()  # what GDAL declares where there is none
    assert is_missing(np.full((1, 1, 1), 2**64 - 1, np.uint64), float(2**64 - 1)).all()
    assert not is_missing(np.zeros((1, 1, 1), np.uint8), -9999.0).any()


def test_a_pixel_is_missing_where_all_bands_are_as_in_gdal():
    pixels = np.array([[[0, 0, 5]], [[0, 7, 0]]], np.uint8)
    assert is_missing(pixels, 0).tolist() == 2 * [[[True, False, False]]]
    assert is_missing(pixels, 0, per_band=True).tolist() == [[[True, True, False]], [[True, False, True]]]
