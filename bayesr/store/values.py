"""The stored form of numbers: equal numbers have equal bytes, and only significant bits are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 23
"""Explicit bits of a single-precision significand."""


def plain(values: NDArray[np.float32], bits: int | None = None) -> NDArray[np.float32]:
    """Return values contiguous, little-endian and rounded, with one kind of NaN; not copied if nothing changes.

    `bits` of the significand are kept, by default all `BITS`. Rounding is to nearest, ties to even.
    """
    found = np.ascontiguousarray(values, "<f4")
    rounding = bits is not None and bits < BITS
    if rounding or np.isnan(found.min()):
        found = np.array(found)
        if bits is not None and rounding:
            raw, drop = found.view("<u4"), BITS - bits
            raw += np.uint32((1 << (drop - 1)) - 1) + ((raw >> np.uint32(drop)) & np.uint32(1))
            raw &= np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
        found[np.isnan(found)] = np.nan
    return found
