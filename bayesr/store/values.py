"""Numbers as they are stored: so that equal ones are of equal bytes, and with the bits that are worth keeping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 23
"""Explicit bits of the significand of a single-precision number."""


def plain(values: NDArray[np.float32], bits: int | None = None) -> NDArray[np.float32]:
    """Contiguous, little-endian, rounded, and NaN of one kind; the values themselves where nothing is to be changed.

    Parameters
    ----------
    values : ndarray of float32
    bits : int, optional
        Significant bits that are kept, of `BITS`: to the nearest, ties to even. By default all.
    """
    found = np.ascontiguousarray(values, "<f4")
    rounding = bits is not None and bits < BITS
    if rounding or np.isnan(found.min()):  # else there is no reason to take memory
        found = np.array(found)
        if bits is not None and rounding:
            raw, drop = found.view("<u4"), BITS - bits
            raw += np.uint32((1 << (drop - 1)) - 1) + ((raw >> np.uint32(drop)) & np.uint32(1))
            raw &= np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
        found[np.isnan(found)] = np.nan
    return found
