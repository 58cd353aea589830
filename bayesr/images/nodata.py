"""Missing pixels: where they are, and what replaces them in the network's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 32
"""Distance in pixels up to which missing pixels are filled from data."""
_FAR = np.float32(0.5)
"""Value of farther missing pixels, in network units."""
_NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


def is_missing(pixels: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Return where any band of `pixels`, `band x y x x`, has the value `nodata`: an array `y x x`."""
    missing: NDArray[np.bool_]
    if np.isnan(nodata):
        missing = np.isnan(pixels).any(0)
    elif pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            marker = pixels.dtype.type(nodata)  # in the pixels' type: 0.1 in single precision is not 0.1
        missing = (
            (pixels == marker).any(0) if np.isfinite(marker) == np.isfinite(nodata) else np.zeros_like(pixels[0], bool)
        )
    else:
        missing = (pixels == nodata).any(0)
    return missing


def filled(pixels: NDArray[np.float32], absent: NDArray[np.bool_]) -> NDArray[np.float32]:
    r"""Fill missing pixels from data around them.

    Each of `REACH` passes sets every missing pixel with known neighbours, of 8, to their mean,

    .. math:: x_p = \frac{1}{|K_p|} \sum_{q \in K_p} x_q,

    and counts it as known in the next pass. Pixels that are unknown after the last pass become 0.5. So a pixel depends
    on pixels at most `REACH` away, and the order of the sum is fixed: windows of one image give identical bits if they
    extend `REACH` pixels beyond the part that is used.

    Parameters
    ----------
    pixels : ndarray of float32
        `band x y x x` in network units; values of missing pixels are ignored.
    absent : ndarray of bool
        Missing pixels, `y x x`.
    """
    bands, height, width = pixels.shape
    # A frame of unknown pixels gives every pixel 8 neighbours; flat arrays limit the cost to missing pixels.
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
    """Return where a pixel or a neighbour is known; the frame of `known` is unknown."""
    rows = known.copy()
    rows[1:] |= known[:-1]
    rows[:-1] |= known[1:]
    beside = rows.copy()
    beside[:, 1:] |= rows[:, :-1]
    beside[:, :-1] |= rows[:, 1:]
    return beside
