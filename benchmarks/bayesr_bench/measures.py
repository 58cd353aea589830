"""Figures that tables share. Each is computed here and nowhere else in the benchmarks.

Members are arrays of shape ``n x ...``, all others have the shape ``...``, in grey levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr.observe import ForwardOperator
from bayesr_bench.record import error_of_mean

Array = NDArray[Any]
Scores = dict[str, list[float]]
"""Of every figure, one value an image."""

PEAK = 255.0
_LEAST = 1e-12
"""Of a squared error, so that its logarithm is finite."""


def inside(truth: Array, lower: Array, upper: Array) -> NDArray[np.bool_]:
    """Where ``lower <= truth <= upper``."""
    found: NDArray[np.bool_] = (truth >= lower) & (truth <= upper)
    return found


def coverage(truth: Array, lower: Array, upper: Array) -> float:
    """The empirical coverage of an interval: the share of values with ``lower <= truth <= upper``."""
    return float(np.mean(inside(truth, lower, upper)))


def width(lower: Array, upper: Array) -> float:
    """The mean width of an interval."""
    return float(np.mean(upper - lower))


def spread_skill(members: Array, mean: Array, truth: Array) -> float:
    """``sqrt((n + 1) / n * mean(s^2) / mean((truth - mean)^2))``, s^2 with ddof = 1; 1 is best.

    NaN if the mean has no error.

    References
    ----------
    V. Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?", 2014,
    doi:10.1175/JHM-D-14-0008.1.
    """
    n = len(members)
    variance = members.var(0, ddof=1, dtype=np.float64).mean() * (n + 1) / n
    error = np.mean((truth - mean).astype(np.float64) ** 2)
    return float(np.sqrt(variance / error)) if error else float("nan")


def observed_again(members: Array, operator: ForwardOperator) -> Array:
    """What the forward operator makes of members rounded to 8 bits.

    Parameters
    ----------
    members : ndarray
        Of shape ``n x band x y x x``.
    operator : Observation

    Returns
    -------
    ndarray
        Of shape ``n x band x y x x``, low resolution, not rounded.
    """
    rounded = np.clip(np.round(members), 0, PEAK).astype(np.float32)
    found: Array = operator.observe(torch.from_numpy(rounded)).numpy()
    return found


def lr_psnr(seen: Array, low: Array) -> float:
    """The PSNR of the worst member's low-resolution image, in dB.

    Parameters
    ----------
    seen : ndarray
        As of `observed_again`, ``n x band x y x x``.
    low : ndarray
        The low-resolution image, ``band x y x x``.
    """
    worst = np.max(np.mean((seen - low) ** 2, (1, 2, 3)))
    return float(10 * np.log10(PEAK**2 / max(worst, _LEAST)))


# -- over images ---------------------------------------------------------------------------------


def gathered(rows: Sequence[Mapping[str, float]]) -> Scores:
    """Rows of figures, one an image, as lists by figure."""
    scores: Scores = {}
    for row in rows:
        for figure, value in row.items():
            scores.setdefault(figure, []).append(value)
    return scores


def averages(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The average of each figure over images, and its standard error as ``FIGURE ±``; NaN values are left out."""
    row = {}
    for figure, values in scores.items():
        row[figure] = float(np.nanmean(values))
        row[f"{figure} ±"] = error_of_mean(values)
    return row


def differences(
    scores: Mapping[str, Sequence[float]],
    reference: Mapping[str, Sequence[float]] | None,
    name: str,
    figures: Sequence[str],
) -> dict[str, float]:
    """The mean difference from a reference, image by image, as ``FIGURE minus NAME's``, and its standard error.

    NaN without a reference.
    """
    row = {}
    for figure in figures:
        values = np.full(1, np.nan) if reference is None else np.subtract(scores[figure], reference[figure])
        row[f"{figure} minus {name}'s"] = float(values.mean())
        row[f"{figure} minus {name}'s ±"] = error_of_mean(values)
    return row
