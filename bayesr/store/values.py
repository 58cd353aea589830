"""The stored form of numbers: equal numbers have equal bytes, and only significant bits are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = {4: 23, 8: 52}
"""Explicit bits of a significand, by the bytes of a number."""


def stored_form(values: NDArray[np.floating], bits: int | None = None) -> NDArray[np.floating]:
    """Return values contiguous, little-endian and rounded, with one kind of NaN; not copied if nothing changes.

    `bits` of the significand are kept, by default all. Rounding is to nearest, ties to even.
    """
    size = values.dtype.itemsize
    stored: NDArray[np.floating] = np.ascontiguousarray(values, f"<f{size}")
    rounding = bits is not None and bits < BITS[size]
    if rounding or np.isnan(stored.min()):
        stored = np.array(stored)
        if bits is not None and rounding:
            whole, drop = np.dtype(f"<u{size}").type, BITS[size] - bits
            raw = stored.view(f"<u{size}")
            raw += whole((1 << (drop - 1)) - 1) + ((raw >> whole(drop)) & whole(1))
            raw &= ~whole((1 << drop) - 1)
        stored[np.isnan(stored)] = np.nan
    return stored
