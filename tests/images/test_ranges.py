import numpy as np
import pytest

from bayesr import images
from bayesr.errors import InvalidArgument, InvalidPixels
from bayesr.images import ranges

UINT8, FLOAT = np.dtype(np.uint8), np.dtype(float)


@pytest.mark.parametrize("given", [None, "minmax", "unit", "percentiles"])
def test_names_are_kept(given):
    assert ranges.checked(given) == given


def test_numbers_become_floats():
    assert ranges.checked([1, np.int64(3)]) == (1.0, 3.0)


@pytest.mark.parametrize(
    "given", [255, (1, 2, 3), (2, 1), (1, 1), (0, np.inf), (np.nan, 1), "max", ("a", "b"), (None, 1), "01", b"unit"]
)
def test_other_ranges_are_refused(given):
    with pytest.raises(InvalidArgument, match="value_range must be"):
        ranges.checked(given)


def test_constant_images_get_a_range_of_any_width():
    assert ranges.choose(None, FLOAT, 3.0, 3.0) == ((3.0, 4.0), "minmax")
    assert ranges.choose("percentiles", FLOAT, 3.0, 3.0, [np.full(9, 3.0)]) == ((3.0, 4.0), "percentiles")
    assert ranges.choose(None, UINT8, 3.0, 3.0) == ((0.0, 255.0), "type")


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, np.float32),
        (0, 65535, np.float32),
        (-9000, 21000, np.float32),
        (4e9, 4e9 + 255, np.float64),  # counts with an offset
        (1737400 - 10, 1737400 + 10, np.float64),  # a planetary radius
        (273.15, 273.16, np.float64),
        (40000, 40001, np.float64),
        (0, 1e-14, np.float32),
        (0, 1e-20, np.float64),  # radiances, whose variances single precision loses
        (0, 1e20, np.float64),
        (-1e38, 1e38, np.float64),
        (0, 1e100, np.float64),
    ],
)
def test_results_hold_a_thousandth_of_the_range(low, high, dtype):
    assert ranges.result_type((low, high), low, high) == dtype
    thousandth = (high - low) / 1000
    moved = dtype(dtype(high) - dtype(thousandth))
    assert abs(float(moved) - (high - thousandth)) <= thousandth


@pytest.mark.parametrize("pixels", [1e17, 1e39, 1e300])
def test_constants_that_no_type_resolves_are_refused_by_name(pixels):
    with pytest.raises(InvalidPixels, match=r"All pixels have the value 1e\+\d+, .*value range"):
        images.read(np.full((4, 5), pixels))


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[-1e308, 1e308]]),
        np.linspace(0, 1e200, 20).reshape(4, 5),
        np.linspace(0, 1e-200, 20).reshape(4, 5),
        (2**62 + 4096 * np.arange(20, dtype=np.int64)).reshape(4, 5),
    ],
)
def test_ranges_that_no_type_resolves_are_refused_by_name(pixels):
    with pytest.raises(InvalidPixels, match=r"run from .* to .*double precision"):
        images.read(pixels)


@pytest.mark.parametrize("chosen", [None, "minmax", "unit", "percentiles", (0.0, 9.0)])
@pytest.mark.parametrize("kind", [UINT8, np.dtype(np.uint16), FLOAT])
def test_a_range_that_is_stated_is_the_one_of_any_values(chosen, kind):
    one, other = (ranges.choose(chosen, kind, low, low + 5.0, [np.arange(low, low + 5)]) for low in (1.0, 30.0))
    stated = ranges.stated(chosen, kind)
    assert (stated is None) == (one != other) and stated in (None, one)
