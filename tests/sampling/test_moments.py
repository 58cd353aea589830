import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.product import MASK_MEANS
from bayesr.sampling.moments import moments_of, raw_variance
from bayesr.sampling.plan import Plan
from bayesr.sampling.running_moments import RunningMoments


def test_variance_split_is_unbiased():
    """Mask and latent effects of known variances, through the very sums that sampling uses."""
    rng, masks, latents, cases = np.random.default_rng(0), 8, 4, 40_000
    for of_mask, of_latent in ((0.0, 1.0), (2.0, 0.5)):
        x = np.sqrt(of_mask) * rng.standard_normal((masks, 1, cases))
        x = (x + np.sqrt(of_latent) * rng.standard_normal((masks, latents, cases))).astype(np.float32)
        running = RunningMoments(Plan(masks * latents, masks, 0, 8), None, False)
        for members in x:
            running.add(torch.from_numpy(members).view(latents, 1, 1, cases))
        found = running.result()
        raw, aleatoric = found.raw, found.aleatoric
        epistemic = raw - aleatoric
        error = 4 / np.sqrt(cases)
        assert abs(aleatoric.mean() - of_latent) < error * of_latent
        assert abs(epistemic.mean() - of_mask) < error * (of_mask + of_latent)
        assert abs(raw.mean() - of_mask - of_latent) < error * (of_mask + of_latent)
        assert (raw >= 0).all()
        assert (epistemic < 0).any(), "never clamped"


def running(values, masks, first=0, before=None, n=None):
    """The moments of members `member x ...`, accumulated mask by mask as sampling does."""
    members = torch.from_numpy(values.astype(np.float32)).reshape(len(values), 1, 1, -1)
    moments = RunningMoments(Plan(n or len(values), masks, 0, 8, first), before, True)
    for mask in range(masks):
        moments.add(members[mask::masks])
    return moments.result()


@given(st.sampled_from([(6, 1), (8, 2), (12, 4), (4, 4)]), st.integers(0, 2**32))
def test_sampling_and_regions_estimate_the_same_variance(sizes, seed):
    """One estimator for the maps of a product and for statistics of its regions."""
    n, masks = sizes
    values = np.random.default_rng(seed).normal(size=(n, 5))
    found = running(values, masks)
    np.testing.assert_allclose(found.raw[0, 0], raw_variance(values, np.arange(n) % masks), rtol=1e-4)


def test_without_masks_or_with_unequal_ones_the_variance_is_that_of_all_members():
    values = np.random.default_rng(0).normal(size=(6, 5))
    for masks in (None, np.zeros(6), np.array([0, 0, 0, 1, 1, 2])):
        np.testing.assert_array_equal(raw_variance(values, masks), values.var(0, ddof=1))


@pytest.mark.parametrize("masks", [1, 2])
def test_more_members_are_added_from_the_variables_of_a_product(masks):
    """The moments of 12 members are those of 8 members, as a product states them, and of 4 more."""
    values = np.random.default_rng(0).random((12, 5)).astype(np.float32)
    early, whole = running(values[:8], masks), running(values, masks)
    arrays = {
        "mean": early.mean * 4 + 1,
        "aleatoric": early.aleatoric * 16,
        "std": 2 * np.sqrt(early.raw) * 4,
        "calibration": np.full_like(early.raw, 2),
    }
    if masks > 1:
        arrays[MASK_MEANS] = early.mask_means
    found = running(values[8:], masks, 8, moments_of(arrays, 8, masks, (1.0, 5.0)), 12)
    for name in ("mean", "raw", *(("aleatoric", "mask_means") if masks > 1 else ())):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-4, atol=1e-6)
