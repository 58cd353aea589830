import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bayesr.report.planes import Plane, decoded

values = arrays(
    np.float32, array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(-1e4, 1e4, width=32) | st.just(float("nan")),
)  # fmt: skip


@given(values, st.sampled_from([0.1, 1.0, 7.0]), st.booleans())
def test_a_plane_is_read_back_to_half_its_step(array, step, root):
    made = Plane(array, step, root).encoded()
    back = Plane(decoded(made), step, root).scaled
    np.testing.assert_array_equal(np.isnan(back), np.isnan(array))
    np.testing.assert_allclose(back, Plane(array, step, root).scaled, atol=made["step"] / 2 + 1e-9 * 1e4)
    assert made["step"] >= step


def test_the_estimate_of_a_planes_size_is_near_its_size():
    noise = np.random.default_rng(0).normal(0, 5, (1, 200, 200))
    plane = Plane(noise, 0.5)
    real = 6 * len(plane.encoded()["data"])
    assert plane.bits() < real < 1.15 * plane.bits()
    assert plane.coarser(4).bits() < plane.bits() - 1.5 * noise.size  # two bits of noise less, or nearly
