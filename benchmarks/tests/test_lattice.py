"""The lattice of the input's pixels: its measures, of images whose lattice is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bayesr_bench.lattice import Power, percentile_ratio, power, step_ratio


def noise(*shape, seed=0, spread=10.0):
    return np.random.default_rng(seed).normal(128, spread, shape)


def waves(amplitude, fy, fx, side=64):
    y, x = np.mgrid[:side, :side]
    return amplitude * np.cos(2 * np.pi * (fy * y + fx * x) + 0.7)


# -- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_images_without_a_lattice_have_a_ratio_of_one(scale):
    assert step_ratio(noise(3, 240, 240), scale) == pytest.approx(1, abs=0.01)
    y, x = np.mgrid[:24, :48]
    assert step_ratio(3.0 * y + 2 * x, scale) == pytest.approx(1, abs=0.03)  # other numbers of steps along the axes


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_replicated_pixels_have_steps_at_borders_only(scale):
    low = noise(3, 12, 10)
    replicated = low.repeat(scale, 1).repeat(scale, 2)
    assert step_ratio(replicated, scale) == np.inf
    assert np.isnan(step_ratio(np.full((3, 24, 24), 7.0), scale))
    # Twice the steps at borders, in each direction.
    for axis in (0, 1):
        steps = np.where(np.arange(1, 24) % scale == 0, 2.0, 1.0)
        ramp = np.concatenate([[0], np.cumsum(steps)])
        image = ramp[:, None] if axis == 0 else ramp
        assert step_ratio(np.broadcast_to(image, (24, 24)), scale) == pytest.approx(2)


def test_units_do_not_matter():
    image = gaussian_filter(noise(48, 48), 2) + np.kron(noise(12, 12, seed=1), np.ones((4, 4)))
    expected = step_ratio(image, 4)
    assert expected > 2
    assert step_ratio(image / 255, 4) == pytest.approx(expected, rel=1e-4)
    assert step_ratio(image.T, 4) == pytest.approx(expected, rel=1e-4)
    assert step_ratio(np.roll(image, 2, (0, 1)), 4) < 1  # the lattice has its place


# -- power ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_white_noise_has_its_variance_at_every_frequency(scale):
    found = power(noise(40, 3, 80, 96, spread=6.0), scale)
    assert found.lattice.mean() == pytest.approx(36, rel=0.1)
    assert found.around.mean() == pytest.approx(36, rel=0.02)
    assert found.prominence.mean() == pytest.approx(36 / 37, rel=0.1)


@pytest.mark.parametrize(("fy", "fx"), [(0.25, 0), (0, 0.25), (0.25, 0.25), (0.25, -0.25)])
def test_the_power_of_a_wave_is_that_of_its_amplitude(fy, fx):
    found = power(waves(3.0, fy, fx)[None, None], 4)
    np.testing.assert_allclose(found.lattice, 2 * 114 * 9 / 15, rtol=0.01)  # at 2 of 15 frequencies
    assert found.around.max() < 1e-3 * found.lattice.min()
    assert found.lattice.size == 9  # windows at every 16th pixel


@pytest.mark.parametrize("frequency", [(0.125, 0), (0.125, 0.25), (1 / 3, 1 / 3), (0, 0)])
def test_waves_of_other_frequencies_and_gradients_have_no_lattice(frequency):
    found = power(waves(20.0, *frequency)[None, None], 4)
    assert found.lattice.max() < 0.2 and found.prominence.max() < 0.2
    y, x = np.mgrid[:64, :64]
    ramp = power((2.0 * x + y)[None, None], 4)
    assert ramp.lattice.max() < 2  # power of the border's step is kept near the mean


def test_dots_are_seen_where_they_are_and_textures_are_not():
    dots = np.zeros((1, 1, 128, 128))
    dots[..., 48:80:4, 48:80:4] = 20
    texture = gaussian_filter(noise(1, 1, 128, 128, spread=80.0), (0, 0, 0.7, 0.7))
    found = power(128 + dots, 4).prominence.reshape(7, 7)
    assert found[3, 3] > 20 and found[0].max() < 1e-3
    assert power(texture, 4).prominence.max() < 5
    # Dots in a texture do not hide in its power at the same frequencies.
    assert power(texture, 4).lattice.mean() > power(128 + dots, 4).lattice.mean()


def test_bands_are_averaged_and_images_joined():
    one, two = noise(3, 64, 48), noise(3, 64, 48, seed=1)
    both, a, b = power(np.stack([one, two]), 4), power(one[None], 4), power(two[None], 4)
    np.testing.assert_array_equal(both.lattice, np.concatenate([a.lattice, b.lattice]))
    bands = [power(band[None, None], 4).around for band in one]
    np.testing.assert_allclose(a.around, np.mean(bands, 0), rtol=1e-5)
    assert power(noise(2, 3, 31, 64), 4).lattice.size == 0


# -- percentiles ---------------------------------------------------------------------------------


def test_equal_images_have_a_ratio_of_one():
    windows = [np.random.default_rng(k).exponential(size=300) for k in range(12)]
    assert percentile_ratio(windows, windows) == (1, 0)
    value, error = percentile_ratio([3 * one for one in windows], windows)
    assert value == pytest.approx(3) and error == pytest.approx(0, abs=1e-12)


def test_a_rare_pattern_counts():
    random = np.random.default_rng(0)
    truth = [random.exponential(size=400) for _ in range(20)]
    members = [random.exponential(size=1600) for _ in range(20)]
    value, error = percentile_ratio(members, truth)
    assert abs(value - 1) < 4 * error and 0 < error < 0.2
    for one in members:
        one[:48] = 50  # three windows in a hundred
    assert percentile_ratio(members, truth)[0] > 5


def test_images_without_windows_are_left_out():
    empty = np.empty(0)
    assert np.isnan(percentile_ratio([empty], [empty])).all()
    value, error = percentile_ratio([empty, np.arange(100.0)], [empty, np.arange(100.0)])
    assert value == 1 and np.isnan(error)


def test_prominence_is_a_ratio_with_a_floor():
    found = Power(np.array([0.5, 100.0]), np.array([0.0, 9.0]))
    np.testing.assert_allclose(found.prominence, [0.5, 10])
