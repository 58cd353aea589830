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
