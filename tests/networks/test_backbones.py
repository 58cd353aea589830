import copy

import numpy as np
import pytest
import torch
from torch import nn

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.attention import AttentionBackbone
from bayesr.networks.backbones.rrdb import RRDBBackbone
from bayesr.networks.backbones.srresnet import SRResNetBackbone
from bayesr.networks.backbones.swin import SwinBackbone
from bayesr.networks.backbones.unet import UNetBackbone
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


# -- the others' sizes -----------------------------------------------------------------------


@pytest.mark.parametrize("backbone", [lambda: SwinBackbone(1, 8, heads=3), lambda: AttentionBackbone(1, 16, heads=3)])
def test_heads_divide_the_width(backbone):
    with pytest.raises(InvalidModel, match="heads"):
        backbone()
