"""A small VGG19 that is trained from scratch: to classify images, and then to say how alike two of them are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PLAN = (2, 2, 4, 4, 4)
_SLOPE = 0.1


class MiniVGG(nn.Module):
    """VGG19's sixteen convolutions with few channels, in five blocks at ever half the resolution, and one dense layer.

    With batch normalisation, without which sixteen layers start to learn late. Two ways lead through the same
    weights: `forward` classifies, and in training it normalises by the batch; `features` measures images, and
    must be the same function for every image of every batch. So it takes the running statistics whatever the
    mode, and its weights as constants: no loss that measures images by it can change it.

    Parameters
    ----------
    bands, classes : int
    width : int
        Channels of the first block; the others have 2, 4, 8 and 8 times as many. Published VGG19: 64.

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
        """Logits, `n x classes`, of images `n x bands x y x x` with values in about [0, 1]."""
        *_, deepest = self._blocks(x, lambda i, f: self.norms[i](self.convolutions[i](f)))
        logits: Tensor = self.classify(deepest.mean((2, 3)))
        return logits

    def features(self, x: Tensor) -> list[Tensor]:
        """What the ends of the five blocks make of images, the first at their resolution, each other at half that.

        A fixed function: gradients reach `x`, never the weights.
        """
        return list(self._blocks(x, self._constant))

    def _constant(self, i: int, f: Tensor) -> Tensor:
        """A convolution and its normalisation, folded into one."""
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
                f = F.max_pool2d(f, 2, ceil_mode=True)  # so that images of any size pass
            for _ in range(count):
                f = layer(i, f)
                if i == 0:  # torch's path for few bands forgets the layout, and all that follows would be slow
                    f = f.contiguous(memory_format=torch.channels_last)
                f, i = F.leaky_relu(f, _SLOPE), i + 1
            yield f
