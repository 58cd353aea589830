import numpy as np
import pytest
import torch

from bayesr.observe import bicubic, box, gaussian
from bayesr_bench.problems import GaussianField

FIELDS = [
    GaussianField(bicubic(4), size=4),
    GaussianField(gaussian(2, sigma=1.0), size=6, slope=2.0, length=5.0),
    GaussianField(box(3), size=5, slope=4.0),
]


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("field", FIELDS)
def test_posterior_of_a_gaussian_field_is_the_conditional_distribution(field):
    """Errors of the mean are uncorrelated with the data, and posterior samples reproduce the data."""
    rows = torch.from_numpy(field.operator.matrices(field.size)[0])
    a = torch.kron(rows, rows)
    seen = a @ field.covariance @ a.T
    gain = torch.stack([field.posterior_mean(e.reshape(1, 1, field.size, -1) + 0.5)[0].flatten() for e in
                        torch.eye(field.size**2, dtype=torch.float64)], 1) - 0.5  # fmt: skip
    torch.testing.assert_close(gain @ seen, field.covariance @ a.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(a @ field.posterior_covariance, torch.zeros_like(a), atol=1e-10, rtol=0)
    explained = gain @ seen @ gain.T
    torch.testing.assert_close(field.posterior_covariance + explained, field.covariance, atol=1e-10, rtol=0)
    assert torch.linalg.eigvalsh(field.posterior_covariance).min() > -1e-10


@pytest.mark.parametrize("field", FIELDS)
def test_fields_and_posterior_samples_have_the_moments_they_claim(field):
    x = field.draw(4000, random())[:, 0].flatten(1) - 0.5
    scale = field.covariance.diagonal().mean()
    torch.testing.assert_close(x.T @ x / len(x), field.covariance, atol=0.1 * float(scale), rtol=0)
    low, _ = field.batch(2, random(1))
    found = field.posterior(low, 4000, random(2))
    torch.testing.assert_close(
        field.operator.observe(found), low.double()[:, None].expand(-1, 4000, -1, -1, -1), atol=1e-9, rtol=0
    )
    spread = field.posterior_variance.mean()
    torch.testing.assert_close(found.mean(1), field.posterior_mean(low), atol=0.1 * float(spread.sqrt()), rtol=0)
    deviation = (found - found.mean(1, keepdim=True)).flatten(2)[0]
    torch.testing.assert_close(
        deviation.T @ deviation / 3999, field.posterior_covariance, atol=0.15 * float(spread), rtol=0
    )


def test_finite_training_set_repeats_and_has_a_size():
    field = GaussianField(size=4, scenes=3)
    _, high = field.batch(200, random())
    assert len(torch.unique(high.flatten(1), dim=0)) == 3
    assert field.low_pixels == 3 * 16
    assert GaussianField(size=4).low_pixels == np.inf
    again = GaussianField(size=4, scenes=3)
    torch.testing.assert_close(again.batch(5, random(7))[1], field.batch(5, random(7))[1], rtol=0, atol=0)
