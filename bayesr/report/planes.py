"""Encoding of maps in a page: values are rounded to a stated step and compressed losslessly; `codec.js` decodes them.

PNG files are no alternative: they hold 8 bits, and browsers that guard against fingerprinting add noise to pixels read
from a canvas. Each map has its own step, so that unreadable noise takes no room.
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
_STRIPS, _ROWS = 8, 24  # the size of larger maps is estimated from so many strips of so many rows


@dataclass(frozen=True)
class Plane:
    """A map `band x y x x`, NaN where missing, and its quantisation, ``code = 1 + round((t - low) / step)``.

    t is the value v or, with `root`, for variances, ``sign(v) sqrt(|v|)``, whose step is as fine for small variances as
    for large ones, and is in the units of the image. Where the range would not fit into 16 bits, the step is larger.
    """

    values: Array
    step: float
    root: bool = False

    @property
    def scaled(self) -> Array:
        """Return t in double precision."""
        values = self.values.astype(np.float64)
        t: Array = np.sign(values) * np.sqrt(np.abs(values)) if self.root else values
        return t

    def coarser(self, times: float) -> Plane:
        """Return the same map with a step that is `times` as large."""
        return replace(self, step=self.step * times)

    def codes(self) -> tuple[Codes, float, float]:
        """Return the codes, `low`, and the step that was used."""
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
        """Estimate the encoded size in bits from the entropy of the residuals in some rows."""
        height = self.values.shape[1]
        starts = range(0, height, max(_ROWS, height // _STRIPS))
        strips = [self.values[:, start : start + _ROWS] for start in starts]
        counts = np.zeros(2**16, np.int64)
        for strip in strips:
            residuals = _residuals(replace(self, values=strip).codes()[0])
            counts += np.bincount(residuals[:, min(1, len(strip[0]) - 1) :].ravel(), minlength=2**16)
        share = counts[counts > 0] / counts.sum()
        return float(-(share * np.log2(share)).sum() * self.values.size)

    def encoded(self) -> dict[str, Any]:
        """Return the encoded map for `codec.js`: high bytes of the residuals, then low bytes, deflated, in base 64."""
        codes, low, step = self.codes()
        residuals = _residuals(codes)
        deflate = zlib.compressobj(6, strategy=zlib.Z_RLE)  # 5 times as fast, and smaller: noise has no repetitions
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
    """Decode the result of `Plane.encoded` to float64, as `codec.js` does."""
    bands, height, width = plane["shape"]
    high, low = np.frombuffer(zlib.decompress(base64.b64decode(plane["data"])), np.uint8).reshape(
        2, bands, height, width
    )
    folded = high.astype(np.int64) << 8 | low
    residuals = (folded >> 1) ^ -(folded & 1)
    codes = np.zeros((bands, height + 1, width + 1), np.int64)  # a border of zeros above and to the left
    for y in range(height):
        for x in range(width):
            prediction = _predict(codes[:, y + 1, x], codes[:, y, x + 1], codes[:, y, x])
            codes[:, y + 1, x + 1] = prediction + residuals[:, y, x] & 0xFFFF
    inner = codes[:, 1:, 1:]
    t = np.where(inner > 0, plane["low"] + (inner - 1) * plane["step"], np.nan)
    values: Array = np.sign(t) * t**2 if plane["root"] else t
    return values


def _predict(left: Array, above: Array, corner: Array) -> Array:
    """Predict the median of left, above and left + above - corner, which preserves edges.

    M. J. Weinberger, G. Seroussi, G. Sapiro, "The LOCO-I lossless image compression algorithm", 2000,
    doi:10.1109/83.855427.
    """
    low, high = np.minimum(left, above), np.maximum(left, above)
    prediction: Array = np.clip(left + above - corner, low, high)
    return prediction


def _residuals(codes: Codes) -> Codes:
    """Return code minus prediction modulo 2^16, folded so that small residuals of either sign are small codes."""
    padded = np.pad(codes.astype(np.int64), ((0, 0), (1, 0), (1, 0)))
    prediction = _predict(padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1])
    signed = (padded[:, 1:, 1:] - prediction).astype(np.int16).astype(np.int64)
    return ((signed << 1) ^ (signed >> 15)).astype(np.uint16)
