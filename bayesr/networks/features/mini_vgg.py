"""A small VGG19 that learns features by classification, for losses that compare images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PLAN = (2, 2, 4, 4, 4)
_SLOPE = 0.1


class MiniVGG(nn.Module):
    """VGG19's sixteen convolutions with few channels in five blocks, each at half the resolution, and a dense layer.

    Without batch normalisation, sixteen layers would start to learn late. `forward` classifies images, and normalises
    by the batch in training. `features` must be one function for all images that a loss compares: it uses the running
    statistics in either mode, and constant weights, which no such loss can change.

    Parameters
    ----------
    bands, classes : int
        Bands, and the number of classes.
    width : int
        Channels of the first block; the others have 2, 4, 8 and 8 times as many. The published VGG19 has 64.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
    arXiv:1409.1556. S. Ioffe, C. Szegedy, "Batch normalization", 2015, arXiv:1502.03167.
    """

    def __init__(self, bands: int, classes: int, width: int = 16) -> None:
        super().__init__()
        widths = [width * factor for count, factor in zip(_PLAN, (1, 2, 4, 8, 8), strict=True) for _ in range(count)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False) for inputs, outputs in pairwise([bands, *widths])
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for outputs in widths)
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight, a=_SLOPE, nonlinearity="leaky_relu")  # type: ignore[arg-type]
        self.classify = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, `n x classes`, of images `n x bands x H x W` with values in about [0, 1]."""
        *_, deepest = self._blocks(x, lambda i, f: self.norms[i](self.convolutions[i](f)))
        logits: Tensor = self.classify(deepest.mean((2, 3)))
        return logits

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the features after each of the five blocks, the first at full resolution, each next at half.

        Gradients reach `x`, but not the weights.
        """
        return list(self._blocks(x, self._constant))

    def _constant(self, i: int, f: Tensor) -> Tensor:
        """Apply convolution and normalisation, folded into one, with constant weights."""
        norm, weight = self.norms[i], self.convolutions[i].weight
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(weight, Tensor)
        assert norm.running_var is not None and norm.running_mean is not None
        gain = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
        bias = norm.bias.detach() - norm.running_mean * gain
        return F.conv2d(f, weight.detach() * gain.view(-1, 1, 1, 1), bias, padding=1)

    def _blocks(self, x: Tensor, layer: Callable[[int, Tensor], Tensor]) -> Iterator[Tensor]:
        f, i = x - 0.5, 0
        for block, count in enumerate(_PLAN):
            if block:
                f = F.max_pool2d(f, 2, ceil_mode=True)  # for images of any size
            for _ in range(count):
                f = layer(i, f)
                if i == 0:  # torch's path for few bands loses the memory layout
                    f = f.contiguous(memory_format=torch.channels_last)
                f, i = F.leaky_relu(f, _SLOPE), i + 1
            yield f
