import math

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bayesr.networks.backbones.attention import AttentionBackbone, SelfAttention
from bayesr.networks.backbones.swin import WindowAttention, border_mask


@pytest.fixture
def net() -> AttentionBackbone:
    torch.manual_seed(0)
    return AttentionBackbone(2, 16, 2).double().eval()


def test_attention_reaches_across_the_image_once_its_gate_is_open(net):
    y = torch.rand(1, 2, 24, 24, dtype=torch.float64)
    changed = y.clone()
    changed[..., -1, -1] += 0.5

    def effect():
        return (net(changed) - net(y))[0, :, 0, 0].abs().max().item()

    with torch.no_grad():
        assert effect() == 0, "a new gate is closed"
        net.attention.gamma.fill_(1)
        assert effect() > 1e-6


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_a_mean_of_all_pixels_weighted_by_their_keys(heads):
    torch.manual_seed(0)
    net, f = SelfAttention(32, heads), torch.randn(2, 32, 3, 4)
    assert torch.equal(net(f), f)
    nn.init.constant_(net.gamma, 0.7)
    pixels = f.flatten(2).mT
    parts = []
    for head in range(heads):
        rows = slice(head * 4 // heads, (head + 1) * 4 // heads)
        query, key, value = (pixels @ layer.weight[rows].mT for layer in (net.query, net.key, net.value))
        likeness = torch.einsum("nic,njc->nij", query, key)
        parts.append(likeness.softmax(-1) @ value)
    expected = f + 0.7 * (torch.cat(parts, -1) @ net.out.weight.mT).mT.reshape(f.shape)
    torch.testing.assert_close(net(f), expected, rtol=1e-4, atol=1e-5)


def test_attention_uses_the_kernel_with_linear_memory():
    f = torch.rand(1, 64, 40, 40, requires_grad=True)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error where it cannot be taken
        SelfAttention(64)(f).sum().backward()


def test_spectral_norms_are_at_most_one(net):
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for parameter in net.parameters():
        nn.init.normal_(parameter)

    def norms():
        return [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in layers]

    assert max(norms()) > 1.1, "weights are new, and no iteration has followed them yet"
    net.train()
    for _ in range(200):
        net(torch.rand(1, 2, 2, 2, dtype=torch.float64))
    net.eval()
    assert norms() == pytest.approx([1] * (1 + 2 * 2 + 4), abs=0.01)


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_attend_to_themselves_and_are_cut_at_borders(shift):
    """Compare with attention over all pairs of pixels, without pairs from different windows."""
    torch.manual_seed(0)
    height, width, window, heads, channels = 12, 8, 4, 2, 6
    net = WindowAttention(channels, heads, window, shift).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    f = torch.randn(2, height, width, channels, dtype=torch.float64)
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    home = (place - shift).div(window, rounding_mode="floor")
    apart = (home[:, None] != home[None]).any(-1)
    offset = (place[:, None] - place[None] + window - 1).clamp(0, 2 * window - 2)
    bias = net.bias[offset[..., 0] * (2 * window - 1) + offset[..., 1]]
    q, k, v = net.qkv(f).view(2, height * width, 3, heads, channels // heads).unbind(2)
    weights = torch.einsum("nihc,njhc->nijh", q, k) / math.sqrt(channels // heads) + bias
    weights = weights.masked_fill(apart[..., None], -math.inf).softmax(2)
    expected = net.out(torch.einsum("nijh,njhc->nihc", weights, v).flatten(2)).view(f.shape)
    torch.testing.assert_close(net(f, border_mask(height, width, window, f)), expected)
