"""Layers and operations that several networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
"""Negative slope of LeakyReLU. Smoother activations stay linear for long in networks without normalisation."""


def convolution(inputs: int, outputs: int, *, std: float | None = None, bias: bool = True) -> nn.Conv2d:
    """Return a zero-padded 3x3 convolution.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    std : float, optional
        Standard deviation of the initial weights, for layers that start near zero; Kaiming's by default.
    bias : bool
    """
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    if std is None:
        nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu")
    else:
        nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def masked_convolution(layer: nn.Conv2d, x: Tensor, mask: Tensor) -> Tensor:
    """Apply a 3x3 convolution to masked channels; `mask` has shape `(n or 1) x channels x 1 x 1`."""
    if len(mask) == 1:  # cheaper than masking every member
        return F.conv2d(x, layer.weight * mask.view(1, -1, 1, 1), layer.bias, padding=1)
    out: Tensor = layer(x * mask)
    return out


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """Apply a 1x1 convolution, `n x c x h x w` by `k x c`; torch's own may take a slow path on a CPU."""
    return F.linear(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


def interpolated(values: Tensor, scale: int) -> Tensor:
    """Interpolate each sub-pixel's value linearly between the low-resolution pixels, of the shape of `values`.

    Beyond the image the nearest pixel counts.

    Parameters
    ----------
    values : Tensor
        `n x bands s^2 x h x w`, sub-pixels as channels.
    scale : int
        Scale factor s.
    """
    channels = values.shape[1]
    place = (torch.arange(scale, dtype=values.dtype, device=values.device) + 0.5) / scale - 0.5
    weights = torch.stack([(-place).clamp(min=0), 1 - place.abs(), place.clamp(min=0)], 1)
    window = (weights[:, None, :, None] * weights[None, :, None, :]).reshape(-1, 1, 3, 3)
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, window.repeat(channels // scale**2, 1, 1, 1), groups=channels)


def sub_pixels(g: Tensor, scale: int, out: Tensor | None = None) -> Tensor:
    """Pixel shuffle with a single copy, to `n x bands x sh x sw`.

    torch's own keeps its input's memory layout, so channels_last tensors would be copied twice.

    Parameters
    ----------
    g : Tensor
        `n x bands s^2 x h x w`.
    scale : int
        Scale factor s.
    out : Tensor, optional
        Memory for the result, of at least n images.
    """
    n, channels, h, w = g.shape
    bands = channels // scale**2
    parts = g.permute(0, 2, 3, 1).reshape(n, h, w, bands, scale, scale).permute(0, 3, 1, 4, 2, 5)
    if out is None:
        return parts.reshape(n, bands, h * scale, w * scale)
    out[:n].view(parts.shape).copy_(parts)
    return out[:n]
