"""What a circular aperture passes: its transfer function, and the point-spread function at pixels."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

RADIUS = 0.61
"""The first zero of an Airy function, in wavelengths over the numerical aperture."""
TAPER = 2.0, 4.0
"""Airy radii between which a point-spread function is brought to zero."""


def transfer_function(v: Doubles) -> Doubles:
    """``2/pi (arccos v - v sqrt(1 - v^2))`` of a circular aperture, zero from ``v = 1``, its cutoff, on."""
    v = np.minimum(np.abs(v), 1.0)
    return 2 / np.pi * (np.arccos(v) - v * np.sqrt(1 - v * v))


@lru_cache(maxsize=64)
def tapered_airy(na: float, wavelength: float, pixel: float, sharp_na: float | None) -> Doubles:
    """The point-spread function at pixels, `odd x odd`, of sum one, tapered to zero between 2 and 4 Airy radii.

    Aperture, wavelength, pixel and the aperture of the sharper image are as of `bayesr.observe.airy`. An Airy
    function never ends; one that is cut would ring.
    """
    edge = TAPER[1] * RADIUS * wavelength / (na * pixel)
    radius = max(1, math.ceil(edge))
    count = 2 ** math.ceil(math.log2(max(256, 8 * radius)))  # its periods are so far that their heads do not count
    frequency = np.fft.fftfreq(count, pixel)
    frequency = np.hypot(frequency[:, None], frequency)
    transfer = transfer_function(frequency * wavelength / (2 * na))
    if sharp_na is not None:
        seen = transfer > 0
        transfer[seen] /= transfer_function(frequency[seen] * wavelength / (2 * sharp_na))
    steps = np.arange(-radius, radius + 1)
    found = np.fft.ifft2(transfer).real[np.ix_(steps, steps)]
    start, end = (factor / TAPER[1] * edge for factor in TAPER)
    distance = np.hypot(steps[:, None], steps)
    found *= np.cos(np.pi / 2 * np.clip((distance - start) / (end - start), 0, 1)) ** 2
    kernel: Doubles = found / found.sum()
    return kernel
