import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayesr.images import image_statistics
from tests.calibration.helpers import texture


@given(arrays(np.float32, (2, 33, 32), elements=st.sampled_from([0.0, 1e-6, 0.5, 1.0, 65535.0])))
def test_statistics_are_finite_for_any_image(x):
    found = image_statistics.statistics(x)
    assert found.shape == (len(image_statistics.names(2)),) and np.isfinite(found).all()


def test_statistics_do_not_know_the_order_of_axes_or_brightness():
    x = texture(3)
    found = image_statistics.statistics(x)
    for other in (x.swapaxes(1, 2), x[:, ::-1], x + 0.25):
        np.testing.assert_allclose(image_statistics.statistics(other), found, atol=1e-3)


def test_white_noise_has_its_variance_in_detail_and_whiteness_one():
    x = np.random.default_rng(0).normal(0.5, 0.1, (1, 128, 128))
    of = dict(zip(image_statistics.names(1), image_statistics.statistics(x), strict=True))
    assert np.exp(of["detail50"]) == pytest.approx(0.01, rel=0.15)
    assert np.exp(of["power5"]) == pytest.approx(0.01, rel=0.1) and np.exp(of["slope50"]) == pytest.approx(
        0.01, rel=0.1
    )
    assert abs(of["whiteness"]) < 0.2


def test_windows_bound_the_cost():
    windows = list(image_statistics.windows(10_000, 300))
    assert len(windows) == 9 and all(rows.stop - rows.start == 128 == cols.stop - cols.start for rows, cols in windows)
    assert {(0, 0), (9872, 172)} <= {(rows.start, cols.start) for rows, cols in windows}
    assert list(image_statistics.windows(40, 128)) == [(slice(0, 40), slice(0, 128))]
