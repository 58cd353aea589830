"""JPEG compression of images as a function on tensors, on any device: what a baseline file would return.

Colours are converted to luma and chroma, chroma is halved if asked for, blocks of 8 x 8 are transformed by the cosine
transform and quantised, and all of it is undone as the decoder of libjpeg does, which Pillow uses. Entropy coding loses
nothing and is left out.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""The corner of the table for chroma; all other steps are 99."""
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_RED, _GREEN, _BLUE = 1.402, (0.344136, 0.714136), 1.772


class _Constants(NamedTuple):
    tables: Tensor
    cosines: Tensor
    to_ycc: Tensor


@lru_cache(maxsize=8)
def _constants(device: torch.device) -> _Constants:
    """Return tables and matrices on a device: copies from the host would break the capture of a CUDA graph."""
    tables = torch.full((3, _BLOCK, _BLOCK), 99.0, dtype=torch.float32)
    tables[0], tables[1:, :4, :4] = torch.tensor(_LUMA), torch.tensor(_CHROMA)
    k = torch.arange(_BLOCK, dtype=torch.float64)
    cosines = torch.cos(math.pi / _BLOCK * (k + 0.5) * k[:, None]) * (2 / _BLOCK) ** 0.5
    cosines[0] /= 2**0.5
    to_ycc = torch.tensor(_TO_YCC, dtype=torch.float32)
    return _Constants(tables.to(device), cosines.float().to(device), to_ycc.to(device))


def compressed(images: Tensor, quality: Tensor, halved: Tensor) -> Tensor:
    """Return images as read back from JPEG files.

    Parameters
    ----------
    images : Tensor
        Images `n x band x y x x` in [0, 1], with one band (grey) or three (red, green, blue).
    quality : Tensor
        Quality of each image, 1 to 100, as libjpeg scales its tables; fractions are dropped.
    halved : Tensor
        Whether the chroma of each image has half the resolution (4:2:0), bool.

    Returns
    -------
    Tensor
        Of the shape of `images`, whole multiples of 1/255.

    References
    ----------
    ITU-T T.81, "Digital compression and coding of continuous-tone still images", 1992, annex K.
    """
    height, width = images.shape[-2:]
    values = _rounded(images.float().clamp(0, 1) * 255)
    values = F.pad(values, (0, -width % (2 * _BLOCK), 0, -height % (2 * _BLOCK)), mode="replicate")
    steps = _steps(quality.floor().clamp(1, 100), images.device)
    if images.shape[1] == 1:
        return _coded(values - 128, steps[:, :1])[..., :height, :width].add(128).clamp(0, 255) / 255
    ycc = _rounded(torch.einsum("kc,nchw->nkhw", _constants(images.device).to_ycc, values))
    luma = _coded(ycc[:, :1] - 128, steps[:, :1]).clamp(-128, 127) + 128
    whole = _coded(ycc[:, 1:], steps[:, 1:]).clamp(-128, 127)
    half = _coded(_halved(ycc[:, 1:]), steps[:, 1:]).clamp(-128, 127)
    half = _doubled(half[..., : -(-height // 2), : -(-width // 2)])[..., :height, :width]
    chroma = torch.where(halved[:, None, None, None], half, whole[..., :height, :width])
    return _rgb(luma[..., :height, :width], chroma) / 255


def _steps(quality: Tensor, device: torch.device) -> Tensor:
    """Return the quantisation steps of luma and twice of chroma, `n x 3 x 1 x 1 x 8 x 8`."""
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)[:, None, None, None]
    steps = ((_constants(device).tables * scale + 50) / 100).floor().clamp(1, 255)
    return steps[:, :, None, None]


def _coded(values: Tensor, steps: Tensor) -> Tensor:
    """Transform, quantise and transform back `n x band x y x x`, in whole numbers about zero."""
    cosines = _constants(values.device).cosines
    blocks = values.unflatten(-2, (-1, _BLOCK)).unflatten(-1, (-1, _BLOCK)).transpose(-3, -2)
    # The encoder keeps eighths of coefficients, so that halves of a step are common.
    coefficients = _rounded(8 * (cosines @ blocks @ cosines.mT)) / (8 * steps)
    quantised = coefficients.sign() * (coefficients.abs() + 0.5 + 1e-5).floor() * steps  # halves away from zero
    back = _rounded(cosines.mT @ quantised @ cosines)
    return back.transpose(-3, -2).flatten(-2).flatten(-3, -2)


def _halved(values: Tensor) -> Tensor:
    """Return means of 2 x 2 values, with halves rounded down and up in turn along a row, as libjpeg does."""
    sums = F.avg_pool2d(values, 2, divisor_override=1)
    bias = torch.arange(sums.shape[-1], device=values.device) % 2 + 1
    return ((sums + bias) / 4).floor()


def _doubled(values: Tensor) -> Tensor:
    """Interpolate linearly between the centres of pixels, at twice the resolution, rounded as libjpeg does."""
    padded = F.pad(values, (0, 0, 1, 1), mode="replicate")
    near = 3 * values
    rows = torch.stack([near + padded[..., :-2, :], near + padded[..., 2:, :]], -2).flatten(-3, -2)
    padded = F.pad(rows, (1, 1, 0, 0), mode="replicate")
    near = 3 * rows
    left, right = ((near + padded[..., :-2] + 8) / 16).floor(), ((near + padded[..., 2:] + 7) / 16).floor()
    return torch.stack([left, right], -1).flatten(-2)


def _rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    blue, red = chroma[:, :1], chroma[:, 1:]
    green = _rounded(-_GREEN[0] * blue - _GREEN[1] * red)
    return torch.cat([luma + _rounded(_RED * red), luma + green, luma + _rounded(_BLUE * blue)], 1).clamp(0, 255)


def _rounded(values: Tensor) -> Tensor:
    """Round halves up."""
    return (values + 0.5).floor()
