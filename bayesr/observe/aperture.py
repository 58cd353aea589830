"""Transfer function and sampled point-spread function of a circular aperture."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

RADIUS = 0.61
"""First zero of the Airy function, in units of the wavelength over the numerical aperture."""
TAPER = 2.0, 4.0
"""Distances in Airy radii between which the point-spread function is tapered to zero."""


def transfer_function(v: Doubles) -> Doubles:
    """Compute ``2/pi (arccos v - v sqrt(1 - v^2))`` of a circular aperture, zero beyond its cutoff ``v = 1``."""
    v = np.minimum(np.abs(v), 1.0)
    return 2 / np.pi * (np.arccos(v) - v * np.sqrt(1 - v * v))


@lru_cache(maxsize=64)
def tapered_airy(na: float, wavelength: float, pixel: float, sharp_na: float | None) -> Doubles:
    """Return the point-spread function at pixels, `odd x odd`, with sum one, tapered between 2 and 4 Airy radii.

    See `bayesr.observe.airy` for the parameters. Truncating the infinite function would cause ringing.
    """
    edge = TAPER[1] * RADIUS * wavelength / (na * pixel)
    radius = max(1, math.ceil(edge))
    count = 2 ** math.ceil(math.log2(max(256, 8 * radius)))  # periodic copies are too far apart to matter
    frequency = np.fft.fftfreq(count, pixel)
    frequency = np.hypot(frequency[:, None], frequency)
    transfer = transfer_function(frequency * wavelength / (2 * na))
    if sharp_na is not None:
        passed = transfer > 0
        transfer[passed] /= transfer_function(frequency[passed] * wavelength / (2 * sharp_na))
    steps = np.arange(-radius, radius + 1)
    spread = np.fft.ifft2(transfer).real[np.ix_(steps, steps)]
    start, end = (factor / TAPER[1] * edge for factor in TAPER)
    distance = np.hypot(steps[:, None], steps)
    spread *= np.cos(np.pi / 2 * np.clip((distance - start) / (end - start), 0, 1)) ** 2
    kernel: Doubles = spread / spread.sum()
    return kernel
