from torch import nn

from bayesr.networks.backbones.swin import SwinBackbone


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_swin_has_the_number_of_parameters_of_the_released_network():
    """910.2 K for x2 (github.com/JingyunLiang/SwinIR, issue 45), with one convolution to 3 x 2^2 channels."""
    assert count(SwinBackbone(3)) + 60 * 12 * 9 + 12 == 910_152
