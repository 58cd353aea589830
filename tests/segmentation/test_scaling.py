import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.segmentation.scaling import SCALINGS, scaled


@pytest.mark.parametrize("scaling", SCALINGS)
@given(st.floats(0.01, 100), st.floats(-1000, 1000))
def test_scaling_does_not_depend_on_units(scaling, gain, offset):
    image = np.random.default_rng(1).gamma(2, size=(2, 9, 11)).astype(np.float32)
    given_ = scaled(image, (0.0, 8.0), scaling)
    other = scaled((gain * image + offset).astype(np.float32), (offset, 8 * gain + offset), scaling)
    np.testing.assert_allclose(
        other, given_, atol=2e-4 * max(1, abs(offset) / gain) ** (0.5 if scaling == "roots" else 1)
    )


def test_scalings():
    image = np.linspace(0, 100, 2001, dtype=np.float32).reshape(1, 3, 667)
    x = scaled(image, (0, 200), "percentiles")
    np.testing.assert_allclose(x, (image - 1) / 98.8, atol=1e-5)
    root = scaled(image, (0, 200), "roots")
    np.testing.assert_allclose(root * np.abs(root), x, atol=1e-5)
    for scaling in ("percentiles", "roots"):
        assert (scaled(np.full((1, 3, 4), 9, np.float32), (0, 1), scaling) == 0).all()
    both = scaled(np.concatenate([image, image]), (-50, 150), "range", ("mean", "std"))
    np.testing.assert_allclose(both, np.concatenate([(image + 50) / 200, image / 200]), atol=1e-6)
