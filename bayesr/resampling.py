"""Products with banded matrices along the axes of an image, and interpolation with mirrored borders.

Interpolation is ``x = U_h y U_w^T``. Pixels are squares with values at their centres: high-resolution pixel i of a row
lies at ``(i + 1/2) / s - 1/2`` in low-resolution pixels, where `s` is the scale factor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidArgument
from bayesr.isolation import isolated

Values = NDArray[np.float64]


class Banded:
    """A banded matrix stored as dense blocks of `step` rows, so that products cost in proportion to the band.

    Entries below 1e-8 of the largest are dropped; they are below float accuracy. A CPU multiplies block by block,
    within its caches. Other devices multiply all blocks at once: starting a product costs more than its arithmetic.
    """

    def __init__(self, matrix: NDArray[np.floating], step: int, device: torch.device, dtype: torch.dtype) -> None:
        known = np.abs(matrix) > 1e-8 * np.abs(matrix).max()
        self.parts: list[tuple[slice, slice, Tensor]] = []
        for start in range(0, len(matrix), step):
            rows = slice(start, min(start + step, len(matrix)))
            used = np.nonzero(known[rows].any(0))[0]
            columns = slice(int(used[0]), int(used[-1]) + 1)
            self.parts.append((rows, columns, torch.from_numpy(matrix[rows, columns].copy()).to(device, dtype)))
        self.size = len(matrix)
        self.at_once = device.type != "cpu"
        if self.at_once:
            self._stack(matrix, step, device, dtype)

    def _stack(self, matrix: NDArray[np.floating], step: int, device: torch.device, dtype: torch.dtype) -> None:
        """Make all blocks equally large: `block x step x width`, and the columns of each, `block width`."""
        width = max(columns.stop - columns.start for _, columns, _ in self.parts)
        stacked = np.zeros((len(self.parts), step, width))
        used = np.zeros((len(self.parts), width), np.int64)
        for block, place, (rows, columns, _) in zip(stacked, used, self.parts, strict=True):
            place[:] = np.arange(width) + min(columns.start, matrix.shape[1] - width)
            block[: rows.stop - rows.start] = matrix[rows][:, place]
        self._blocks = torch.from_numpy(stacked).to(device, dtype)
        self._used = torch.from_numpy(used.ravel()).to(device)

    def _across_at_once(self, x: Tensor) -> Tensor:
        blocks, step, width = self._blocks.shape
        flat = x.reshape(-1, x.shape[-1])
        parts = flat.index_select(1, self._used).view(len(flat), blocks, width).transpose(0, 1)
        product = torch.bmm(parts, self._blocks.mT)
        return product.transpose(0, 1).reshape(len(flat), blocks * step)[:, : self.size].reshape(*x.shape[:-1], -1)

    def _down_at_once(self, x: Tensor) -> Tensor:
        blocks, _, width = self._blocks.shape
        parts = x.index_select(-2, self._used).unflatten(-2, (blocks, width))
        return torch.matmul(self._blocks, parts).flatten(-3, -2)[..., : self.size, :]

    def across(self, x: Tensor) -> Tensor:
        """Compute ``x M^T`` along the last axis."""
        if self.at_once:
            return self._across_at_once(x)
        flat = x.reshape(-1, x.shape[-1])
        return torch.cat([flat[:, columns] @ part.mT for _, columns, part in self.parts], 1).view(*x.shape[:-1], -1)

    def down(self, x: Tensor) -> Tensor:
        """Compute ``M x`` along the last axis but one."""
        if self.at_once:
            return self._down_at_once(x)
        return torch.cat([part @ x[..., columns, :] for _, columns, part in self.parts], -2)

    def add_down(self, base: Tensor, x: Tensor, to: Tensor) -> None:
        """Compute ``base + M x`` for stacks of images into `to`, which may be `base`."""
        if self.at_once:
            torch.add(base, self._down_at_once(x), out=to)
            return
        for rows, columns, part in self.parts:
            torch.baddbmm(base[:, rows], part.expand(len(x), -1, -1), x[:, columns], out=to[:, rows])


def _nearest(u: Values) -> Values:
    return np.where(u < 0.5, 1.0, 0.0)  # no centre lies halfway between two others


def _bilinear(u: Values) -> Values:
    return np.maximum(0, 1 - u)


def _bicubic(u: Values) -> Values:
    near, far = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    return np.where(u < 1, near, np.where(u < 2, far, 0.0))


def _lanczos(u: Values) -> Values:
    return np.where(u < 3, np.sinc(u) * np.sinc(u / 3), 0.0)


_KERNELS: dict[str, tuple[Callable[[Values], Values], int]] = {
    "nearest": (_nearest, 1),
    "bilinear": (_bilinear, 1),
    "bicubic": (_bicubic, 2),
    "lanczos": (_lanczos, 3),
}
"""Weight as a function of the distance in low-resolution pixels, and the distance beyond which it is zero."""

KINDS = tuple(_KERNELS)
"""The kinds of interpolation of `resize`."""

_STEP = 16
"""Low-resolution pixels in a block of rows."""


@lru_cache(maxsize=64)
def upsampling_matrix(kind: str, size: int, scale: int) -> Values:
    """Return the interpolation matrix ``U``, `scale*size x size`.

    ``U_ij ~ k(|(i + 1/2) / s - 1/2 - j|)``, with rows that sum to one. Beyond its border the image is mirrored, and the
    edge pixel repeated.

    Parameters
    ----------
    kind : {"nearest", "bilinear", "bicubic", "lanczos"}
        ``bicubic`` is Keys' cubic with a = -1/2, as in MATLAB's ``imresize``; ``lanczos`` has three lobes, and is
        normalised because its weights do not sum to exactly one.
    size : int
        Low-resolution pixels along the axis, at least 1.
    scale : int
        Scale factor, at least 1.

    Raises
    ------
    InvalidArgument
        For an unknown kind, and for a size or scale below 1.

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", 1981,
    doi:10.1109/TASSP.1981.1163711. C. Duchon, "Lanczos filtering in one and two dimensions", 1979,
    doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2.
    """
    if kind not in _KERNELS:
        raise InvalidArgument(f"Unknown interpolation {kind!r}: use one of {', '.join(KINDS)}.")
    if size < 1 or scale < 1:
        raise InvalidArgument(f"The size and the scale must be at least 1, not {size} and {scale}.")
    kernel, radius = _KERNELS[kind]
    rows = np.arange(size * scale)[:, None]
    centre = (rows + 0.5) / scale - 0.5
    columns = np.floor(centre).astype(int) + np.arange(1 - radius, radius + 1)
    weights = np.zeros((size * scale, size))
    folded = columns % (2 * size)
    np.add.at(weights, (rows, np.minimum(folded, 2 * size - 1 - folded)), kernel(np.abs(centre - columns)))
    weights /= weights.sum(1, keepdims=True)
    weights.setflags(write=False)  # it is cached
    return weights


def resize(y: Tensor, kind: str, scale: int) -> Tensor:
    """Interpolate images: ``U_h y U_w^T``. The result is differentiable.

    Parameters
    ----------
    y : Tensor
        Images `... x h x w` of any floating type and value range, on any device.
    kind, scale
        See `upsampling_matrix`.

    Returns
    -------
    Tensor
        Images `... x sh x sw`.

    Raises
    ------
    InvalidArgument
        For an unknown kind, an empty image, or a scale below 1.
    """
    rows, columns = (_banded(kind, size, scale, y.device, y.dtype) for size in y.shape[-2:])
    return rows.down(columns.across(y))


@lru_cache(maxsize=64)
@isolated  # matrices cached in sampling must serve training
def _banded(kind: str, size: int, scale: int, device: torch.device, dtype: torch.dtype) -> Banded:
    return Banded(upsampling_matrix(kind, size, scale), _STEP * scale, device, dtype)


def extend(y: Tensor, multiple: int) -> Tensor:
    """Mirror images `... x h x w` beyond their lower and right borders, up to a multiple of pixels."""
    for axis in (-2, -1):  # also where nothing is added: engines convert this code once and run it at other sizes
        size = y.shape[axis]
        folded = torch.arange(-(-size // multiple) * multiple, device=y.device) % (2 * size)
        y = y.index_select(axis, torch.minimum(folded, 2 * size - 1 - folded))
    return y
