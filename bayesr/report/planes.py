"""Maps as numbers in a page: rounded to a stated step, compressed without further loss, and read back by `codec.js`.

Not as PNG through a canvas: that holds 8 bits, and browsers that guard against fingerprinting add noise to what is read
from one. The step is the map's own, so that noise which nobody can read takes no room.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Codes = NDArray[np.uint16]

_MOST = 65534
"""The largest code of a value; 0 is NaN."""
_STRIPS, _ROWS = 8, 24  # of larger maps, what their size is estimated from


@dataclass(frozen=True)
class Plane:
    """A map, and how finely it is to be kept.

    ``code = 1 + round((t - low) / step)``, where t is the value v, or ``sign(v) sqrt(|v|)`` of variances: a step of the
    root is as fine for small ones as for large ones, and is in the units of the image.

    Attributes
    ----------
    values : ndarray
        `band x y x x`, NaN where missing.
    step : float
        In the units of t. It grows where the range would not fit into 16 bits.
    root : bool
        Whether t is the root.
    """

    values: Array
    step: float
    root: bool = False

    @property
    def scaled(self) -> Array:
        """t, in double precision."""
        values = self.values.astype(np.float64)
        found: Array = np.sign(values) * np.sqrt(np.abs(values)) if self.root else values
        return found

    def coarser(self, times: float) -> Plane:
        """The same map with steps so many times as large."""
        return replace(self, step=self.step * times)

    def codes(self) -> tuple[Codes, float, float]:
        """The codes, `low` and the step that was used."""
        t = self.scaled
        known = np.isfinite(t)
        if not known.any():
            return np.zeros(t.shape, np.uint16), 0.0, self.step
        low, high = float(t[known].min()), float(t[known].max())
        step = max(self.step, (high - low) / _MOST)
        codes = np.zeros(t.shape, np.uint16)
        codes[known] = 1 + np.rint((t[known] - low) / step).astype(np.uint16)
        return codes, low, step

    def bits(self) -> float:
        """About how much it will take: the entropy of its residuals, or of those in some of its rows."""
        height = self.values.shape[1]
        starts = range(0, height, max(_ROWS, height // _STRIPS))
        few = [self.values[:, start : start + _ROWS] for start in starts]
        counts = np.zeros(2**16, np.int64)
        for strip in few:
            residuals = _residuals(replace(self, values=strip).codes()[0])
            counts += np.bincount(residuals[:, min(1, len(strip[0]) - 1) :].ravel(), minlength=2**16)
        share = counts[counts > 0] / counts.sum()
        return float(-(share * np.log2(share)).sum() * self.values.size)

    def encoded(self) -> dict[str, Any]:
        """What `codec.js` reads: the residuals' high bytes, then their low ones, deflated, in base 64."""
        codes, low, step = self.codes()
        residuals = _residuals(codes)
        deflate = zlib.compressobj(6, strategy=zlib.Z_RLE)  # noise repeats nothing: 5 times as fast, and smaller
        parts = ((residuals >> 8).astype(np.uint8), residuals.astype(np.uint8))
        packed = b"".join([*(deflate.compress(part.tobytes()) for part in parts), deflate.flush()])
        return {
            "shape": list(codes.shape),
            "low": low,
            "step": step,
            "root": self.root,
            "data": base64.b64encode(packed).decode("ascii"),
        }


def decoded(plane: dict[str, Any]) -> Array:
    """The map that a page shows, float64: what `codec.js` computes of `Plane.encoded`."""
    bands, height, width = plane["shape"]
    high, low = np.frombuffer(zlib.decompress(base64.b64decode(plane["data"])), np.uint8).reshape(
        2, bands, height, width
    )
    folded = high.astype(np.int64) << 8 | low
    residuals = (folded >> 1) ^ -(folded & 1)
    codes = np.zeros((bands, height + 1, width + 1), np.int64)  # a border of zeros above and to the left
    for y in range(height):
        for x in range(width):
            guess = _guess(codes[:, y + 1, x], codes[:, y, x + 1], codes[:, y, x])
            codes[:, y + 1, x + 1] = guess + residuals[:, y, x] & 0xFFFF
    inner = codes[:, 1:, 1:]
    t = np.where(inner > 0, plane["low"] + (inner - 1) * plane["step"], np.nan)
    found: Array = np.sign(t) * t**2 if plane["root"] else t
    return found


def _guess(left: Array, above: Array, corner: Array) -> Array:
    """The median of left, above and left + above - corner, which follows edges.

    References
    ----------
    M. J. Weinberger, G. Seroussi, G. Sapiro, "The LOCO-I lossless image compression algorithm", 2000,
    doi:10.1109/83.855427.
    """
    low, high = np.minimum(left, above), np.maximum(left, above)
    guess: Array = np.clip(left + above - corner, low, high)
    return guess


def _residuals(codes: Codes) -> Codes:
    """Code minus guess modulo 2^16, folded so that small ones of either sign are small: 0, -1, 1, -2, ..."""
    padded = np.pad(codes.astype(np.int64), ((0, 0), (1, 0), (1, 0)))
    guess = _guess(padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1])
    signed = (padded[:, 1:, 1:] - guess).astype(np.int16).astype(np.int64)
    return ((signed << 1) ^ (signed >> 15)).astype(np.uint16)
