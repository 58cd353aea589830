import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bayesr.networks.features.mini_vgg import MiniVGG


def textures(count, random, size=24):
    """Return images of stripes, blobs and grain with random directions, contrasts and phases, and their classes."""
    labels = torch.randint(3, (count,), generator=random)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    grain = torch.randn(count, 1, size, size, generator=random)
    angle, phase, contrast = torch.rand(3, count, 1, 1, 1, generator=random)
    stripes = 2**0.5 * torch.sin(0.9 * (x * (3.14 * angle).cos() + y * (3.14 * angle).sin()) + 6.28 * phase)
    blobs = 3.5 * F.avg_pool2d(F.pad(grain, (2, 2, 2, 2), mode="circular"), 5, 1)
    kinds = torch.stack([stripes + 0.3 * grain, blobs, grain], 1)
    return 0.5 + (0.05 + 0.1 * contrast) * kinds[torch.arange(count), labels], labels


def test_it_learns_classes_that_generalise_to_new_images():
    """Three kinds of texture, 80 steps with a falling rate: nearly all new ones are right, where chance is a third."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = MiniVGG(1, 3, width=4)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    images, labels = textures(240, random)
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / 80)
        batch = torch.randint(240, (16,), generator=random)
        loss = F.cross_entropy(network(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    images, labels = textures(200, random)
    with torch.no_grad():
        right = (network(images).argmax(1) == labels).float().mean()
    assert right > 0.85


def test_the_layers_are_those_of_vgg19():
    """Sixteen 3 x 3 convolutions; at the published width as many weights as the published convolutions have."""
    with torch.device("meta"):
        network = MiniVGG(3, 1000, width=64)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 16
    assert sum(layer.weight.numel() for layer in convolutions) == 20_018_880
    shapes = [tuple(f.shape[1:]) for f in MiniVGG(3, 5, width=2).features(torch.rand(1, 3, 48, 64))]
    assert shapes == [(2, 48, 64), (4, 24, 32), (8, 12, 16), (16, 6, 8), (16, 3, 4)]


@pytest.mark.parametrize("size", [(1, 1), (7, 33)])
def test_images_of_any_size_pass(size):
    network = MiniVGG(1, 3, width=2).eval()
    assert network(torch.rand(2, 1, *size)).shape == (2, 3)
    assert len(network.features(torch.rand(2, 1, *size))) == 5


def test_features_are_those_that_evaluation_classifies_by():
    torch.manual_seed(0)
    network = MiniVGG(1, 3, width=4)
    for _ in range(3):
        network(0.2 * torch.rand(4, 1, 32, 32))  # so that statistics are not where they started
    x = torch.rand(2, 1, 32, 32)
    in_training = network.features(x)
    network.eval()
    torch.testing.assert_close(network.classify(in_training[-1].mean((2, 3))), network(x), rtol=1e-4, atol=1e-5)


def test_measuring_images_changes_nothing():
    """In either mode features depend on one image alone and change neither weights nor statistics."""
    torch.manual_seed(0)
    network = MiniVGG(1, 3, width=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.rand(3, 1, 16, 16, requires_grad=True)
    together = network.features(x)
    for whole, alone in zip(together, network.features(x[:1]), strict=True):
        torch.testing.assert_close(whole[:1], alone, rtol=1e-4, atol=1e-5)
    sum(f.sum() for f in together).backward()
    assert all(p.grad is None for p in network.parameters()) and x.grad.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
