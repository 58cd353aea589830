"""Scores of the mean, the intervals and the standard deviation, which need no members."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from bayesr.scoring import diagnostics
from bayesr.scoring.case import Case

Doubles = NDArray[np.float64]

ACTIVITY_BINS, SPREAD_BINS = 10, 20
REMOVED = np.arange(100) / 100
"""Shares of pixels that sparsification removes."""


def score_mean(case: Case) -> dict[str, Any]:
    """Compute PSNR, SSIM, mean absolute error and z-scores of the mean."""
    mean = np.where(case.valid, case.ds["mean"].to_numpy(), np.nan).astype(np.float64)
    std = case.ds["std"].to_numpy()
    error = case.truth - mean
    zscore = diagnostics.ratio(error, std)
    zscore[np.isinf(zscore)] = np.nan  # one infinite value would make every average infinite
    similarity, margin = math.nan, 5
    if min(case.valid.shape) > 2 * margin:
        low = case.value_range[0]  # 0 for 8 bits; squares of large values would lose all digits
        _, local = structural_similarity(
            mean - low, case.truth - low, channel_axis=0, data_range=case.peak, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        local = local[:, margin:-margin, margin:-margin]
        similarity = diagnostics.mean(local[np.isfinite(local)])
    return {
        "psnr": diagnostics.psnr(float(np.nanmean(error**2)), case.peak),
        "ssim": similarity,
        "mae": float(np.nanmean(np.abs(error))),
        "zscore": zscore.astype(np.float32),
    }


def score_intervals(case: Case, half_widths: Mapping[float, float | None]) -> dict[str, Any]:
    """Compute the empirical coverage and the width of the interval at each level.

    `half_widths` holds half of each width, in standard deviations; None takes the interval of the product.
    """
    truth = case.truth[:, case.valid]
    mean, std, lower, upper = (case.valid_pixels(name) for name in ("mean", "std", "lower", "upper"))
    inside = diagnostics.inside(truth, lower, upper)
    covered = np.full(case.truth.shape, np.nan, np.float32)
    covered[:, case.valid] = inside
    coverage, width = [], []
    for half in half_widths.values():
        low, high = lower, upper
        if half is not None:
            margin = half * std + case.quantisation_step / 2
            low, high = mean - margin, mean + margin
            if case.bounds is not None:
                low, high = np.maximum(low, case.bounds[0]), np.minimum(high, case.bounds[1])
        coverage.append(diagnostics.coverage(truth, low, high))
        width.append(diagnostics.interval_width(low, high))

    activity = diagnostics.activity(np.where(case.valid, case.ds["mean"].to_numpy(), np.nan), case.valid)[case.valid]
    edges = np.quantile(activity, np.linspace(0, 1, 2 * ACTIVITY_BINS + 1))
    where = np.searchsorted(edges[2:-1:2], activity, side="right")
    count, hits = (np.bincount(where, w, ACTIVITY_BINS) for w in (None, inside.mean(0)))
    bottom, top = case.value_range if case.bounds is None else case.bounds
    saturated = (truth <= bottom) | (truth >= top)
    return {
        "covered": covered,
        "coverage": np.array(coverage),
        "width": np.array(width),
        "level": np.array(list(half_widths), float),
        "coverage_by_activity": diagnostics.ratio(hits, count, np.nan),
        "activity": edges[1::2],
        "activity_lower": edges[:-1:2],
        "activity_upper": edges[2::2],
        "coverage_saturated": diagnostics.mean(inside[saturated]),
        "coverage_unsaturated": diagnostics.mean(inside[~saturated]),
    }


def score_std(case: Case) -> dict[str, Any]:
    """Compute the calibration error of `std` by spread, and sparsification curves."""
    std, error = case.valid_pixels("std"), case.truth[:, case.valid] - case.valid_pixels("mean")
    if not np.isfinite(std).all():  # n = 1
        bins, curve = np.full(SPREAD_BINS, np.nan), np.full(REMOVED.size, np.nan)
        curves = {f"sparsification_{k}{s}": curve for k in ("mae", "rmse") for s in ("", "_oracle")}
        return {
            "ence": math.nan,
            "bin_std": bins,
            "bin_rmse": bins,
            "ause_mae": math.nan,
            "ause_rmse": math.nan,
        } | curves
    predicted, found, ence = diagnostics.by_spread(std, error, case.n, SPREAD_BINS)
    out: dict[str, Any] = {"ence": ence, "bin_std": predicted, "bin_rmse": found}
    for name, loss, finish in (("mae", np.abs(error), np.asarray), ("rmse", error**2, np.sqrt)):
        curve, oracle = (finish(diagnostics.sparsification(key, loss, REMOVED)) for key in (std, loss))
        curve, oracle = (diagnostics.ratio(line, oracle[0], np.nan) for line in (curve, oracle))
        out |= {f"sparsification_{name}": curve, f"sparsification_{name}_oracle": oracle}
        out[f"ause_{name}"] = float(np.trapezoid(curve - oracle, REMOVED))
    return out
