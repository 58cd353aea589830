from torch import nn

from bayesr.networks.backbones.rrdb import RRDBBackbone


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_rrdb_has_the_number_of_parameters_of_the_released_network():
    """16,697,987 for x4, of which four convolutions lie behind the backbone."""
    behind = 3 * (64 * 64 * 9 + 64) + 64 * 3 * 9 + 3
    assert count(RRDBBackbone(3)) == 16_697_987 - behind
