"""The variance of members in two parts: what the input determines up to noise, and what it does not show.

A member ``x = A+ A x + P x`` has a part in the range of ``A+`` and one in the null space of ``A``. With ``r`` and ``p``
the deviations of both parts from their means,

    var(x) = var(r) + var(p) + 2 cov(r, p)

in every pixel. For an exact pseudo-inverse both parts are orthogonal, so the covariances of all pixels add up to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bayesr.observe import ForwardOperator, Separable

Mask = NDArray[np.bool_]
Advance = Callable[[float], None]

_PARTS = ("range_variance", "null_variance", "range_null_covariance")


def split_variance(
    operator: ForwardOperator, members: xr.DataArray, valid: Mask, advance: Advance
) -> dict[str, NDArray[Any]]:
    """Split the raw variance of members in the range of ``A+`` and in the null space of ``A``.

    Members are ``realization x band x y x x``. `advance` is called with 1 after each band of a member. The result has
    ``range_variance``, ``null_variance`` and ``range_null_covariance``, ``band x y x x`` (ddof = 1), whose sum, with
    twice the covariance, is the variance of the members, and ``open_share``, ``y x x``.
    """
    n, bands, height, width = members.shape
    out: dict[str, NDArray[Any]] = {name: np.full((bands, height, width), np.nan, np.float32) for name in _PARTS}
    out["open_share"] = np.full((height, width), np.nan, np.float32)
    if height % operator.scale or width % operator.scale:
        advance(n * bands)
        return out
    out["open_share"] = np.where(valid, open_share(operator, height // operator.scale, width // operator.scale), np.nan)
    for band in range(bands):
        first = members[0, band].to_numpy().astype(np.float64)
        sums = np.zeros((5, height, width))  # of r, p, r^2, p^2, r p
        for i in range(n):
            # Deviations from the first member are small, so that their squares lose no digits.
            deviation = np.where(valid, members[i, band].to_numpy() - first, 0)
            x = torch.from_numpy(deviation)[None]
            shown = operator.invert(operator.observe(x))[0].numpy()
            hidden = deviation - shown
            for total, value in zip(sums, (shown, hidden, shown**2, hidden**2, shown * hidden), strict=True):
                total += value
            advance(1)
        if n > 1:
            r, p, squares = sums[0], sums[1], sums[2:]
            for name, square, means in zip(_PARTS, squares, (r * r, p * p, r * p), strict=True):
                out[name][band] = np.where(valid, (square - means / n) / (n - 1), np.nan)
    return out


def open_share(operator: ForwardOperator, height: int, width: int) -> NDArray[np.float32]:
    """Return the diagonal of ``P = I - A+ A``, `s*height x s*width`: the share of pixels that the input leaves open.

    For operators that are not separable, borders are treated as if the image went on.
    """
    if isinstance(operator, Separable):
        share: NDArray[np.float32] = operator.null_space_variance(height, width).numpy()
        return share
    s, side = operator.scale, 2 * operator.reach + 1
    middle, cell = operator.reach * s, np.zeros((s, s))
    for row in range(s):
        for column in range(s):
            impulse = torch.zeros(1, side * s, side * s, dtype=torch.float64)
            impulse[0, middle + row, middle + column] = 1
            cell[row, column] = float(operator.project(impulse)[0, middle + row, middle + column])
    return np.tile(cell, (height, width)).astype(np.float32)


def null_share(parts: dict[str, NDArray[Any]]) -> float:
    """Return the share of the variance of all pixels that lies in the null space."""
    totals = [float(np.nansum(parts[name], dtype=np.float64)) for name in _PARTS[:2]]
    return totals[1] / sum(totals) if sum(totals) > 0 else math.nan
