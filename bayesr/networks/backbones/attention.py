"""SAGAN's self-attention between all pixels, with memory linear in the number of pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from bayesr.errors import InvalidModel
from bayesr.networks.backbones.residual import ResidualBlock
from bayesr.networks.layers import convolution


class SelfAttention(nn.Module):
    """``f + gamma W_v sum_j a_ij W_h f_j``, ``a_ij = softmax_j((W_f f_j)^T (W_g f_i))``: `n x width x h x w` to itself.

    The learnt gate gamma starts at 0, where the layer is the identity. As published, products are not scaled, and
    query, key and value have an eighth of the channels. (The released code uses half of the channels for the value and
    a quarter of the keys, but torch's kernels with linear memory need one width.)

    Parameters
    ----------
    width : int
        Channels in and out.
    heads : int
        Heads of attention, which share that eighth equally.
    spectral : bool
        Divide the 1x1 convolutions by their spectral norm.

    Raises
    ------
    InvalidModel
        If `heads` does not divide an eighth of the width.

    References
    ----------
    H. Zhang et al., 2019, arXiv:1805.08318.
    """

    def __init__(self, width: int, heads: int = 1, spectral: bool = False) -> None:
        super().__init__()
        inner = max(1, width // 8)
        if inner % heads:
            raise InvalidModel(
                f"An eighth of the width, {inner}, is no multiple of the heads, {heads}: change one of them."
            )
        self.heads = heads
        # 1x1 convolutions; torch's own may take a slow path on a CPU.
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, width, bias=False)
        if spectral:
            for layer in (self.query, self.key, self.value, self.out):
                spectral_norm(layer)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, f: Tensor) -> Tensor:
        n, _, height, width = f.shape
        pixels = f.permute(0, 2, 3, 1).flatten(1, 2)  # n x pixel x channel

        def split(layer: nn.Module) -> Tensor:
            values: Tensor = layer(pixels)
            return values.view(n, height * width, self.heads, -1).transpose(1, 2)

        attended = F.scaled_dot_product_attention(split(self.query), split(self.key), split(self.value), scale=1.0)
        change: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return f + self.gamma * change.view(n, height, width, -1).permute(0, 3, 1, 2)


class AttentionBackbone(nn.Module):
    """Residual backbone with self-attention in its middle and spectral normalisation of all weights, after SAGAN.

    It maps `n x bands x h x w` to `n x width x h x w`. Every weight is divided by its largest singular value as a
    matrix `outputs x inputs*9`, which training updates by one power iteration per step. Features depend on the whole
    image, so tiles do not agree and `reach` is None. Unlike SAGAN's generator it has the blocks of `ResidualBackbone`,
    without batch normalisation.

    Values, in about [0, 1], are centred.

    Parameters
    ----------
    bands, width, blocks : int
        Bands, channels, residual blocks.
    heads : int
        Heads of attention.

    References
    ----------
    H. Zhang et al., "Self-attention generative adversarial networks", 2019, arXiv:1805.08318. T. Miyato et al.,
    "Spectral normalization for generative adversarial networks", 2018, arXiv:1802.05957.
    """

    reach = None
    multiple = 1

    def __init__(self, bands: int, width: int = 64, blocks: int = 8, heads: int = 1) -> None:
        super().__init__()
        self.width = width
        self.head = spectral_norm(convolution(bands, width))
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        for block in self.blocks:
            spectral_norm(block.first)  # type: ignore[arg-type]
            spectral_norm(block.second)  # type: ignore[arg-type]
        self.attention = SelfAttention(width, heads, spectral=True)

    def forward(self, y: Tensor) -> Tensor:
        # On a CPU torch's path for few bands loses the memory layout.
        f: Tensor = self.head(y - 0.5).contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks):
            if i == len(self.blocks) // 2:
                f = self.attention(f)
            f = block(f)
        return f if self.blocks else self.attention(f)
