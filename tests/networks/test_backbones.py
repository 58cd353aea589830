import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.attention import AttentionBackbone
from bayesr.networks.backbones.rrdb import RRDBBackbone
from bayesr.networks.backbones.srresnet import SRResNetBackbone
from bayesr.networks.backbones.swin import SwinBackbone
from bayesr.networks.backbones.unet import UNetBackbone
from bayesr.networks.layers import sub_pixels
from bayesr.networks.outputs import StagedOutput
from bayesr.sampling.engine import Graph

BACKBONES = {
    "srresnet": lambda: SRResNetBackbone(2, 4, 2),
    "srresnet, not normalised": lambda: SRResNetBackbone(2, 4, 2, normalise=False),
    "rrdb": lambda: RRDBBackbone(2, 4, 1, growth=2),
    "swin": lambda: SwinBackbone(2, 8, 2, depth=3, heads=2, window=4),
    "swin, odd window": lambda: SwinBackbone(2, 8, 1, depth=2, heads=2, window=3),
    "attention": lambda: AttentionBackbone(2, 16, 2),
    "unet": lambda: UNetBackbone(2, 4, 2),
}
LOCAL = [name for name in BACKBONES if name != "attention"]


def make(name: str, dtype=torch.float64) -> nn.Module:
    """Make a backbone whose weights and statistics are as large as trained ones."""
    torch.manual_seed(0)
    net = BACKBONES[name]()
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point() and not key.endswith(("_u", "_v")):
            nn.init.normal_(value, std=0.3)
    if name == "attention":
        follow(net)
    return net.eval().to(dtype)


def follow(net: nn.Module, steps: int = 60) -> None:
    """Run the power iteration of spectral norms until it converges."""
    net.train()
    for _ in range(steps):
        net(torch.rand(1, 2, 2, 2))
    net.eval()


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 16), (1, 20)])
def test_outputs_have_the_size_of_inputs(name, size):
    f = make(name)(torch.rand(2, 2, *size, dtype=torch.float64))
    assert f.shape == (2, make(name).width, *size)
    assert f.isfinite().all()


@pytest.mark.parametrize("name", LOCAL)
def test_the_declared_reach_is_exact(name):
    """At some position inside a window a pixel depends on pixels at distance `reach`, and at none on pixels beyond."""
    net = make(name)
    middle = (net.reach // net.multiple + 1) * net.multiple
    seen = []
    for place in range(net.multiple):
        pixel = middle + place
        y = torch.rand(1, 2, pixel + net.reach + 4, 3 * net.multiple, dtype=torch.float64, requires_grad=True)
        for image in (y, y.mT):
            (slope,) = torch.autograd.grad(
                net(image)[0].sum(0)[(pixel, 1) if image is y else (1, pixel)], y, retain_graph=True
            )
            touched = np.nonzero(slope[0].abs().sum((0, 2)).numpy())[0]
            seen += [pixel - touched.min(), touched.max() - pixel]
    assert max(seen) == net.reach


@pytest.mark.parametrize("name", LOCAL)
def test_windows_agree_with_the_whole_image(name):
    net = make(name, torch.float32)
    start, reach = 2 * net.multiple, net.reach
    height, width = start + 2 * reach + 7, start + 2 * reach + 10
    y = torch.rand(1, 2, height + 3, width)
    whole, part = net(y), net(y[..., start:height, start:])  # the lower end is no multiple, the right one the image's
    core = (..., slice(reach, -reach), slice(reach, None))
    expected = whole[..., start:height, start:][core]
    torch.testing.assert_close(part[core], expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert (part - whole[..., start:height, start:]).abs().max() > 1e-3 * expected.abs().max(), "borders matter"


@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_reach_every_parameter(name):
    net = make(name)
    net(torch.rand(2, 2, 9, 10, dtype=torch.float64)).square().sum().backward()
    unreached = [key for key, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-12]
    assert not unreached


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_survive_copies_and_half_precision(name):
    net, y = make(name, torch.float32), torch.rand(1, 2, 9, 10)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    out = net(y)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items()), "evaluation changes nothing"
    assert torch.equal(copy.deepcopy(net)(y), out)
    again = BACKBONES[name]().eval()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(y), out)
    halves = {key: value.half().float() for key, value in net.state_dict().items()}
    again.load_state_dict(halves)
    assert (again(y) - out).abs().max() < 0.02 * out.abs().max()


@pytest.mark.parametrize("name", ["swin, odd window", "unet"])
def test_engines_take_other_sizes_than_they_were_converted_for(name):
    net = make(name, torch.float32)
    with torch.inference_mode():
        graph = Graph(net)
        for size in ((12, 12), (5, 7)):
            y = torch.rand(1, 2, *size)
            torch.testing.assert_close(graph([y])[0], net(y), rtol=1e-4, atol=1e-4)


# -- SRResNet --------------------------------------------------------------------------------


def reference(w: dict[str, torch.Tensor], y: torch.Tensor, blocks: int, factors: int, training: bool) -> torch.Tensor:
    """Evaluate SRGAN's generator as in the paper's figure, from named weights."""

    def conv(name, x):
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def norm(name, x):
        shape = (1, -1, 1, 1)
        mean, variance = w[f"{name}.running_mean"].view(shape), w[f"{name}.running_var"].view(shape)
        if training:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * w[f"{name}.weight"].view(shape) + w[f"{name}.bias"].view(shape)

    def prelu(name, x):
        return x.clamp(min=0) + w[f"{name}.weight"] * x.clamp(max=0)

    first = f = prelu("backbone.activation", conv("backbone.head", y))
    for i in range(blocks):
        block = f"backbone.blocks.{i}"
        change = norm(f"{block}.first_norm", conv(f"{block}.first", f))
        change = prelu(f"{block}.activation", change)
        f = f + norm(f"{block}.second_norm", conv(f"{block}.second", change))
    f = first + norm("backbone.norm", conv("backbone.body", f))
    for i in range(factors):
        f = conv(f"up.stages.{i}", f)
        n, channels, h, width = f.shape
        f = f.view(n, channels // 4, 2, 2, h, width).permute(0, 1, 4, 2, 5, 3).reshape(n, -1, 2 * h, 2 * width)
        f = prelu(f"up.activations.{i}", f)
    return conv("up.last", f)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_srresnet_is_the_published_network(training, scale):
    torch.manual_seed(0)
    net = nn.ModuleDict({"backbone": SRResNetBackbone(3, 8, 3), "up": StagedOutput(8, 3, scale)}).double()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.1, 0.9) if value.dim() < 2 else value.normal_(0, 0.2)
    net.train(training)
    y = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    expected = reference(weights, y, 3, {1: 0, 2: 1, 4: 2}[scale], training)
    found = sub_pixels(net["up"](net["backbone"](y)), scale)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_srresnet_has_the_published_number_of_parameters():
    conv, norm, slope = 64 * 64 * 9 + 64, 2 * 64, 1
    head, last, stage = 3 * 64 * 81 + 64 + slope, 64 * 3 * 81 + 3, 4 * conv + slope
    assert count(SRResNetBackbone(3), StagedOutput(64, 3, 4)) == (
        head + 16 * (2 * conv + 2 * norm + slope) + conv + norm + 2 * stage + last
    )
    assert count(SRResNetBackbone(3, normalise=False)) == count(SRResNetBackbone(3)) - 33 * norm


# -- the others' sizes -----------------------------------------------------------------------


def test_rrdb_has_the_number_of_parameters_of_the_released_network():
    """16,697,987 for x4, of which four convolutions lie behind the backbone."""
    behind = 3 * (64 * 64 * 9 + 64) + 64 * 3 * 9 + 3
    assert count(RRDBBackbone(3)) == 16_697_987 - behind


def test_swin_has_the_number_of_parameters_of_the_released_network():
    """910.2 K for x2 (github.com/JingyunLiang/SwinIR, issue 45), with one convolution to 3 x 2^2 channels."""
    assert count(SwinBackbone(3)) + 60 * 12 * 9 + 12 == 910_152


@pytest.mark.parametrize("backbone", [lambda: SwinBackbone(1, 8, heads=3), lambda: AttentionBackbone(1, 16, heads=3)])
def test_heads_divide_the_width(backbone):
    with pytest.raises(InvalidModel, match="heads"):
        backbone()
