import pytest
import torch

from bayesr.networks.registry import build
from bayesr.networks.stored import read_architecture, read_names, stored_architecture, stored_names

SIZES = dict(bands=1, scale=2, width=8, blocks=1, head_width=8, head_blocks=1, latent=2)


def test_files_keep_their_names():
    network = build(**SIZES)
    names = stored_names(network.state_dict())
    assert {name.partition(".")[0] for name in names} == {"trunk", "tail", "up"}
    assert "trunk.head.weight" in names and "tail.dropout_logit" in names
    stored = stored_architecture(network.architecture)
    assert {"tail_width", "tail_blocks"} <= set(stored) and not any("head" in name for name in stored)


@pytest.mark.parametrize("options", [{}, dict(backbone="unet"), dict(networks=2, head="gaussian"), dict(head_blocks=0)])
def test_names_are_read_back(options):
    network = build(**SIZES | options)
    weights = network.state_dict()
    again = read_names(stored_names(weights))
    assert list(again) == list(weights) and all(again[name] is weights[name] for name in weights)
    assert read_architecture(stored_architecture(network.architecture)) == network.architecture


def test_networks_without_a_backbone_keep_their_names():
    weights = {"head.weight": torch.zeros(1), "tail": torch.zeros(1)}
    assert stored_names(weights) == weights
