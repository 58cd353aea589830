import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bayesr.networks.backbones.srresnet import SRResNetBackbone
from bayesr.networks.layers import sub_pixels
from bayesr.networks.outputs import StagedOutput


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


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
