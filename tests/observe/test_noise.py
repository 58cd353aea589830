import numpy as np
import pytest
from scipy import ndimage

from bayesr import observe
from bayesr.errors import InvalidArgument, InvalidPixels


def scene(seed=0, size=400):
    """Smooth structure with all values between dark and bright, and edges."""
    random = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(random.normal(size=(size, size)), 12)
    field = field.ravel().argsort().argsort().reshape(field.shape) / field.size
    return 4 + 400 * field + 100 * (field > 0.6)


def recorded(x, gain, read, seed=1, offset=0.0):
    random = np.random.default_rng(seed)
    return gain * random.poisson(x / gain) + random.normal(0, read, x.shape) + offset


@pytest.mark.parametrize(("gain", "read"), [(0.5, 4), (1, 6), (2, 10), (2, 20), (5, 15)])
def test_gain_and_read_noise_within_a_tenth(gain, read):
    single = observe.estimate_noise(recorded(scene(), gain, read))
    stack = observe.estimate_noise(np.stack([recorded(scene(), gain, read, seed) for seed in range(4)]))
    for found in (single, stack):
        assert found.attrs["gain"] == pytest.approx(gain, rel=0.1)
        assert found.attrs["read_noise"] == pytest.approx(read, rel=0.1)
    for name in ("gain", "read_noise"):
        widths = [np.diff(found.attrs[f"{name}_interval"])[0] for found in (single, stack)]
        assert widths[0] > widths[1] > 0


def test_intervals_of_a_stack_cover():
    x = scene(size=96)
    found = [
        observe.estimate_noise(np.stack([recorded(x, 2, 10, 10 * seed + k) for k in range(3)])) for seed in range(30)
    ]
    for name, truth in (("gain", 2), ("read_noise", 10)):
        inside = [one.attrs[f"{name}_interval"][0] <= truth <= one.attrs[f"{name}_interval"][1] for one in found]
        assert sum(inside) >= 22, "of 30 at 90%"


def test_black_level_and_rounding():
    x = scene()
    found = observe.estimate_noise(recorded(x, 2, 10, offset=100.0), offset=100.0)
    assert found.attrs["read_noise"] == pytest.approx(10, rel=0.1) and found.attrs["offset"] == 100
    coarse = np.rint(np.stack([recorded(x, 0.01, 0.5, seed) for seed in range(6)])).astype(np.uint16)
    assert observe.estimate_noise(coarse).attrs["read_noise"] == pytest.approx(0.5, rel=0.1)
    clipped = np.clip(recorded(scene(), 2, 10), 0, 255)
    assert observe.estimate_noise(clipped).attrs["gain"] == pytest.approx(2, rel=0.1)


def test_images_without_an_answer_are_refused():
    with pytest.raises(InvalidArgument, match="constant"):
        observe.estimate_noise(np.full((64, 64), 7.0))
    with pytest.raises(InvalidArgument, match="32 pixels"):
        observe.estimate_noise(np.zeros((20, 64)))
    with pytest.raises(InvalidArgument, match="stack"):
        observe.estimate_noise(np.zeros((1, 64, 64)))
    with pytest.raises(InvalidPixels):
        observe.estimate_noise(np.full((64, 64), np.inf))
    with pytest.raises(InvalidArgument, match="smooth"):
        observe.estimate_noise(np.random.default_rng(0).normal(size=(33, 33)))
