import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.sampling import noise


def latent(seed, member, window, channels):
    top, bottom, left, right = window
    out = torch.empty((1, bottom - top, right - left, channels))
    return noise.latents(seed, [member], window, channels, out)[0].numpy()


@given(
    top=st.integers(0, 150), left=st.integers(0, 150), height=st.integers(1, 90), width=st.integers(1, 90),
    seed=st.integers(0, 2**64 - 1), member=st.integers(0, 10**6),
)  # fmt: skip
def test_a_window_is_a_window_of_the_field(top, left, height, width, seed, member):
    whole = latent(seed, member, (0, 240, 0, 240), 3)
    part = latent(seed, member, (top, top + height, left, left + width), 3)
    np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


def test_latents_are_standard_normal_and_independent():
    z = latent(1, 2, (0, 256, 0, 256), 8).astype(float)
    count = z.size
    assert abs(z.mean()) < 4 / np.sqrt(count)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((z**4).mean() - 3) < 0.05
    for other in (np.roll(z, 1, 0), np.roll(z, 1, 1), np.roll(z, 1, 2), np.roll(z, 64, 0), np.roll(z, 64, 1)):
        assert abs((z * other).mean()) < 4 / np.sqrt(count)
    for stranger in (latent(1, 3, (0, 256, 0, 256), 8), latent(2, 2, (0, 256, 0, 256), 8)):
        assert abs((z * stranger).mean()) < 4 / np.sqrt(count)


def test_the_noise_of_products_on_disk_never_changes():
    """Stores of past versions are replayed from these values: a change here breaks every one of them."""
    expected = [0.375624, 1.157544, -0.265292, 0.10036]
    np.testing.assert_allclose(latent(7, 3, (64, 65, 0, 1), 4)[0, 0], expected, atol=2e-6)
    np.testing.assert_array_equal(
        noise.MaskNoise(7, 3).dropout(np.array([0.5]), 8)[0], [0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0]
    )


def test_dropout_keeps_the_expectation():
    rates = np.array([0.1, 0.5, 0.01])
    masks = np.stack([noise.MaskNoise(5, k).dropout(rates, 64) for k in range(2000)])
    assert masks.shape == (2000, 3, 64)
    np.testing.assert_allclose(masks.mean((0, 2)), 1, atol=0.02)
    np.testing.assert_allclose((masks == 0).mean((0, 2)), rates, atol=0.01)
    np.testing.assert_array_equal(noise.MaskNoise(5, 0).dropout(rates, 64), masks[0])
    assert (masks[0] != masks[1]).any()


def test_masks_are_made_of_normal_values():
    drawn = [noise.MaskNoise(5, k).normal((48, 33)) for k in range(2000)]
    assert [e.shape for e in drawn[0]] == [(48,), (33,)]
    for layer in range(2):
        found = np.stack([e[layer] for e in drawn])
        assert abs(found.mean()) < 0.02 and abs(found.var() - 1) < 0.02
    for one, again in zip(drawn[0], noise.MaskNoise(5, 0).normal((48, 33)), strict=True):
        np.testing.assert_array_equal(one, again)
    expected = [-2.176417, 2.282246, 1.039387, -0.360562]
    np.testing.assert_allclose(noise.MaskNoise(7, 3).normal([4])[0], expected, atol=2e-6)


@given(
    top=st.integers(0, 90), left=st.integers(0, 2**20), height=st.integers(1, 90), width=st.integers(1, 90),
    channels=st.integers(1, 25), seed=st.integers(0, 2**64 - 1), members=st.lists(st.integers(0, 2**64 - 1), min_size=1,
    max_size=3),
)  # fmt: skip
def test_devices_draw_the_same_bits(top, left, height, width, channels, seed, members):
    window = top, top + height, left, left + width
    bits = noise._bits(seed, members, window, channels, torch.device("cpu"))
    out = torch.empty((len(members), height, width, channels))
    assert torch.equal(torch.from_numpy(noise._quantiles())[bits], noise.latents(seed, members, window, channels, out))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_the_latents_of_the_cpu():
    window = (3, 200, 60, 70)
    parts = [torch.empty((5, 197, 10, 24), device=device) for device in ("cpu", "cuda")]
    whole, other = (noise.latents(2**63 + 5, range(7, 12), window, 24, part).cpu() for part in parts)
    assert torch.equal(whole, other)


def test_neighbouring_counters_and_keys_are_unrelated():
    """The first moments, autocorrelation along all axes and correlation of members, within 4.5 standard errors."""
    parts = torch.empty((6, 128, 128, 8))
    z = noise.latents(0, range(6), (0, 128, 0, 128), 8, parts).double()
    count = z[0].numel()
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        # Quantiles of 16 bits are normal but for their ends, which shows in the fourth moment first.
        error = (z**power).mean((1, 2, 3)) - moment
        assert error.abs().max() < 4.5 * (spread / count) ** 0.5 + (2e-3 if power == 4 else 1e-7)
    for axis in (1, 2, 3):
        for lag in (1, 2, 3, 4, 16, 64):
            if lag < z.shape[axis]:
                apart = z.roll(lag, axis)
                for one, other in ((z, apart), (z**2 - 1, apart**2 - 1)):
                    limit = 4.5 * float((one**2).mean() / count**0.5)
                    assert (one * other).mean((1, 2, 3)).abs().max() < limit
    flat = z.flatten(1)
    correlation = flat @ flat.T / count
    assert (correlation - torch.eye(6)).abs().max() < 4.5 * (2 / count) ** 0.5
    ranks = torch.bucketize(flat, torch.from_numpy(noise._quantiles()[4096::4096]).double())
    pairs = torch.stack([torch.bincount(16 * row[:-1] + row[1:], minlength=256) for row in ranks]).double()
    expected = (count - 1) / 256
    chi_squared = ((pairs - expected) ** 2 / expected).sum(1)
    assert (chi_squared - 255).abs().max() < 5 * (2 * 255) ** 0.5
