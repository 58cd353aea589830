"""The blocks of MobileNetV2, with the names of weights that torchvision's network has.

torchvision itself is not imported: that takes seconds, and changes the environment and the filters of warnings.
"""

from __future__ import annotations

from itertools import islice

from torch import Tensor, nn

_SETTINGS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of every group of blocks: factor of expansion, channels, number of blocks, stride of the first."""
_FIRST, _MULTIPLE = 32, 8
"""Channels of the first layer, and the number that all channels are multiples of."""


class InvertedResidual(nn.Module):
    """Expansion, 3x3 convolution of every channel by itself, and projection; the input is added where sizes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        expand = [_layer(inputs, hidden, 1)] if expansion != 1 else []
        projection = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.conv = nn.Sequential(
            *expand, _layer(hidden, hidden, 3, stride, hidden), projection, nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.conv(x)
        return x + changed if self.residual else changed


def blocks(bands: int, width: float, count: int) -> list[nn.Module]:
    """Return the first `count` blocks of MobileNetV2, at most 18, with the published initial weights.

    Parameters
    ----------
    bands : int
        Bands of the image.
    width : float
        Factor on the numbers of channels.
    count : int

    References
    ----------
    M. Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", 2018, arXiv:1801.04381.
    """
    inputs = _channels(_FIRST * width)
    made: list[nn.Module] = [_layer(bands, inputs, 3, 2)]
    settings = ((e, c, stride if i == 0 else 1) for e, c, number, stride in _SETTINGS for i in range(number))
    for expansion, channels, stride in islice(settings, count - 1):
        outputs = _channels(channels * width)
        made.append(InvertedResidual(inputs, outputs, stride, expansion))
        inputs = outputs
    for layer in (layer for block in made for layer in block.modules()):
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return made


def _layer(inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


def _channels(number: float) -> int:
    """Round to a multiple of eight, by at most a tenth downwards."""
    rounded = max(_MULTIPLE, int(number + _MULTIPLE / 2) // _MULTIPLE * _MULTIPLE)
    return rounded + _MULTIPLE if rounded < 0.9 * number else rounded
