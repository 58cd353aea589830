"""Cheap statistics of a low-resolution image that respond to blur, JPEG blocks and noise.

All are logarithms of powers, or their differences, in network units. The power of rounding to 8 bits is added before
the logarithm, so that structure below a grey level does not count and all values are finite. Images are sampled in at
most nine windows: this bounds the cost, and a statistic has the same meaning at all sizes.

References
----------
J. Immerkaer, "Fast noise variance estimation", 1996, doi:10.1006/cviu.1996.0060 (the filter for detail).
Z. Fan, R. de Queiroz, "Identification of bitmap compression history", 2003, doi:10.1109/TIP.2002.807361.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

SMALLEST = 32
"""Shortest side in pixels with meaningful statistics."""
_WINDOW, _WINDOWS = 128, 3
"""Side of a window in pixels, and most windows along an axis."""
_FLOOR = (1 / 255) ** 2 / 12
_RADII = np.array([1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4])
"""Edges of the bands of the radial spectrum in cycles per pixel; the last band includes the corners."""
_DETAIL_AT, _SLOPE_AT, _COLOUR_AT = (5, 25, 50, 75, 95), (5, 50, 95), (10, 50, 90)

POWER = tuple(f"power{i}" for i in range(len(_RADII) - 1))
"""Mean power of the luma in a band of the radial spectrum."""
DETAIL = tuple(f"detail{q}" for q in _DETAIL_AT)
"""Percentiles over 5 x 5 neighbourhoods of the power of second differences along both axes, which preserve the
variance of white noise and suppress most structure."""
SLOPE = tuple(f"slope{q}" for q in _SLOPE_AT)
"""Percentiles of the squared gradient over these neighbourhoods."""
WHITENESS = ("whiteness",)
"""Median over neighbourhoods of detail to variance: 1 for white noise, small for smooth structure."""
BLOCKS = ("block_score", "block_depth", "block_level")
"""Mean log magnitude of the fine 8 x 8 cosine coefficients on the grid where it is smallest: its difference from the 63
shifted grids in their standard deviations, this difference, and the value."""
COLOUR = tuple(f"colour{q}" for q in _COLOUR_AT)
"""Percentiles of detail not common to all bands; only for several bands."""

_FINE = (np.cos(np.pi * np.outer(2 * np.arange(8) + 1, np.arange(4, 8)) / 16) / 2).astype(np.float32)
"""The four finest orthonormal cosines, `8 x 4`."""


def names(bands: int) -> tuple[str, ...]:
    """Return the names of the values of `statistics`, in order."""
    return POWER + DETAIL + SLOPE + WHITENESS + BLOCKS + (COLOUR if bands > 1 else ())


def luma(pixels: Array) -> Array:
    """Compute the luma, `y x x`: Rec. 601 for three bands, as in JPEG, else the mean of the bands."""
    weights = np.array([0.299, 0.587, 0.114]) if len(pixels) == 3 else np.full(len(pixels), 1 / len(pixels))
    y: Array = np.tensordot(weights.astype(pixels.dtype), pixels, 1)
    return y


def statistics(pixels: Array) -> Array:
    """Compute the statistics of an image `band x y x x` in network units, in the order of `names`."""
    power, table, score, count = [], [], np.zeros((8, 8)), np.zeros((8, 8))
    for rows, columns in windows(*pixels.shape[1:]):
        part = np.asarray(pixels[:, rows, columns], np.float32)
        y = luma(part)
        y = y - y.mean()  # an offset makes means of squares inaccurate in single precision
        power.append(_spectrum(y))
        table.append(_local(y, part))
        small = _fine_coefficients(y)
        for phase in np.ndindex(8, 8):
            on_grid = small[(phase[0] - rows.start) % 8 :: 8, (phase[1] - columns.start) % 8 :: 8]
            score[phase] += on_grid.sum()
            count[phase] += on_grid.size
    detail, slope, variance, *colour = np.log(np.concatenate(table, 1) + _FLOOR)
    phases = np.sort((score / np.maximum(count, 1)).ravel())
    depth = np.median(phases[1:]) - phases[0]
    return np.concatenate(
        [
            np.log(np.mean(power, 0) + _FLOOR),
            np.percentile(detail, _DETAIL_AT),
            np.percentile(slope, _SLOPE_AT),
            [np.median(detail - variance), depth / (phases[1:].std() + 1e-3), depth, phases[0]],
            *(np.percentile(values, _COLOUR_AT) for values in colour),
        ]
    )


def windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Return rows and columns of the windows to sample: at most nine, evenly spaced."""

    def along(size: int) -> list[slice]:
        count = min(_WINDOWS, -(-size // _WINDOW))
        starts = np.linspace(0, max(0, size - _WINDOW), count).astype(int)
        return [slice(int(start), min(int(start) + _WINDOW, size)) for start in starts]

    return ((rows, columns) for rows in along(height) for columns in along(width))


def _spectrum(y: Array) -> Array:
    """Compute the mean power of `y x x` under a Hann window in every radial band."""
    height, width = y.shape
    taper = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    power = np.abs(np.fft.fft2(y * taper)) ** 2 / np.sum(taper**2)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    ring = np.digitize(radius.ravel(), _RADII)
    count, total = (np.bincount(ring, weights, len(_RADII) + 1)[1:-1] for weights in (None, power.ravel()))
    mean: Array = total / count
    return mean


def _local(y: Array, pixels: Array) -> Array:
    """Compute local means of detail, squared gradient, variance and, for several bands, own detail."""
    across = y[:, :-2] - 2 * y[:, 1:-1] + y[:, 2:]
    detail = (across[:-2] - 2 * across[1:-1] + across[2:]) / 6
    inner = y[1:-1, 1:-1]
    slope = (y[1:-1, 2:] - y[1:-1, :-2]) ** 2 + (y[2:, 1:-1] - y[:-2, 1:-1]) ** 2
    rows = [_mean(detail**2), _mean(slope) / 4]
    rows.append(np.maximum(_mean(inner**2) - _mean(inner) ** 2, 0))
    if len(pixels) > 1:
        own = pixels - pixels.mean(0)
        across = own[:, :, :-2] - 2 * own[:, :, 1:-1] + own[:, :, 2:]
        own = (across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:]) / 6
        rows.append(_mean((own**2).sum(0) / (len(pixels) - 1)))
    return np.stack([row.ravel() for row in rows])


def _mean(x: Array) -> Array:
    """Compute the mean over every complete 5 x 5 neighbourhood."""
    from scipy.ndimage import uniform_filter  # start-up time

    mean: Array = uniform_filter(x, 5)[2:-2, 2:-2]
    return mean


def _fine_coefficients(y: Array) -> Array:
    """Compute the mean log magnitude of the fine cosine coefficients of the 8 x 8 block at every pixel."""
    rows = np.lib.stride_tricks.sliding_window_view(y, 8, 1) @ _FINE
    blocks = np.lib.stride_tricks.sliding_window_view(rows, 8, 0) @ _FINE
    mean: Array = np.log(np.abs(blocks) + np.float32(0.5 / 255)).mean((-1, -2))
    return mean
