"""SwinIR's backbone: residual blocks of transformer layers with attention inside shifted windows.

Features are `n x h x w x width` here, the memory layout of channels_last tensors.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.resampling import extend


class WindowAttention(nn.Module):
    """``softmax(q k^T / sqrt(d) + B) v`` inside windows; ``B`` is learnt, one value per offset of pixels and head.

    Every second layer shifts the windows by half a window, which connects them. The border of the image cuts windows.

    Parameters
    ----------
    width, heads : int
        Channels, and heads of attention.
    window, shift : int
        Side of a window and its shift, in pixels.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        place = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        offset = place[:, None] - place[None] + window - 1
        self.offset: Tensor
        self.register_buffer("offset", offset[..., 0] * (2 * window - 1) + offset[..., 1], persistent=False)

    def forward(self, f: Tensor, border: Tensor) -> Tensor:
        """Apply attention; `border` is the `border_mask` for the features' size."""
        n, height, width, channels = f.shape
        rows, columns, window = height // self.window, width // self.window, self.window
        shifted = f.roll((-self.shift, -self.shift), (1, 2)) if self.shift else f
        parts = self.qkv(shifted).view(n, rows, window, columns, window, 3, self.heads, channels // self.heads)
        q, k, v = parts.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 3)  # n*windows x head x pixel x d
        bias = self.bias[self.offset].permute(2, 0, 1)[None]
        if self.shift:
            bias = (bias + border[:, None]).expand(n, -1, -1, -1, -1).flatten(0, 1)
        attended = F.scaled_dot_product_attention(q, k, v, bias)
        attended = attended.view(n, rows, columns, self.heads, window, window, -1).permute(0, 1, 4, 2, 5, 3, 6)
        out: Tensor = self.out(attended.reshape(n, height, width, channels))
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out


class SwinLayer(nn.Module):
    """``f + attention(LN(f))``, then ``f + MLP(LN(f))`` with GELU."""

    def __init__(self, width: int, heads: int, window: int, shift: int, ratio: float) -> None:
        super().__init__()
        hidden = int(ratio * width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window, shift)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, f: Tensor, border: Tensor) -> Tensor:
        f = f + self.attention(self.first_norm(f), border)
        change: Tensor = self.mlp(self.second_norm(f))
        return f + change


class SwinBlock(nn.Module):
    """``f + conv(layers(f))``: `depth` transformer layers; every second one has shifted windows."""

    def __init__(self, width: int, depth: int, heads: int, window: int, ratio: float) -> None:
        super().__init__()
        shifts = (window // 2 if layer % 2 else 0 for layer in range(depth))
        self.layers = nn.ModuleList(SwinLayer(width, heads, window, shift, ratio) for shift in shifts)
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, f: Tensor, border: Tensor) -> Tensor:
        change = f
        for layer in self.layers:
            change = layer(change, border)
        return f + _convolve(self.last, change)


class SwinBackbone(nn.Module):
    """Lightweight SwinIR up to its upsampling, `n x bands x h x w` to `n x width x h x w`.

    ``f = conv(y)``, then `blocks` residual Swin transformer blocks between layer normalisations, then ``f + conv(.)``.
    Values, in about [0, 1], are centred.

    Windows are counted from the upper left corner, so crops agree with the whole image only if they begin at multiples
    of `multiple`. Images are extended to a multiple of `window` by reflection with the edge pixel repeated. (The
    published network does not repeat it, so it cannot extend a single pixel.)

    Layers, widths, heads and initialisation are as published. Unlike in the paper, 0.5 is subtracted instead of a data
    set's mean colour, and no layer is dropped in training, because the members of an image share the backbone.

    Parameters
    ----------
    bands, width, blocks : int
        Bands, channels, residual Swin transformer blocks.
    depth : int
        Transformer layers per block.
    heads : int
        Heads of attention; a divisor of the width.
    window : int
        Side of a window in pixels.
    ratio : float
        Channels inside an MLP, relative to the width.

    Raises
    ------
    InvalidModel
        If `heads` does not divide the width.

    References
    ----------
    J. Liang et al., "SwinIR: Image restoration using Swin transformer", 2021, arXiv:2108.10257. Z. Liu et al., "Swin
    transformer: Hierarchical vision transformer using shifted windows", 2021, arXiv:2103.14030.
    """

    def __init__(
        self,
        bands: int,
        width: int = 60,
        blocks: int = 4,
        depth: int = 6,
        heads: int = 6,
        window: int = 8,
        ratio: float = 2,
    ) -> None:
        super().__init__()
        if width % heads:
            raise InvalidModel(f"The width, {width}, is no multiple of the heads, {heads}: change one of them.")
        self.width, self.window, self.multiple = width, window, window
        self.head = nn.Conv2d(bands, width, 3, padding=1)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(SwinBlock(width, depth, heads, window, ratio) for _ in range(blocks))
        self.body = nn.Conv2d(width, width, 3, padding=1)
        for name, parameter in self.named_parameters():
            layer = self.get_submodule(name.rpartition(".")[0])
            if isinstance(layer, nn.Linear) and parameter.dim() == 1:
                nn.init.zeros_(parameter)
            elif isinstance(layer, nn.Linear | WindowAttention):
                nn.init.trunc_normal_(parameter, std=0.02)
        self.reach = max(_reach(pixel, blocks, depth, window) for pixel in range(window))

    def forward(self, y: Tensor) -> Tensor:
        height, width = y.shape[-2:]
        first = _convolve(self.head, extend(y - 0.5, self.window).permute(0, 2, 3, 1))
        border = border_mask(first.shape[1], first.shape[2], self.window, first)
        f: Tensor = self.first_norm(first)
        for block in self.blocks:
            f = block(f, border)
        f = first + _convolve(self.body, self.second_norm(f))
        return f[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def border_mask(height: int, width: int, window: int, like: Tensor) -> Tensor:
    """Return what is added to the attention of shifted windows, `windows x window^2 x window^2`: 0 or minus infinity.

    The last windows of rolled features contain both ends of the image, which must not attend to each other.
    """

    def wrapped(size: int) -> Tensor:
        return torch.arange(size, device=like.device).view(-1, window) >= size - window // 2

    rows, columns = wrapped(height), wrapped(width)
    kind = rows[:, None, :, None].int() * 2 + columns[None, :, None, :].int()
    kind = kind.view(-1, window * window)
    different = kind[:, :, None] != kind[:, None, :]
    return torch.zeros(different.shape, dtype=like.dtype, device=like.device).masked_fill_(different, -math.inf)


def _convolve(layer: nn.Conv2d, f: Tensor) -> Tensor:
    """Apply a convolution to features `n x h x w x c`."""
    out: Tensor = layer(f.permute(0, 3, 1, 2))
    return out.permute(0, 2, 3, 1).contiguous()


def _reach(pixel: int, blocks: int, depth: int, window: int) -> int:
    """Follow the pixels that an output pixel depends on back to the image."""
    first, last = pixel - 1, pixel + 1
    for _ in range(blocks):
        first, last = first - 1, last + 1
        for layer in reversed(range(depth)):  # the whole windows that contain them
            shift = window // 2 if layer % 2 else 0
            first = (first - shift) // window * window + shift
            last = (last - shift) // window * window + shift + window - 1
    return max(pixel - (first - 1), last + 1 - pixel)
