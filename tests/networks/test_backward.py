import pytest
import torch
import torch.nn.functional as F

from bayesr.networks.backward import Backward


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("bands", [1, 3])
def test_it_starts_near_the_mean_of_blocks(scale, bands):
    torch.manual_seed(0)
    network, x = Backward(bands, scale, width=8, blocks=1), torch.rand(2, bands, 5 * scale, 6 * scale)
    low, mean = network(x), F.avg_pool2d(x, scale)
    assert low.shape == mean.shape == (2, bands, 5, 6)
    assert 0 < (low - mean).abs().max() < 0.1


def test_every_weight_is_trained():
    torch.manual_seed(0)
    network = Backward(1, 2, width=4, blocks=2)
    network(torch.rand(1, 1, 8, 8)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())
