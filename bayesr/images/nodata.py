"""Pixels without data: where they are, and what the network sees in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 32
"""How far from data missing pixels are filled with what is near, in pixels."""
_FAR = np.float32(0.5)
_NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


def is_missing(pixels: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where any of the bands of `band x y x x` has the value `nodata`; `y x x`."""
    found: NDArray[np.bool_]
    if np.isnan(nodata):
        found = np.isnan(pixels).any(0)
    elif pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            marker = pixels.dtype.type(nodata)  # as it is stored: 0.1 in single precision is not 0.1
        found = (
            (pixels == marker).any(0) if np.isfinite(marker) == np.isfinite(nodata) else np.zeros_like(pixels[0], bool)
        )
    else:
        found = (pixels == nodata).any(0)
    return found


def filled(pixels: NDArray[np.float32], absent: NDArray[np.bool_]) -> NDArray[np.float32]:
    r"""The pixels with the missing ones filled from data around them.

    In each of `REACH` passes every missing pixel beside known ones becomes their mean, over the up to 8 neighbours,

    .. math:: x_p = \frac{1}{|K_p|} \sum_{q \in K_p} x_q,

    and is known from the next pass on; what is then unknown becomes 0.5. A pixel so depends on nothing farther away
    than `REACH` pixels, and the order of the sum is fixed: windows of one image that reach so much further than what is
    used of them agree in every bit.

    Parameters
    ----------
    pixels : ndarray of float32
        `band x y x x`, in network units; values of missing pixels do not count.
    absent : ndarray of bool
        `y x x`.
    """
    bands, height, width = pixels.shape
    # A frame of unknown pixels, so that every pixel has 8 neighbours; flat, so that only what is missing costs.
    known = np.pad(~absent, 1).ravel()
    values = np.pad(np.where(absent, np.float32(0), pixels), ((0, 0), (1, 1), (1, 1))).reshape(bands, -1)
    steps = [dy * (width + 2) + dx for dy, dx in _NEIGHBOURS]
    inside = np.pad(absent, 1).ravel()
    front = np.flatnonzero(inside & _beside(known.reshape(height + 2, -1)).ravel())
    for _ in range(REACH):
        if not front.size:
            break
        total, count = np.zeros((bands, front.size), np.float32), np.zeros(front.size, np.float32)
        for step in steps:
            total += values[:, front + step]
            count += known[front + step]
        values[:, front] = total / count
        known[front] = True
        around = np.unique(np.concatenate([front + step for step in steps]))
        front = around[inside[around] & ~known[around]]
    values[:, ~known] = _FAR
    return values.reshape(bands, height + 2, width + 2)[:, 1:-1, 1:-1]


def _beside(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a pixel or one of its neighbours is known; of what has an unknown frame."""
    rows = known.copy()
    rows[1:] |= known[:-1]
    rows[:-1] |= known[1:]
    found = rows.copy()
    found[:, 1:] |= rows[:, :-1]
    found[:, :-1] |= rows[:, 1:]
    return found
