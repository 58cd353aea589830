import pytest
import torch

from bayesr.training.penalties import gradient_penalty, r1_penalty


def linear(weight):
    """A discriminator whose gradient is `weight` everywhere."""
    return lambda x, context: ((x * weight).sum((1, 2, 3), keepdim=True), [])


def test_penalties_of_linear_discriminators():
    real, fake = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    weight = torch.randn(2, 4, 4)
    unit = weight / weight.norm()
    for norm in (0.0, 0.4, 1.0, 3.0):
        found = gradient_penalty(linear(norm * unit), real, fake, real)
        assert float(found) == pytest.approx((norm - 1) ** 2, abs=1e-5)
        assert float(r1_penalty(linear(norm * unit), real, fake, real)) == pytest.approx(norm**2, abs=1e-5)


def test_gradient_penalty_is_taken_between_real_and_fake():
    """The gradient is 2 x, so its norm over four pixels is 4 e, at weights e of 1/4 and 3/4 between 0 and 1."""
    discriminator = lambda x, context: (x.pow(2).sum((1, 2, 3), keepdim=True), [])  # noqa: E731
    real, fake = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    expected = ((4 * 0.25 - 1) ** 2 + (4 * 0.75 - 1) ** 2) / 2
    assert gradient_penalty(discriminator, real, fake, real).item() == pytest.approx(expected)
    assert r1_penalty(discriminator, real, fake, real).item() == pytest.approx(16)


def test_gradient_penalty_has_finite_gradients_for_flat_discriminators():
    x = torch.randn(2, 1, 4, 4)
    for start in (0.0, 0.5):
        weight = torch.full((1, 4, 4), start, requires_grad=True)
        gradient_penalty(linear(weight), x, x + 1, x).backward()
        assert weight.grad.isfinite().all()
        assert bool((weight.grad != 0).all()) == (start > 0)
