"""Philox 4x64-10, a counter-based random number generator, in integer arithmetic of torch, on any device.

Ten rounds of a bijection of 256-bit counters, chosen by a 128-bit key: each output block is a pure function of key and
counter. NumPy's `numpy.random.Philox` is the same generator, and faster on a CPU. Words are int64 tensors with the bits
of unsigned numbers; sums and products are modulo 2^64 either way.

References
----------
J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011,
doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10
_LOW = 0xFFFFFFFF


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Return the four words of output blocks.

    Parameters
    ----------
    counter, key : tuples of Tensor
        Four and two words, least significant first; int64 tensors whose shapes broadcast.

    Returns
    -------
    tuple of Tensor
        Four words, int64, of the common shape.
    """
    a, b, c, d = counter
    one, two = key
    for i in range(_ROUNDS):
        high_a, low_a = _product(_MULTIPLIERS[0], a)
        high_c, low_c = _product(_MULTIPLIERS[1], c)
        a, b, c, d = high_c ^ b ^ one, low_c, high_a ^ d ^ two, low_a
        if i + 1 < _ROUNDS:
            one, two = one + signed(_WEYL[0]), two + signed(_WEYL[1])
    return a, b, c, d


def signed(word: int) -> int:
    """Return the signed number with the bits of an unsigned one of 64 bits."""
    return word - (1 << 64) if word >> 63 else word


def _product(constant: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the high and the low word of ``constant * x``, from products of 32-bit halves."""
    above, below = constant >> 32, constant & _LOW
    high, low = _upper(x), x & _LOW
    middle = high * below + _upper(low * below)
    cross = low * above + (middle & _LOW)
    return high * above + _upper(middle) + _upper(cross), x * signed(constant)


def _upper(x: Tensor) -> Tensor:
    """Return the upper half of words as a number, as an unsigned shift does."""
    return (x >> 32) & _LOW
