import numpy as np
import torch

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
