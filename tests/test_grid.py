import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import NotAnImage
from bayesr.grid import Axis, Tile, tiles


@given(start=st.integers(-(10**6), 10**6), step=st.sampled_from([0.25, 0.5, 1.0, 10.0, -10.0, -0.5]),
       size=st.integers(2, 300), scale=st.sampled_from([1, 2, 4, 8]))  # fmt: skip
def test_bounds_are_kept_exactly(start, step, size, scale):
    low = Axis.of_centres(start + step * (np.arange(size) + 0.5), "x")
    high = low.refined(scale)
    assert (low.start, low.stop) == (start, start + step * size)
    assert (high.start, high.stop, high.size) == (low.start, low.stop, size * scale)
    centres = high.centres()
    assert centres[0] - high.step / 2 == low.start
    assert centres[-1] + high.step / 2 == low.stop
    np.testing.assert_array_equal(centres.reshape(size, scale).mean(1), low.centres())


def test_pixels_without_coordinates_start_at_a_half():
    np.testing.assert_array_equal(Axis(0.0, 5.0, 5).centres(), [0.5, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_array_equal(Axis(0.0, 1.0, 1).refined(4).centres(), [0.125, 0.375, 0.625, 0.875])


def test_uneven_coordinates_are_refused():
    with pytest.raises(NotAnImage, match="evenly"):
        Axis.of_centres(np.array([0.0, 1.0, 3.0]), "lat")


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    size=st.integers(1, 90),
    halo=st.integers(0, 40),
    multiple=st.integers(1, 9),
)
def test_tiles_cover_every_pixel_once(height, width, size, halo, multiple):
    seen = np.zeros((height, width), int)
    for tile in tiles(height, width, size, halo, multiple):
        top, bottom, left, right = tile.core
        seen[top:bottom, left:right] += 1
        y0, y1, x0, x1 = tile.window
        assert 0 <= y0 <= top and bottom <= y1 <= height and 0 <= x0 <= left and right <= x1 <= width
        assert halo <= top - y0 < halo + multiple or y0 == 0
        assert halo <= y1 - bottom < halo + multiple or y1 == height
        assert y0 % multiple == x0 % multiple == 0 and (y1 % multiple == 0 or y1 == height)
        high = np.arange(3 * height)[3 * y0 : 3 * y1]
        np.testing.assert_array_equal(high[tile.crop(3)[0]], np.arange(3 * height)[tile.high(3)[0]])
    assert (seen == 1).all()


@pytest.mark.parametrize("start", [-120.0, 0.0, 500_000.0])
@pytest.mark.parametrize("step", [1 / 3, 0.25, 1 / 12, -0.1, 30.0])
@pytest.mark.parametrize("stored", [np.float32, 2, 3, 4])
def test_grids_as_numbers_store_them(start, step, stored):
    exact = start + step * np.arange(300)
    values = exact.astype(stored) if isinstance(stored, type) else np.round(exact, stored)
    error = np.abs(values.astype(float) - exact).max()
    if not error <= abs(step) / 8:
        return  # so few digits do not tell the pixels apart
    axis = Axis.of_centres(values, "x")
    assert abs(axis.step - step) <= 2 * error / 299 + 1e-12
    assert np.abs(axis.centres() - exact).max() <= 2 * error + 1e-9


@pytest.mark.parametrize(
    "values",
    [[0, 1, 2, 3.5], [0, 10, 20, 31], [0.0, 0.1, 0.2, 0.4], [0, 0, 0], [0, np.nan, 2], [1, 2, 1], [0, 1e300, 1]],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_uneven_grids_are_refused(values, dtype):
    with np.errstate(over="ignore"), pytest.raises(NotAnImage, match="evenly"):
        Axis.of_centres(np.array(values).astype(dtype), "x")


def test_a_single_centre_needs_the_width_of_its_pixel():
    assert Axis.of_centres(np.array([7.0]), "x", -4.0) == Axis(9.0, 5.0, 1)
    assert Axis.of_centres(np.array([0.5]), "x") == Axis(0.0, 1.0, 1)
    with pytest.raises(NotAnImage, match="single value 7"):
        Axis.of_centres(np.array([7.0]), "x")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 9), st.integers(0, 9))
def test_a_narrower_window_is_a_part_of_the_window(height, width, size, halo, nearer):
    pixels = np.arange(height * width).reshape(height, width)
    for tile, expected in zip(
        tiles(height, width, size, halo), tiles(height, width, size, min(halo, nearer)), strict=True
    ):
        inner = tile.within(nearer)
        assert inner == expected
        window = pixels[tile.window[0] : tile.window[1], tile.window[2] : tile.window[3]]
        np.testing.assert_array_equal(window[inner.part_of(tile)][inner.crop(1)], window[tile.crop(1)])


def test_a_nearer_window_is_of_the_same_slice():
    tile = Tile((4, 8, 4, 8), (0, 12, 0, 12), (2, 1))
    assert tile.within(1) == Tile((4, 8, 4, 8), (3, 9, 3, 9), (2, 1))
