"""Proper scoring rules of an ensemble against the truth, as functions of plain arrays.

Members are ``n x ... x band x y x x``, and the truth is ``... x band x y x x``; leading dimensions are scenes. All
estimators are fair: their expectation does not depend on n, so scores for different n can be compared. No score depends
on the order of the members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scoringrules
from numpy.typing import NDArray

Array = NDArray[Any]
Doubles = NDArray[np.float64]

_BATCH = 2**18
"""Number of values of an array that fits in a processor's cache."""


def fair_crps(members: Array, truth: Array) -> float:
    r"""Return the fair continuous ranked probability score (CRPS), averaged over pixels.

    ``1/n sum_i |x_i - x|  -  1/(2 n (n-1)) sum_{i,j} |x_i - x_j|``

    Parameters
    ----------
    members : ndarray
        ``n x ...``. With n = 1 the score is the absolute error.
    truth : ndarray
        ``...``.

    Returns
    -------
    float
        In the units of the image, 0 or more in expectation; lower is better.

    References
    ----------
    C. Ferro, "Fair scores for ensemble forecasts", 2014, doi:10.1002/qj.2270.
    """
    return float(np.mean(crps(members, truth)))


def crps(members: Array, truth: Array) -> Doubles:
    """Return the fair CRPS of each pixel, in the shape of the truth; see `fair_crps`."""
    x, y = np.reshape(members, (len(members), -1)), np.ravel(truth)
    out = np.empty(y.size)
    for part in batches(y.size, _BATCH // len(x)):
        # Differences from the truth keep the precision of sums of nearly equal numbers.
        error = np.subtract(x[:, part], y[part], dtype=np.float64).T
        if len(x) == 1:
            out[part] = np.abs(error[:, 0])
        else:  # probability-weighted moments give the same fair estimator in n log n operations
            zero = np.zeros(len(error))
            out[part] = scoringrules.crps_ensemble(zero, error, estimator="pwm", backend="numpy")
    return out.reshape(np.shape(truth))


def pit(members: Array, truth: Array, uniform: Array, quantisation_step: float = 0.0) -> Doubles:
    """Return the randomised probability integral transform (PIT) of each pixel.

    ``(#{x_i < x} + u (1 + #{x_i = x})) / (n + 1)``

    It is uniform on [0, 1] if truth and members have the same distribution. Its histogram in n + 1 bins is the rank
    histogram.

    Parameters
    ----------
    members : ndarray
        ``n x ...``.
    truth : ndarray
        ``...``.
    uniform : ndarray
        Random numbers u in [0, 1), ``...``.
    quantisation_step : float
        Step to which members are rounded, as the truth was; 0 for none. Ties, also at the bounds of an integer type,
        are then broken at random.

    Returns
    -------
    ndarray
        ``...``, in [0, 1].

    References
    ----------
    C. Czado, T. Gneiting, L. Held, "Predictive model assessment for count data", 2009,
    doi:10.1111/j.1541-0420.2009.01191.x.
    """
    x, y, u = np.reshape(members, (len(members), -1)), np.ravel(truth), np.ravel(uniform)
    out = np.empty(y.size)
    for part in batches(y.size, _BATCH // len(x)):
        drawn = np.rint(x[:, part] / quantisation_step) * quantisation_step if quantisation_step else x[:, part]
        below, equal = (drawn < y[part]).sum(0), (drawn == y[part]).sum(0)
        out[part] = (below + u[part] * (equal + 1)) / (len(x) + 1)
    return out.reshape(np.shape(truth))


def energy_score(members: Array, truth: Array, patch: int = 8) -> float:
    r"""Return the fair energy score of patches of `patch x patch` pixels and all bands.

    The mean over patches that do not overlap of ``1/n sum_i |x_i - x|  -  1/(2 n (n-1)) sum_{i,j} |x_i - x_j|``, where
    the norm of a patch is its Euclidean norm divided by the root of its number of values.

    Parameters
    ----------
    members : ndarray
        ``n x ... x band x y x x``. With n = 1 the score is the norm of the error.
    truth : ndarray
        ``... x band x y x x``.
    patch : int
        Side of a patch, in pixels; see `patches`.

    Returns
    -------
    float
        In the units of the image.

    References
    ----------
    T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007,
    doi:10.1198/016214506000001437.
    """
    return float(np.mean(energy_scores(patches(members, patch), patches(truth, patch))))


def energy_scores(members: Array, truth: Array) -> Doubles:
    """Return the fair energy score of each patch, ``...``.

    Parameters
    ----------
    members : ndarray
        ``n x ... x values``, see `patches`.
    truth : ndarray
        ``... x values``.
    """
    n, values = len(members), members.shape[-1]
    estimator = "fair" if n > 1 else "nrg"

    flat_truth, flat = truth.reshape(-1, values), members.reshape(n, -1, values)
    out = np.empty(len(flat_truth))
    for part in batches(len(out), _BATCH // (n * n * values)):
        x = np.ascontiguousarray(flat[:, part].swapaxes(0, 1), np.float64)
        y = flat_truth[part].astype(np.float64)
        out[part] = scoringrules.es_ensemble(y, x, estimator=estimator, backend="numpy")
    return out.reshape(truth.shape[:-1]) / float(np.sqrt(values))


def variogram_score(members: Array, truth: Array, patch: int = 8, p: float = 0.5) -> float:
    r"""Return the fair variogram score of order p of patches of `patch x patch` pixels and all bands.

    The mean over pairs of values (a, b) of ``(|x_a - x_b|^p - 1/n sum_i |x_ia - x_ib|^p)^2 - s^2/n``, where s^2 is the
    variance (ddof = 1) of ``|x_ia - x_ib|^p`` over members. It is sensitive to wrong correlations, which hardly change
    the energy score, and insensitive to an error that all values share.

    Parameters
    ----------
    members : ndarray
        ``n x ... x band x y x x``. With n = 1 nothing is subtracted.
    truth : ndarray
        ``... x band x y x x``.
    patch : int
        Side of a patch, in pixels; see `patches`.
    p : float
        Order, above 0.

    Returns
    -------
    float
        In the units of the image to the power of 2p; NaN where a patch is a single value.

    References
    ----------
    M. Scheuerer, T. M. Hamill, "Variogram-based proper scoring rules for probabilistic forecasts of multivariate
    quantities", 2015, doi:10.1175/MWR-D-14-00269.1.
    """
    return float(np.mean(variogram_scores(patches(members, patch), patches(truth, patch), p)))


def variogram_scores(members: Array, truth: Array, p: float = 0.5) -> Doubles:
    """Return the fair variogram score of each patch, ``...``; see `variogram_score`.

    The values are those of `scoringrules`, which needs memory and time for n^2 values^2 numbers.

    Parameters
    ----------
    members : ndarray
        ``n x ... x values``, see `patches`.
    truth : ndarray
        ``... x values``.
    p : float
        Order, above 0.
    """
    n, values = len(members), members.shape[-1]
    x = np.moveaxis(members, 0, -1).reshape(-1, values * n)
    y = truth.reshape(-1, values)
    weights, buffer, out = np.full(n, 1 / n), np.empty(values * n), np.empty(len(y))
    for k in range(len(y)):
        one, real, total = x[k].astype(np.float64), y[k].astype(np.float64), 0.0
        for lag in range(1, values):  # all pairs of values at a distance of `lag`
            powers = np.subtract(one[lag * n :], one[: -lag * n], out=buffer[: (values - lag) * n])
            np.abs(powers, out=powers)
            np.sqrt(powers, out=powers) if p == 0.5 else np.power(powers, p, out=powers)
            mean = powers.reshape(-1, n) @ weights
            error = np.abs(real[lag:] - real[:-lag]) ** p - mean
            total += error @ error
            if n > 1:
                total -= (powers @ powers / n - mean @ mean) / (n - 1)
        out[k] = 2 * total / (values * (values - 1)) if values > 1 else np.nan
    return out.reshape(truth.shape[:-1])


def patches(images: Array, size: int) -> Array:
    """Cut images ``... x band x y x x`` into patches that do not overlap, ``... x count x values``.

    A smaller image is one patch. Rows and columns at the end that do not fill a patch are left out.
    """
    *lead, bands, height, width = images.shape
    tall, wide = min(size, height), min(size, width)
    rows, columns = height // tall, width // wide
    cut = images[..., : rows * tall, : columns * wide].reshape(*lead, bands, rows, tall, columns, wide)
    at = len(lead)
    cut = np.moveaxis(cut, (at + 1, at + 3), (at, at + 1))
    return cut.reshape(*lead, rows * columns, bands * tall * wide)


def batches(count: int, size: int) -> Iterator[slice]:
    """Return slices of length max(1, size) that cover `count` values."""
    return (slice(start, start + max(1, size)) for start in range(0, count, max(1, size)))
