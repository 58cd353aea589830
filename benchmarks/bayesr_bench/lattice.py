r"""Whether images show the lattice of the input's pixels: by steps between neighbours, and by power.

A network that makes ``s x s`` pixels from each input pixel can leave a pattern of period s, which real images do not
have. Two kinds of it are measured. The **ratio of steps** finds edges at the borders of input pixels::

    ratio = mean |x(p + 1) - x(p)| over pairs across a border / the same over pairs inside an input pixel

The **power** finds any pattern of period s, as dots in a smooth region. In windows of 32 x 32 pixels, power is averaged
over the lattice's frequencies: all multiples of 1/s cycles per pixel along both axes but the mean, of which there are
s^2 - 1. Textures have power at all frequencies. So the *prominence* of the lattice in a window compares its power with
that of frequencies nearby, of the same texture::

    prominence = mean power at the lattice's frequencies / (1 + mean power around them)

Around a frequency are those at a distance of 3 steps of 1/32 cycles per pixel, along at least one axis, and at most 3
along the other one. The 1, in squared grey levels, stands for patterns that are too weak to be seen. White noise and
textures have a prominence of about 1. Both measures of power are taken at the 99th percentile over windows, since
patterns may be rare, and over those of the truth, since real images have edges and repeated structures.

Windows are weighted by Hann's function: of the steps at the borders of a plain window, power leaks along the axes,
where most of the lattice's frequencies are. Hann's function keeps it within 1/32 cycles per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from bayesr.scoring.diagnostics import ratio
from bayesr_bench.spectra import Array

WINDOW, STEPS = 32, 8
"""Side of the windows, in pixels: the next multiple of the scale factor, and at least 8 input pixels, which is the
number of steps of frequency from one of the lattice's frequencies to the next one."""
HOP = 16
"""Distance of neighbouring windows, in pixels: windows overlap by half, so that each pattern is near a middle."""
PERCENTILE = 99
RESAMPLED = 200
"""Bootstrap samples of the images, for the standard errors."""
_NEAR = 3
_SEEN = 1.0

Doubles = NDArray[np.float64]


class Power(NamedTuple):
    """Power of the windows of an image, in squared grey levels.

    Attributes
    ----------
    lattice : ndarray
        Mean power at the lattice's frequencies, of shape ``windows``.
    around : ndarray
        Mean power around these frequencies, of shape ``windows``.
    """

    lattice: Doubles
    around: Doubles

    @property
    def prominence(self) -> Doubles:
        """The lattice's power over the power around it."""
        return self.lattice / (_SEEN + self.around)


def step_ratio(images: Array, scale: int) -> float:
    """Return the mean absolute step across borders of input pixels over that inside them, along both axes.

    Parameters
    ----------
    images : ndarray
        Of shape ``... x y x x``, whose pixel (0, 0) is the corner of an input pixel.
    scale : int
        Side of an input pixel, in pixels; at least 2.

    Returns
    -------
    float
        About 1 for images without a lattice; infinite if there are no steps inside input pixels; NaN if there are no
        steps at all.
    """
    across, inside = [], []
    for axis in (-2, -1):
        steps = np.abs(np.diff(images.astype(np.float32, copy=False), axis=axis))
        last = np.arange(1, steps.shape[axis] + 1) % scale == 0
        across.append(np.compress(last, steps, axis).ravel())
        inside.append(np.compress(~last, steps, axis).ravel())
    a, b = (np.concatenate(steps).mean(dtype=np.float64) for steps in (across, inside))
    return float(ratio(a, b, np.nan))


def power(images: Array, scale: int) -> Power:
    """Return the power of all windows of images, averaged over bands.

    Windows have unit energy: white noise has its variance at every frequency. In a window of 32 x 32 pixels, a cosine
    of amplitude a has the power ``114 a^2`` at its frequency and at the opposite one.

    Parameters
    ----------
    images : ndarray
        Of shape ``n x band x y x x``, in grey levels.
    scale : int
        Period of the lattice, in pixels.

    Returns
    -------
    Power
        Of the windows of all images; empty if they are smaller than a window.
    """
    side = max(-(-WINDOW // scale), STEPS) * scale
    weights, lattice, around = _weights(side, scale)
    found = []
    for image in images:
        if min(image.shape[-2:]) < side:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float32), (side, side), (-2, -1))
        windows = windows[:, ::HOP, ::HOP].reshape(len(image), -1, side, side)
        middle = (windows * weights).sum((-2, -1), keepdims=True) / weights.sum()
        spectrum = np.abs(fft.fft2((windows - middle) * weights)) ** 2
        spectrum = spectrum.mean(0, dtype=np.float64).reshape(-1, side * side)
        found.append((spectrum @ lattice, spectrum @ around))
    return Power(
        *(np.concatenate([np.empty(0), *parts]) for parts in (zip(*found, strict=True) if found else ((), ())))
    )


@lru_cache
def _weights(side: int, scale: int) -> tuple[NDArray[np.float32], Doubles, Doubles]:
    """Return the window, of unit energy, and the weights of frequencies in `Power.lattice` and `Power.around`."""
    hann = np.hanning(side + 1)[:-1]
    window = np.outer(hann, hann)
    # How far each frequency is from the lattice's nearest one along each axis, in steps.
    step = side // scale
    away = np.abs((np.arange(side) + step // 2) % step - step // 2)
    distance = np.maximum.outer(away, away)
    of_mean = np.maximum.outer(*2 * [np.minimum(np.arange(side), side - np.arange(side))])
    lattice, around = ((distance == d) & (of_mean > d) for d in (0, _NEAR))
    return (window / np.sqrt(np.sum(window**2))).astype(np.float32), *(m.ravel() / m.sum() for m in (lattice, around))


def percentile_ratio(images: Sequence[Doubles], truth: Sequence[Doubles], seed: int = 0) -> tuple[float, float]:
    """Return the 99th percentile over the windows of images, over that of the truth's windows.

    Parameters
    ----------
    images, truth : sequence of ndarray
        For each image a value per window: `Power.lattice` or `Power.prominence`.
    seed : int
        Seed of the resampling.

    Returns
    -------
    value, error : float
        The ratio, and its standard error by resampling images. NaN if no image has a window; without error for a
        single image.
    """
    usable = [k for k, windows in enumerate(truth) if windows.size]

    def value(which: Sequence[int]) -> float:
        a, b = (np.percentile(np.concatenate([part[k] for k in which]), PERCENTILE) for part in (images, truth))
        return float(ratio(a, b, np.nan))

    if len(usable) < 2:
        return value(usable) if usable else np.nan, np.nan
    random = np.random.default_rng(seed)
    drawn = (random.choice(usable, len(usable)) for _ in range(RESAMPLED))
    return value(usable), float(np.std([value(list(which)) for which in drawn], ddof=1))
