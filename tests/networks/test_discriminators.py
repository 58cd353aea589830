from itertools import pairwise

import pytest
import torch
from torch import nn

from bayesr.networks.discriminators import AttentionDiscriminator, ImageDiscriminator, PatchDiscriminator
from bayesr.training.adversarial import WASSERSTEIN, discriminator_step_loss

DISCRIMINATORS = {
    "patches": lambda bands: PatchDiscriminator(bands, width=8),
    "image": lambda bands: ImageDiscriminator(bands, 4, width=4),
    "conditional": lambda bands: ImageDiscriminator(bands, 4, width=4, conditional=True, normalised=False),
    "attention": lambda bands: AttentionDiscriminator(bands, 4, width=8),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("size", [32, 128])
def test_discriminators_take_patches_of_any_size(name, bands, size):
    torch.manual_seed(0)
    discriminator = DISCRIMINATORS[name](bands)
    x, context = torch.rand(2, 2, bands, size, size)
    logits, features = discriminator(x.requires_grad_(), context)
    assert logits.shape[:2] == (2, 1) and logits.dim() == 4
    assert all(part.isfinite().all() and part.shape[0] == 2 for part in (logits, *features))
    assert len(features) >= 3
    logits.sum().backward()
    assert x.grad.isfinite().all() and (x.grad != 0).any()
    assert all(p.grad is not None for name, p in discriminator.named_parameters())


def test_the_image_discriminator_is_the_published_network():
    """Weights of the eight convolutions, seven normalisations and two dense layers, counted from the paper's figure."""
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * a * b + b for a, b in pairwise(widths))
    norms = 2 * sum(widths[2:])
    dense = 512 * 6 * 6 * 1024 + 1024 + 1024 + 1
    with torch.device("meta"):
        discriminator = ImageDiscriminator(3, 4, width=64)
    assert sum(p.numel() for p in discriminator.parameters()) == convolutions + norms + dense
    _, features = ImageDiscriminator(3, 4, width=4)(*torch.rand(2, 2, 3, 96, 96))
    assert [tuple(f.shape[1:]) for f in features] == [(4, 48, 48), (8, 24, 24), (16, 12, 12), (32, 6, 6)]


def test_only_conditional_discriminators_depend_on_the_context():
    torch.manual_seed(0)
    x, one, two = torch.rand(3, 2, 1, 32, 32)
    for conditional in (False, True):
        discriminator = ImageDiscriminator(1, 4, width=4, conditional=conditional)
        assert torch.equal(discriminator(x, one)[0], discriminator(x, two)[0]) != conditional


def test_without_normalisation_images_are_independent():
    torch.manual_seed(0)
    x, context = torch.rand(2, 3, 1, 32, 32)
    for normalised in (False, True):
        discriminator = ImageDiscriminator(1, 4, width=4, normalised=normalised)
        alone, among = discriminator(x[:1], context[:1])[0], discriminator(x, context)[0][:1]
        assert torch.allclose(alone, among, atol=1e-5) != normalised
    plain = ImageDiscriminator(1, 4, width=4, normalised=False)
    discriminator_step_loss(WASSERSTEIN, plain, x, context, context, 0).backward()
    assert all(p.grad.isfinite().all() for p in plain.parameters())


def test_spectral_norms_are_bounded_whatever_the_weights():
    torch.manual_seed(0)
    discriminator = AttentionDiscriminator(1, 4, width=8)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(50)
    x, context = torch.rand(2, 2, 1, 16, 16)
    for _ in range(30):
        discriminator(x, context)
    discriminator.eval()
    normed = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(normed) == 8
    for layer in normed:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(largest) == pytest.approx(1, abs=0.02)


def test_attention_makes_logits_depend_on_the_whole_image():
    torch.manual_seed(0)
    discriminator = AttentionDiscriminator(1, 4, width=16)
    x = torch.rand(1, 1, 128, 128)
    far = []
    for gamma in (0.0, 1.0):
        with torch.no_grad():
            discriminator.attention.gamma.fill_(gamma)
        leaf = x.clone().requires_grad_()
        discriminator(leaf, x)[0][..., 0, 0].sum().backward()
        far.append(float(leaf.grad[..., 64:, 64:].abs().max()))
    assert far[0] == 0 < far[1]
