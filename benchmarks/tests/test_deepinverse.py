import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bayesr.observe import bicubic, gaussian
from bayesr_bench.deepinverse import ROUNDING, Guidance, Langevin, Restoration, described, effective, members, physics

OPERATOR = bicubic(4)
SIZES = st.integers(2, 7)


class OfGaussian(nn.Module):
    """The best denoiser there is of white Gaussian images about 1/2: their posterior is known."""

    def __init__(self, spread: float = 0.1) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, x: torch.Tensor, sigma: torch.Tensor | float, **unused: object) -> torch.Tensor:
        sigma = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1)
        return 0.5 + self.spread**2 / (self.spread**2 + sigma**2) * (x - 0.5)


# -- the operator --------------------------------------------------------------------------------


@settings(max_examples=8)
@given(SIZES, SIZES, st.integers(1, 3), st.sampled_from([OPERATOR, gaussian(4, sigma=1.6), bicubic(2)]))
def test_the_operator_is_bayesrs_own(height, width, bands, operator):
    s, random = operator.scale, torch.Generator().manual_seed(height * width)
    told = physics(operator, height, width, bands)
    x, y = (torch.rand(2, bands, k * height, k * width, generator=random, dtype=torch.float64).float() for k in (s, 1))
    torch.testing.assert_close(told.A(x), operator.observe(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(told.A_dagger(y), operator.invert(y), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close((told.A(x) * y).sum(), (x * told.A_adjoint(y)).sum(), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(told.A_adjoint_A(x), told.A_adjoint(told.A(x)), atol=1e-5, rtol=0)


@settings(max_examples=8)
@given(SIZES, SIZES, st.floats(0.1, 100))
def test_the_proximal_operator_is_exact(height, width, gamma):
    """Where ``|x - z|^2 / 2 + gamma |A x - y|^2 / 2`` is least its gradient is nothing."""
    random = torch.Generator().manual_seed(height)
    told = physics(OPERATOR, height, width, 1)
    z, y = (torch.rand(1, 1, k * height, k * width, generator=random) for k in (4, 1))
    x = told.prox_l2(z, y, gamma)
    gradient = x - z + gamma * told.A_adjoint(told.A(x) - y)
    assert gradient.abs().max() < 1e-4 * (1 + gamma)


# -- the samplers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "least", "most"),
    [
        (Guidance(steps=24, largest=0.3), 0.8, 1.0),  # few steps draw members too close together
        (
            Langevin(chains=32, burn_in=8, sigma=0.02, noise=ROUNDING, prior=1.0),
            0.95,
            1.12,
        ),  # a smoothed prior is too wide
        (Restoration(), 0.25, 0.6),  # the package halves the variance of what it adds
    ],
)
def test_members_are_of_the_posterior(sampler, least, most):
    """Of white Gaussian images it is ``A+ y + P m`` with the prior's variance in what the observation hides."""
    random = torch.Generator().manual_seed(0)
    spread, n = 0.1, 96
    truth = 0.5 + spread * torch.randn(1, 32, 32, generator=random)
    y = OPERATOR.observe(truth)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        x = sampler.draw(OfGaussian(spread), y, OPERATOR, n)
    assert x.shape == (n, 1, 32, 32)
    mean = OPERATOR.invert(y) + OPERATOR.project(torch.full_like(truth, 0.5))
    variance = spread**2 * OPERATOR.null_space_variance(8, 8).mean()
    assert (x.mean(0) - mean).square().mean() < 1.3 * variance / n * (1 if isinstance(sampler, Guidance) else 2)
    assert least < x.var(0).mean() / variance < most
    assert (OPERATOR.observe(x) - y).square().mean().sqrt() < 4 * ROUNDING


def test_members_are_those_of_their_seed_and_leave_no_trace():
    low = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    sampler, before = Guidance(steps=3), torch.get_rng_state()
    first, again, other = (members(sampler, OfGaussian(), low, OPERATOR, 3, seed) for seed in (1, 1, 2))
    assert (torch.get_rng_state() == before).all()
    assert first.shape == (3, 3, 16, 20) and first.min() >= 0 and first.max() <= 255
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1 and np.abs(first[0] - first[1]).max() > 1


@pytest.mark.parametrize("chains", [1, 3, 4])
def test_as_many_members_as_asked_for(chains):
    low = np.full((2, 2, 1), 100, np.uint8)
    assert (
        len(members(Langevin(chains=chains, burn_in=1, thinning=1, stages=3), OfGaussian(), low, OPERATOR, 8, 0)) == 8
    )


def test_the_step_is_as_long_as_is_stable():
    """On the steepest quadratic a whole step stays bounded, and one half as long again does not."""
    for share, bounded in ((1.0, True), (1.5, False)):
        sampler = Langevin(stages=5, burn_in=0, thinning=1, chains=1, noise=1.0, prior=1.0, share=share)
        drawn = members(sampler, OfGaussian(1e-6), np.full((2, 2, 1), 128, np.uint8), OPERATOR, 40, 0)
        assert (np.ptp(drawn[-1]) < 250) == bounded


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_correlated_states_are_worth_fewer(correlation):
    random = np.random.default_rng(0)
    chains, length = 20, 400
    x = np.zeros((chains, length, 50))
    for k in range(1, length):
        x[:, k] = correlation * x[:, k - 1] + np.sqrt(1 - correlation**2) * random.normal(size=(chains, 50))
    found = effective(x.reshape(chains * length, 50), chains) / (chains * length)
    assert found == pytest.approx((1 - correlation) / (1 + correlation), rel=0.15)


def test_a_sampler_is_described_by_plain_values():
    assert described(Guidance(steps=7)) == {
        "name": Guidance().name, "steps": 7, "largest": Guidance().largest, "smallest": Guidance().smallest,
        "weight": Guidance().weight, "noise": round(Guidance().noise, 8),
    }  # fmt: skip
