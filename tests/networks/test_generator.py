import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument
from bayesr.networks.registry import build


def test_the_declared_reach_of_a_generator_is_exact():
    torch.manual_seed(0)
    net = build(bands=1, scale=4, width=4, blocks=2, head_width=4, head_blocks=2, latent=1)
    for p in net.parameters():
        torch.nn.init.constant_(p, 0.1)
    size = 2 * net.reach + 9
    y = torch.full((1, 1, size, size), 0.5, requires_grad=True)
    masks = [torch.ones(1, 4, 1, 1)] * 2
    out = net.draw(net.prepare(y), torch.zeros(1, 2, size, size), masks)
    out[0, 0, 4 * (size // 2) : 4 * (size // 2) + 4, 4 * (size // 2) : 4 * (size // 2) + 4].sum().backward()
    seen = np.nonzero(y.grad[0, 0].abs().sum(0).numpy())[0]
    assert size // 2 - seen.min() == net.reach == seen.max() - size // 2


def test_members_need_less_of_the_image_than_their_features():
    """In the middle, members of cropped features are those of the whole image."""
    torch.manual_seed(0)
    net = build(bands=1, scale=2, width=8, blocks=3, head_width=8, head_blocks=1, latent=2, mix=8, smooth=True).eval()
    for parameter in net.parameters():
        if parameter.dim() == 4:
            torch.nn.init.normal_(parameter, std=0.2)
    size, halo = 2 * net.reach + 5, net.reach - net.backbone_reach
    y, z, masks = torch.rand(1, 1, size, size), torch.randn(1, 2, size, size), [torch.ones(1, 8, 1, 1)]
    part = slice(net.reach - halo, size - net.reach + halo)
    with torch.no_grad():
        shared = net.prepare(y)
        whole = net.draw(shared, z, masks)
        cropped = net.draw(shared.window(part, part), z[..., part, part], masks)
    core = slice(2 * halo, 2 * (halo + 5))
    middle = slice(2 * net.reach, 2 * (net.reach + 5))
    torch.testing.assert_close(cropped[..., core, core], whole[..., middle, middle], rtol=0, atol=1e-6)
    assert net.backbone_reach == 7 and build(bands=1, scale=2, backbone="unet", width=8).backbone_reach == 0


@pytest.mark.parametrize("options", [{}, dict(gaussian_dropout=True, direct=True, mix=8, smooth=True)], ids=str)
def test_one_call_computes_what_both_halves_do(options):
    torch.manual_seed(0)
    net = build(bands=1, scale=2, width=8, blocks=1, head_width=8, head_blocks=2, latent=2, **options).eval()
    y, z = torch.rand(2, 1, 6, 7), torch.randn(2, 4, 6, 7)
    random = [net.head.training_masks(1, torch.Generator().manual_seed(k)) for k in (0, 1)]
    with torch.no_grad():
        shared = net.prepare(y)
        for masks in random:
            torch.testing.assert_close(net(y, z, masks), net.draw(shared, z, masks))
        assert (net(y, z, random[0]) - net(y, z, random[1])).abs().max() > 1e-6, "masks matter"
        torch.testing.assert_close(net(y), net.draw(shared, None, []))
        one = net(y[:1], z)  # members of one image
        torch.testing.assert_close(one[0], net(y[:1], z[:1])[0])
    with pytest.raises(InvalidArgument, match=r"\(2, 4, 7, 6\), and this network needs n x 4 x 6 x 7"):
        net(y, z.mT)


def test_without_masks_nothing_is_dropped():
    """The neutral masks are the limit of masks at rate zero, of both kinds."""
    for options in ({}, dict(gaussian_dropout=True)):
        net = build(bands=1, scale=2, width=8, blocks=1, head_width=8, head_blocks=2, latent=2, **options).eval()
        net.head.dropout_logit.data.fill_(-80)
        masks = net.head.training_masks(1, torch.Generator().manual_seed(0))
        for neutral, mask in zip(net.neutral_masks(), masks, strict=True):
            torch.testing.assert_close(neutral, mask)
