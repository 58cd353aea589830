"""Products with banded matrices, along either axis of an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Banded:
    """A banded matrix as dense blocks of rows: products that cost what the band costs, however large the image.

    Entries below 1e-8 of the largest are left out, less than float accuracy can tell.

    Parameters
    ----------
    matrix : ndarray
        Of any shape; only what lies near its diagonal should differ from zero.
    step : int
        Rows of a block.
    device, dtype
        Of the blocks, and of what they multiply.
    """

    def __init__(self, matrix: NDArray[np.floating], step: int, device: torch.device, dtype: torch.dtype) -> None:
        known = np.abs(matrix) > 1e-8 * np.abs(matrix).max()
        self.parts: list[tuple[slice, slice, Tensor]] = []
        for start in range(0, len(matrix), step):
            rows = slice(start, min(start + step, len(matrix)))
            used = np.nonzero(known[rows].any(0))[0]
            columns = slice(int(used[0]), int(used[-1]) + 1)
            self.parts.append((rows, columns, torch.from_numpy(matrix[rows, columns].copy()).to(device, dtype)))

    def across(self, x: Tensor) -> Tensor:
        """``x M^T``, along the last axis."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.cat([flat[:, columns] @ part.mT for _, columns, part in self.parts], 1).view(*x.shape[:-1], -1)

    def down(self, x: Tensor) -> Tensor:
        """``M x``, along the last axis but one."""
        return torch.cat([part @ x[..., columns, :] for _, columns, part in self.parts], -2)

    def add_down(self, base: Tensor, x: Tensor, to: Tensor) -> None:
        """``base + M x`` of stacks of images, written to `to`, which may be `base`."""
        for rows, columns, part in self.parts:
            torch.baddbmm(base[:, rows], part.expand(len(x), -1, -1), x[:, columns], out=to[:, rows])
