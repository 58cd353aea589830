from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from bayesr.networks.features import efficientnet
from bayesr.networks.features.efficientnet import EfficientNetLite0
from bayesr.networks.registry import FEATURES


@pytest.fixture(scope="module")
def network():
    return FEATURES["efficientnet-lite0"]()


def test_features_have_the_published_shapes(network):
    shapes = [tuple(f.shape[1:]) for f in network.features(torch.rand(1, 3, 64, 96))]
    assert shapes == [(16, 32, 48), (24, 16, 24), (40, 8, 12)]
    assert sum(p.numel() for p in network.parameters()) == 54048


def test_the_weights_are_those_that_safetensors_reads(network):
    stored = load_file(Path(efficientnet.__file__).with_name("efficientnet-lite0.safetensors"))
    found = network.state_dict()
    assert found.keys() == stored.keys() and all(torch.equal(value, stored[name]) for name, value in found.items())


def test_the_stem_pads_as_tensorflow(network):
    """At a stride of 2 the window of the first output begins at the first pixel, and the last one is padded."""
    x = torch.rand(1, 3, 16, 16)
    weight, bias = network.stem[1].weight, network.stem[1].bias
    by_hand = F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias, stride=2)
    torch.testing.assert_close(network.stem(x), by_hand)


def test_grey_images_are_seen_as_three_equal_bands(network):
    grey = torch.rand(2, 1, 32, 32)
    for one, three in zip(network.features(grey), network.features(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(one, three)
    with pytest.raises(ValueError, match="not 2"):
        network.features(torch.rand(1, 2, 32, 32))


def test_gradients_reach_images_and_no_weight(network):
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(f.square().mean() for f in network.features(x)).backward()
    assert x.grad.abs().sum() > 0 and all(p.grad is None for p in network.parameters())


def test_trained_features_tell_texture_from_its_blur_better_than_random_ones(network):
    """Distances of a texture to another one of its kind, over distances to its blur: trained features see the kind."""
    random = np.random.default_rng(0)

    def texture():
        rough = torch.from_numpy(random.random((1, 1, 64, 64), np.float32))
        return F.avg_pool2d(rough, 3, 1, 1)

    a, b = texture(), texture()
    blurred = F.avg_pool2d(a, 9, 1, 4)
    torch.manual_seed(0)
    ratios = []
    for net in (network, EfficientNetLite0().requires_grad_(False)):
        fa, fb, fc = (net.features(x)[1].mean((2, 3)) for x in (a, b, blurred))
        ratios.append(float((fa - fb).norm() / (fa - fc).norm()))
    assert ratios[0] < 0.5
