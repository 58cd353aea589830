"""Every entry of the registry builds at a small size, declares its properties, and keeps them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.heads.base import BackboneFeatures, Head, HeadOptions
from bayesr.networks.registry import BACKBONES, DISCRIMINATORS, HEADS, NETWORKS, OUTPUTS, build
from bayesr.observe import bicubic

SIZES = dict(bands=1, scale=4, width=8, blocks=1)
SMALL = {"swin": dict(heads=2, depth=2, window=4), "rrdb": dict(growth=2)}
"""Options that make a backbone small."""
WHOLE = {
    "interpolation": dict(interpolation="bicubic", observation=bicubic(4).describe()),
    "networks": dict(networks=2, head="gaussian", width=4, blocks=1),
}


def randomise(network: nn.Module) -> nn.Module:
    """Give a network weights as large as trained ones."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


def farthest(output: Tensor, y: Tensor, pixel: int) -> int:
    """Distance of the farthest pixel of `y` that the output depends on, from `pixel` in rows or columns."""
    (slope,) = torch.autograd.grad(output, y)
    return max(int(np.abs(axis - pixel).max()) for axis in np.nonzero(slope[0].abs().sum(0).numpy()))


def reach_of(module: nn.Module, channels: int, limit: int, multiple: int = 1) -> int:
    """Measure how far outputs of a module depend on its inputs, at every position inside a window."""
    found = 0
    for place in range(multiple):
        pixel = (limit // multiple + 1) * multiple + place
        y = torch.rand(1, channels, pixel + limit + 3, pixel + limit + 3, dtype=torch.float64, requires_grad=True)
        found = max(found, farthest(module(y)[0, :, pixel, pixel].sum(), y, pixel))
    return found


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_keep_their_declared_width_and_reach(name):
    backbone = randomise(BACKBONES[name](1, 8, 1, **SMALL.get(name, {}))).double()
    f = backbone(torch.rand(2, 1, 5, 7, dtype=torch.float64))
    assert f.shape == (2, backbone.width, 5, 7) and f.isfinite().all()
    if backbone.reach is None:
        assert reach_of(backbone, 1, 20) > 20, "it depends on the whole image"
    else:
        assert reach_of(backbone, 1, backbone.reach, backbone.multiple) <= backbone.reach


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_heads_keep_their_declared_reach(name):
    output = randomise(OUTPUTS[name](4, 1, 2)).double()
    assert output(torch.rand(1, 4, 5, 6, dtype=torch.float64)).shape == (1, 4, 5, 6)
    assert reach_of(output, 4, output.reach) == output.reach


@pytest.mark.parametrize("blocks", [0, 2])
@pytest.mark.parametrize("name", HEADS)
def test_heads_keep_their_declared_reach_and_latents(name, blocks):
    head = randomise(HEADS[name](HeadOptions(4, 4, width=6, blocks=blocks, latent=2, dropout=0.1)))
    random = torch.Generator().manual_seed(0)
    masks = head.training_masks(1, random)

    def member(f: Tensor) -> Tensor:
        z = torch.ones(1, head.latent_channels, *f.shape[-2:])
        return head(head.prepare(f.float(), f[:, :4].float()), z, masks)

    assert member(torch.rand(1, 4, 5, 6)).shape == (1, 4, 5, 6)
    assert head.stochastic == bool(head.latent_channels)
    assert reach_of(member, 4, head.reach) <= head.reach
    assert len(head.rates()) == len(masks) and (head.mask_kind == "none") == (not masks)
    assert (head.dropout_divergences() is None) == (not head.dropout_parameters())
    layers = {layer for layer, _ in head.named_children()}
    assert head.sub_pixel_layers <= layers
    assert head.takes("any", head, same_architecture=True)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_return_logits_and_features(name):
    discriminator = DISCRIMINATORS[name](1, 4, width=4)
    logits, features = discriminator(*torch.rand(2, 2, 1, 16, 16))
    resolutions = logits if isinstance(logits, list) else [logits]
    assert all(part.shape[:2] == (2, 1) and part.dim() == 4 for part in resolutions)
    assert len(features) >= 2 and all(len(part) == 2 for part in features)


@pytest.mark.parametrize("entry", NETWORKS)
def test_whole_networks_build_again_from_their_architecture(entry):
    network = build(bands=1, scale=4, **WHOLE[entry])
    again = build(**network.architecture)
    again.load_state_dict(network.state_dict())
    y = torch.rand(1, 1, 5, 6)
    assert again.reach == network.reach and torch.equal(again.prepare(y).detail, network.prepare(y).detail)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_goes_with_every_head(backbone, head, output):
    options = SMALL.get(backbone, {})
    network = build(**SIZES, backbone=backbone, backbone_options=options, head=head, output=output, head_blocks=1)
    again = build(**network.architecture)
    assert again.architecture == network.architecture and again.reach == network.reach
    again.load_state_dict(network.state_dict())
    shared = network.prepare(torch.rand(1, 1, 8, 8))
    z, masks = torch.randn(2, network.latent_channels, 8, 8), network.head.training_masks(1, torch.Generator())
    x = network.draw(shared, z, masks)
    assert x.shape == (2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.draw(shared, z, masks, torch.empty(3, 1, 32, 32)), x, rtol=1e-4, atol=1e-6)


def test_unknown_parts_are_refused():
    for bad in (dict(backbone="none"), dict(output="none"), dict(head="none")):
        with pytest.raises(InvalidModel, match=r"Unknown.*bayesr\.networks\.registry"):
            build(**SIZES, **bad)


def test_parts_of_your_own_are_known_by_name(monkeypatch):
    class Bias(Head):
        """One latent that shifts all values of the detail."""

        latent_channels = 1

        def prepare(self, f, detail):
            return BackboneFeatures.of_detail(detail)

        def forward(self, shared, z, masks):
            return shared.detail + z

    monkeypatch.setitem(BACKBONES, "mine", ResidualBackbone)
    monkeypatch.setitem(HEADS, "bias", lambda options: Bias())
    network = build(**SIZES, backbone="mine", head="bias")
    again = build(**network.architecture)
    again.load_state_dict(network.state_dict())
    y = torch.rand(1, 1, 5, 6)
    assert torch.equal(again.prepare(y).detail, network.prepare(y).detail)
    z = torch.ones(1, 1, 5, 6)
    shift = network.draw(network.prepare(y), z, []) - network.draw(network.prepare(y), None, [])
    torch.testing.assert_close(shift, torch.ones(1, 1, 20, 24))
