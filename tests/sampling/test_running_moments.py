import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.sampling.moments import raw_variance
from bayesr.sampling.plan import Plan
from bayesr.sampling.running_moments import RunningMoments
from tests.sampling.helpers import running


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


@given(st.sampled_from([(6, 1), (8, 2), (12, 4), (4, 4)]), st.integers(0, 2**32))
def test_sampling_and_regions_estimate_the_same_variance(sizes, seed):
    """One estimator for the maps of a product and for statistics of its regions."""
    n, masks = sizes
    values = np.random.default_rng(seed).normal(size=(n, 5))
    found = running(values, masks)
    np.testing.assert_allclose(found.raw[0, 0], raw_variance(values, np.arange(n) % masks), rtol=1e-4)
