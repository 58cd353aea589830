"""Figures that several tables use. Each is computed by one function, from `bayesr.scoring.diagnostics` if possible.

Members are arrays of shape ``n x ...``, and all others have the shape ``...``. Values are in grey levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr.observe import ForwardOperator
from bayesr.scoring import diagnostics
from bayesr.scoring.diagnostics import coverage, inside
from bayesr.scoring.diagnostics import interval_width as width
from bayesr_bench.record import error_of_mean
from bayesr_bench.spectra import rounded

__all__ = [
    "PEAK", "Scores", "averages", "averages_and_worst", "coverage", "differences", "gathered", "inside", "lr_psnr",
    "spread_skill", "width",
]  # fmt: skip

Array = NDArray[Any]
Scores = dict[str, list[float]]
"""For each figure, one value per image."""

PEAK = 255.0
_LEAST = 1e-12
"""Lower bound of squared errors, so that every PSNR is finite."""


def spread_skill(members: Array, mean: Array, truth: Array) -> float:
    """Return the ratio of the members' spread to the error of their mean, as `bayesr.scoring.diagnostics` defines it.

    Parameters
    ----------
    members : ndarray
        Of shape ``n x ...``.
    mean, truth : ndarray
        Of shape ``...``.

    Returns
    -------
    float
        1 is best; NaN if the mean has no error.
    """
    error = float(np.mean((truth - mean).astype(np.float64) ** 2))
    variance = float(members.var(0, ddof=1, dtype=np.float64).mean())
    return diagnostics.spread_skill(variance, error, len(members)) if error else float("nan")


def lr_psnr(members: Array, operator: ForwardOperator, low: Array, whole: bool = False) -> float:
    """Return the PSNR of the worst member's low-resolution image, in dB; at most 168 dB.

    Parameters
    ----------
    members : ndarray
        Of shape ``n x band x y x x``; they are rounded to 8 bits first.
    operator : ForwardOperator
    low : ndarray
        The given low-resolution image, ``y x x x band``.
    whole : bool
        Whether the members' low-resolution images are rounded to 8 bits, too.
    """
    observed: Array = operator.observe(torch.from_numpy(rounded(members).astype(np.float32))).numpy()
    observed = rounded(observed).astype(np.float32) if whole else observed
    errors = np.mean((observed - low.transpose(2, 0, 1)) ** 2, (1, 2, 3))
    return diagnostics.lr_psnr(np.maximum(errors, _LEAST), PEAK)


# -- over images ---------------------------------------------------------------------------------


def gathered(rows: Sequence[Mapping[str, float]]) -> Scores:
    """Return, for each figure, the list of its values in rows, one row per image."""
    scores: Scores = {}
    for row in rows:
        for figure, value in row.items():
            scores.setdefault(figure, []).append(value)
    return scores


def averages(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return each figure's average over images, and its standard error as ``FIGURE ±``. NaN values are left out.

    A figure of which all values are NaN is NaN.
    """
    row = {}
    for figure, values in scores.items():
        row[figure] = diagnostics.mean(np.asarray(values, float)[~np.isnan(values)])
        row[f"{figure} ±"] = error_of_mean(values)
    return row


def averages_and_worst(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the averages over images, and the LR-PSNR of the worst image, from one row per image."""
    scores = gathered(rows)
    worst = min(scores.pop("LR-PSNR"))
    return averages(scores) | {"LR-PSNR": worst}


def differences(
    scores: Mapping[str, Sequence[float]],
    reference: Mapping[str, Sequence[float]] | None,
    name: str,
    figures: Sequence[str],
) -> dict[str, float]:
    """Return the mean difference from a reference, image by image, as ``FIGURE minus NAME's``, and its standard error.

    Parameters
    ----------
    scores : mapping
    reference : mapping or None
        Scores of the reference on the same images. None makes all differences NaN.
    name : str
        Name of the reference.
    figures : sequence of str
        Figures to compare.
    """
    row = {}
    for figure in figures:
        values = np.full(1, np.nan) if reference is None else np.subtract(scores[figure], reference[figure])
        row[f"{figure} minus {name}'s"] = float(values.mean())
        row[f"{figure} minus {name}'s ±"] = error_of_mean(values)
    return row
