import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.networks.discriminators import PairedDiscriminator, PatchDiscriminator
from bayesr.training.adversarial import (
    HINGE,
    LOGISTIC,
    PAIRED,
    PLAIN,
    RELATIVISTIC,
    WASSERSTEIN,
    discriminator_step_loss,
    generator_step_loss,
)
from bayesr.training.penalties import paired_penalty


@given(seed=st.integers(0, 1000), real=st.integers(1, 5), fake=st.integers(1, 5))
def test_relativistic_loss_is_symmetric(seed, real, fake):
    """What the discriminator minimises, the generator minimises with real and fake swapped; only differences count."""
    random = torch.Generator().manual_seed(seed)
    r, f = (torch.randn(n, 1, 2, 3, generator=random, dtype=torch.float64) for n in (real, fake))
    torch.testing.assert_close(RELATIVISTIC.discriminator(r, f), RELATIVISTIC.generator(f, r))
    torch.testing.assert_close(RELATIVISTIC.discriminator(r + 7, f + 7), RELATIVISTIC.discriminator(r, f))
    # softplus(x) = x + softplus(-x), so the losses differ by twice the gap of the means.
    torch.testing.assert_close(
        RELATIVISTIC.generator(r, f) - RELATIVISTIC.discriminator(r, f), 2 * (r.mean() - f.mean())
    )


def test_real_logits_matter_to_the_relativistic_generator_alone():
    r, f = torch.tensor([0.3, 1.0]), torch.tensor([-0.5, 0.2])
    assert RELATIVISTIC.generator(r, f) != RELATIVISTIC.generator(r + 1, f)
    for adversarial_loss in (PLAIN, HINGE, WASSERSTEIN):
        assert adversarial_loss.generator(r, f) == adversarial_loss.generator(r + 1, f)
        assert adversarial_loss.generator(r, f) > adversarial_loss.generator(r, f + 1), (
            "the generator's loss falls with the logits of fake images"
        )
    for adversarial_loss in (LOGISTIC, PLAIN, RELATIVISTIC, HINGE, WASSERSTEIN):
        real, fake = torch.randn(2, 8, 1)
        assert adversarial_loss.relative != torch.equal(
            adversarial_loss.generator(real, fake), adversarial_loss.generator(real + 1, fake)
        )


def test_optimal_logistic_logit_is_the_logarithm_of_the_density_ratio():
    """Densities of three outcomes, as frequencies; the loss is minimised over a logit for each."""
    real, fake = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]), torch.tensor([0, 1, 1, 1, 2, 2, 2, 2])
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, tolerance_change=0)

    def loss():
        optimiser.zero_grad()
        value = PLAIN.discriminator(logits[real], logits[fake])
        value.backward()
        return value

    optimiser.step(loss)
    torch.testing.assert_close(logits.detach(), torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64).log())


def test_hinge_saturates_beyond_the_margin():
    r, f = torch.tensor([1.5, 0.5]).requires_grad_(), torch.tensor([-3.0, 0.0]).requires_grad_()
    HINGE.discriminator(r, f).backward()
    assert r.grad.tolist() == [0.0, -0.5]
    assert f.grad.tolist() == [0.0, 0.5]


def test_r1_penalty_is_added_at_every_eighth_step():
    """Compare the penalty with the squared gradient of the mean logit of each image, by autograd."""
    torch.manual_seed(0)
    discriminator, real, fake, context = PatchDiscriminator(1, width=4), *torch.randn(3, 3, 1, 8, 8)
    leaf = real.clone().requires_grad_()
    discriminator(leaf, context)[0].mean((1, 2, 3)).sum().backward()
    penalty = 4 * leaf.grad.pow(2).sum((1, 2, 3)).mean()
    plain = discriminator_step_loss(PLAIN, discriminator, real, fake, context, 0)
    for step in range(17):
        due = penalty if step in (0, 8, 16) else 0 * penalty
        torch.testing.assert_close(
            discriminator_step_loss(LOGISTIC, discriminator, real, fake, context, step) - plain, due
        )


def test_discriminator_step_loss_has_gradients_for_the_discriminator_only():
    torch.manual_seed(0)
    discriminator, real, fake, context = PatchDiscriminator(1, width=4), *torch.randn(3, 2, 1, 8, 8)
    images = [image.requires_grad_() for image in (real, fake, context)]
    for adversarial_loss in (LOGISTIC, PLAIN, RELATIVISTIC, HINGE, WASSERSTEIN):
        discriminator.zero_grad()
        discriminator_step_loss(adversarial_loss, discriminator, *images, step=0).backward()
        # Neither the gradient penalties nor the Wasserstein loss depend on the last bias.
        assert all(p.grad.abs().sum() > 0 for name, p in discriminator.named_parameters() if name != "verdict.bias")
        assert all(image.grad is None for image in images)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAIN.every = 2


@pytest.mark.parametrize("adversarial_loss", [LOGISTIC, PLAIN, RELATIVISTIC, HINGE, WASSERSTEIN])
def test_discriminators_learn_to_separate_real_and_fake(adversarial_loss):
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(1, width=8)
    optimiser = torch.optim.Adam(discriminator.parameters(), 1e-3)
    draw = lambda: (torch.randn(8, 1, 8, 8), 0.5 * torch.randn(8, 1, 8, 8), torch.zeros(8, 1, 8, 8))  # noqa: E731
    for step in range(60):
        optimiser.zero_grad()
        discriminator_step_loss(adversarial_loss, discriminator, *draw(), step).backward()
        optimiser.step()
    real, fake, context = draw()
    with torch.no_grad():
        assert discriminator(real, context)[0].mean() > discriminator(fake, context)[0].mean()


def scene():
    torch.manual_seed(0)
    network = PairedDiscriminator(1, width=4)
    for verdict in network.verdicts:
        torch.nn.init.normal_(verdict.weight, std=0.3)
    return network, *(torch.rand(2, 1, 16, 16) for _ in range(3))


def test_the_paired_loss_compares_place_by_place():
    r, f = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(PAIRED.discriminator(r, f), torch.log1p(torch.exp(f - r)).mean())
    torch.testing.assert_close(PAIRED.generator(r, f), PAIRED.discriminator(f, r))
    torch.testing.assert_close(PAIRED.discriminator(r + 3, f + 3), PAIRED.discriminator(r, f))


def test_losses_of_several_resolutions_are_added():
    network, real, fake, context = scene()
    on_real, on_fake = network(real, context)[0], network(fake, context)[0]
    assert [part.shape[-1] for part in on_real] == [4, 2]
    expected = sum(torch.log1p(torch.exp(f - r)).mean() for r, f in zip(on_real, on_fake, strict=True))
    before = float(network.penalty_weight)
    torch.testing.assert_close(discriminator_step_loss(PAIRED, network, real, fake, context, 1), expected)
    assert float(network.penalty_weight) != before
    expected = sum(torch.log1p(torch.exp(r - f)).mean() for r, f in zip(on_real, on_fake, strict=True))
    torch.testing.assert_close(generator_step_loss(PAIRED, network, real, fake, context), expected)


def test_the_paired_penalty_is_that_of_its_definition():
    network, real, fake, context = scene()
    network.penalty_weight.fill_(2.0)
    expected = 0.0
    for images in (real, fake):
        for place in range(2):
            x = images.clone().requires_grad_()
            expected += torch.autograd.grad(network(x, context)[0][place].sum(), x)[0].pow(2).mean()
    torch.testing.assert_close(paired_penalty(network, real, fake, context), 2 * expected)
    due = discriminator_step_loss(PAIRED, network, real, fake, context, 4)
    network.penalty_weight.fill_(2.0)
    plain = discriminator_step_loss(PAIRED, network, real, fake, context, 5)
    torch.testing.assert_close(due - plain, 0.04 * 2 * expected)


@pytest.mark.parametrize(("right", "grows"), [(1.0, True), (0.0, False)])
def test_the_weight_of_the_penalty_is_steered_and_bounded(right, grows):
    network = scene()[0]
    r, f = [torch.full((2, 1, 4, 4), 2 * right - 1)], [torch.zeros(2, 1, 4, 4)]
    before = float(network.penalty_weight)
    PAIRED.steer(network, r, f)
    assert (float(network.penalty_weight) > before) == grows
    for _ in range(2000):
        PAIRED.steer(network, r, f)
    assert float(network.penalty_weight) == pytest.approx(5.0 if grows else 1e-4)


def test_a_truth_is_compared_with_each_of_its_members():
    """Two members of each truth, one set after another, give the mean of the losses of both."""
    network, real, fake, context = scene()
    other = torch.rand_like(fake)
    both = torch.cat([fake, other]), torch.cat([context, context])
    for loss in (generator_step_loss, lambda *args: discriminator_step_loss(*args, 1)):
        single = [loss(PAIRED, network, real, x, context) for x in (fake, other)]
        torch.testing.assert_close(loss(PAIRED, network, real, *both), torch.stack(single).mean())
