import numpy as np
import pytest

from bayesr.product import MASK_MEANS
from bayesr.sampling.moments import moments_of, raw_variance
from tests.sampling.helpers import running


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
