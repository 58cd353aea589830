"""Every entry of the registry can be used."""

import json

import numpy as np
import pytest
import torch

from bayesr.errors import InvalidModel
from bayesr.segmentation.adapters import adapt
from bayesr.segmentation.losses import bce
from bayesr.segmentation.protocol import as_module
from bayesr.segmentation.registry import CLASSICAL, NETWORKS, build, bundled
from bayesr.segmentation.segmenter import Segmenter, load

SPOT = np.zeros((1, 24, 32), np.float32)
SPOT[0, 8:16, 10:20] = 100


def small(kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build({"kind": kind, "bands": 1, "outputs": 1, "width": 0.25, "depth": 2})


@pytest.mark.parametrize("name", [*CLASSICAL, *bundled()])
def test_every_name_segments(name):
    adapted = adapt(name, threshold=0.5, smallest=0, logits=False)
    assert adapted.name.split()[0] == name and adapted.inputs == ("member",)
    segmentation = adapted.segment(SPOT, (0.0, 100.0))
    assert segmentation.probability.shape == segmentation.labels.shape == (24, 32)


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_file_is_of_a_known_kind(name):
    segmenter = load(name)
    assert segmenter.name == name and segmenter.network.architecture["kind"] in NETWORKS


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_network_has_the_members_of_the_protocol(kind):
    network, generator = small(kind), torch.Generator().manual_seed(0)
    as_module(network).eval()
    assert network.architecture["kind"] == kind and network.multiple == 4
    assert network.reach is None or network.reach > 0
    x = torch.rand(2, 1, 24, 32)
    with torch.no_grad():
        probability, maps = network.probability(x), network.maps(x, 3, generator)
    assert probability.shape == (2, 1, 24, 32) and maps.shape == (2, 3, 1, 24, 32)
    assert all(part.min() >= 0 and part.max() <= 1 for part in (probability, maps))
    targets = (torch.rand(2, 2, 1, 24, 32) < 0.5).float()  # of two annotators, as many as an ensemble has by default
    loss = network.loss(x, targets, torch.ones(2, 1, 24, 32), bce, generator)
    loss.backward()
    assert loss.dim() == 0 and any(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_network_is_saved_and_loaded(kind, tmp_path):
    network = small(kind)
    as_module(network).eval()
    path = Segmenter("small", network).save(tmp_path / "small.safetensors")
    again = load(path)
    assert again.network.architecture == network.architecture == json.loads(json.dumps(network.architecture))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=1e-3, atol=1e-3)  # stored as fp16


def test_an_unknown_kind_is_refused():
    with pytest.raises(InvalidModel, match="transformer"):
        build({"kind": "transformer"})
