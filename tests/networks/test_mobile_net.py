import pytest
import torch

from bayesr.networks.segmenters.mobile_net import blocks
from bayesr.networks.vision import torchvision


@pytest.mark.parametrize("width", [0.1, 0.35, 0.5, 1.0, 1.4])
def test_blocks_are_those_of_torchvision(width):
    torchvision()
    from torchvision.models import mobilenet_v2

    reference = mobilenet_v2(weights=None, width_mult=width).features[:18].eval()
    own = torch.nn.Sequential(*blocks(3, width, 18)).eval()
    weights = reference.state_dict()
    assert {k: v.shape for k, v in own.state_dict().items()} == {k: v.shape for k, v in weights.items()}
    own.load_state_dict(weights)
    x = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(own(x), reference(x))


def test_initial_weights_keep_the_variance_and_counts_are_as_asked():
    torch.manual_seed(0)
    made = blocks(2, 1.0, 7)
    assert len(made) == 7 and made[0][0].weight.shape == (32, 2, 3, 3)
    layer = made[4].conv[0][0]
    assert layer.weight.std().item() == pytest.approx((2 / layer.out_channels) ** 0.5, rel=0.05)
    assert not any(parameter.isnan().any() for block in made for parameter in block.parameters())
