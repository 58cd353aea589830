import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayesr.sampling import noise


@given(
    top=st.integers(0, 150), left=st.integers(0, 150), height=st.integers(1, 90), width=st.integers(1, 90),
    seed=st.integers(0, 2**64 - 1), member=st.integers(0, 10**6),
)  # fmt: skip
def test_a_window_is_a_window_of_the_field(top, left, height, width, seed, member):
    whole = noise.latent(seed, member, (0, 240, 0, 240), 3)
    part = noise.latent(seed, member, (top, top + height, left, left + width), 3)
    np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


def test_latents_are_standard_normal_and_independent():
    z = noise.latent(1, 2, (0, 256, 0, 256), 8).astype(float)
    count = z.size
    assert abs(z.mean()) < 4 / np.sqrt(count)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((z**4).mean() - 3) < 0.05
    for other in (np.roll(z, 1, 0), np.roll(z, 1, 1), np.roll(z, 1, 2), np.roll(z, 64, 0), np.roll(z, 64, 1)):
        assert abs((z * other).mean()) < 4 / np.sqrt(count)
    for stranger in (noise.latent(1, 3, (0, 256, 0, 256), 8), noise.latent(2, 2, (0, 256, 0, 256), 8)):
        assert abs((z * stranger).mean()) < 4 / np.sqrt(count)


def test_the_noise_of_products_on_disk_never_changes():
    """Stores of past versions are replayed from these values: a change here breaks every one of them."""
    expected = [0.375624, 1.157544, -0.265292, 0.10036]
    np.testing.assert_allclose(noise.latent(7, 3, (64, 65, 0, 1), 4)[0, 0], expected, atol=2e-6)
    np.testing.assert_array_equal(noise.dropout(7, 3, np.array([0.5]), 8)[0], [0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0])


def test_dropout_keeps_the_expectation():
    rates = np.array([0.1, 0.5, 0.01])
    masks = np.stack([noise.dropout(5, k, rates, 64) for k in range(2000)])
    assert masks.shape == (2000, 3, 64)
    np.testing.assert_allclose(masks.mean((0, 2)), 1, atol=0.02)
    np.testing.assert_allclose((masks == 0).mean((0, 2)), rates, atol=0.01)
    np.testing.assert_array_equal(noise.dropout(5, 0, rates, 64), masks[0])
    assert (masks[0] != masks[1]).any()


def test_masks_are_made_of_normal_values():
    drawn = [noise.normal_mask(5, k, (48, 33)) for k in range(2000)]
    assert [e.shape for e in drawn[0]] == [(48,), (33,)]
    for layer in range(2):
        found = np.stack([e[layer] for e in drawn])
        assert abs(found.mean()) < 0.02 and abs(found.var() - 1) < 0.02
    for one, again in zip(drawn[0], noise.normal_mask(5, 0, (48, 33)), strict=True):
        np.testing.assert_array_equal(one, again)
    expected = [-2.176417, 2.282246, 1.039387, -0.360562]
    np.testing.assert_allclose(noise.normal_mask(7, 3, [4])[0], expected, atol=2e-6)
