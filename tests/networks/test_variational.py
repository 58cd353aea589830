import pytest
import torch

variational = pytest.importorskip("bayesr.networks.variational", reason="pyro is not installed")


def test_the_sample_is_that_of_the_given_noise():
    random = torch.Generator().manual_seed(0)
    mean, std, e = (torch.rand(3, 4, generator=random).requires_grad_() for _ in range(3))
    before = torch.get_rng_state()
    distribution = variational.GivenNoiseNormal(mean, std, e)
    torch.testing.assert_close(distribution.rsample(), mean + std * e, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)
    plain = torch.distributions.Normal(mean, std)
    torch.testing.assert_close(distribution.log_prob(e), plain.log_prob(e))
    distribution.rsample().sum().backward()
    torch.testing.assert_close(std.grad, e.detach())
