import numpy as np
import pytest
import torch

from bayesr import observe
from bayesr.observe.fitting import cropped_pairs, image_pairs
from bayesr.observe.likelihood import FAMILIES, Misfit, Posterior
from tests.observe.test_fitting import pair


@pytest.mark.parametrize(("scale", "psf"), [(1, "gaussian"), (3, "gaussian"), (4, "airy")])
def test_the_likelihood_compares_with_the_operator(scale, psf):
    """``S`` of the likelihood, by periodic transforms of a crop, is that of the operator, except for its cut-off."""
    rng, width = np.random.default_rng(0), 1.3 * scale if psf == "airy" else 0.5 * scale
    operator = (
        observe.airy(scale, na=0.61 / width, wavelength=1, pixel=1)
        if psf == "airy"
        else observe.gaussian(scale, sigma=width)
    )
    (y, x), most = pair(rng, operator, 0.1, 70), 1.5 * width
    planes, _ = image_pairs([y], [x])
    misfit = Misfit(psf, scale, most, cropped_pairs(planes, scale, most, FAMILIES[psf]))
    border = (70 - int(misfit.pixels**0.5)) // 2
    inside = (slice(border, -border), slice(border, -border))
    expected = np.square(y - operator.observe(torch.from_numpy(x)).numpy())[inside].sum()
    assert misfit(width) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_that_of_the_potential():
    low, high = pair(np.random.default_rng(0), observe.gaussian(4, sigma=1.5), 0.02)
    planes, _ = image_pairs(low, high)
    posterior = Posterior(
        Misfit("gaussian", 4, 8.0, cropped_pairs(planes, 4, 8.0, FAMILIES["gaussian"])), FAMILIES["gaussian"]
    )
    z = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(posterior.potential, (z,))
    peak = posterior.potential(torch.zeros(2, dtype=torch.float64))
    for step in torch.eye(2, dtype=torch.float64):  # about standard normal: half a unit of cost, one step away
        for sign in (-1, 1):
            assert posterior.potential(sign * step) - peak == pytest.approx(0.5, abs=0.1)


def test_draws_follow_the_posterior_density():
    """Compare with the moments of the density, summed over a grid."""
    low, high = pair(np.random.default_rng(1), observe.gaussian(4, sigma=1.5), 0.02)
    planes, _ = image_pairs(low, high)
    posterior = Posterior(
        Misfit("gaussian", 4, 8.0, cropped_pairs(planes, 4, 8.0, FAMILIES["gaussian"])), FAMILIES["gaussian"]
    )
    axis = torch.linspace(-5, 5, 25, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    cost = np.array([float(posterior.potential(z)) for z in grid])
    weights = np.exp(cost.min() - cost)
    weights /= weights.sum()
    ds = observe.fit(low, high, draws=400)
    for name, values in zip(("psf_width", "noise"), posterior.values(grid), strict=True):
        mean = weights @ values
        std = np.sqrt(weights @ (values - mean) ** 2)
        assert abs(float(ds[name].mean()) - mean) < 0.3 * std
        assert float(ds[name].std()) == pytest.approx(std, rel=0.2)
