"""A product and its truth on one grid: all that `bayesr.score` computes of the two, as plain arrays by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from bayesr.images import Image
from bayesr.observe import ForwardOperator
from bayesr.scoring import diagnostics, figures

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Advance = Callable[[float], None]

PATCH = 8
"""Side of the patches of the energy and variogram scores."""
DISTANCE_PATCH = 16
"""Side of the patches of the diversity score."""
VARIOGRAM_PATCHES = 1024
"""The variogram score is of at most so many patches, drawn at random: it takes all pairs of their values."""
ACTIVITY_BINS, SPREAD_BINS = 10, 20
REMOVED = np.arange(100) / 100
"""Shares of pixels that the sparsification curves leave out."""
_WINDOW_BYTES = 2**27
"""Members are read in windows of at most so many bytes."""


@dataclass(frozen=True)
class Case:
    """A product and its truth.

    Attributes
    ----------
    ds : Dataset
        The product.
    truth : ndarray
        `band x y x x`, NaN where the truth or the product is missing.
    valid : ndarray of bool
        `y x x`: where neither is.
    bounds : tuple of float or None
        Of the truth's integer type, whose values are whole numbers; None for floats.
    value_range : tuple of float
        The product's.
    n : int
        Members.
    """

    ds: xr.Dataset
    truth: Doubles
    valid: NDArray[np.bool_]
    bounds: tuple[float, float] | None
    value_range: tuple[float, float]
    n: int

    @property
    def quantisation_step(self) -> float:
        """The step of the truth's values; 0 for floats."""
        return 0.0 if self.bounds is None else 1.0

    @property
    def peak(self) -> float:
        """The width of `value_range`."""
        return self.value_range[1] - self.value_range[0]

    def known(self, name: str) -> Doubles:
        """A variable of the product where there is truth, `band x pixel`."""
        return self.ds[name].to_numpy()[:, self.valid].astype(np.float64)

    def filled(self, image: Array) -> Doubles:
        """An image, `... x y x x`, in double precision, zero where it does not count."""
        return np.where(self.valid, image, 0).astype(np.float64)


# -- all members, window by window -------------------------------------------------------------


def windows(members: xr.DataArray) -> list[tuple[slice, slice]]:
    """Windows that cover the image, whole chunks where they fit in memory, and always whole patches."""
    n, bands, height, width = members.shape
    chunk = members.chunks[-1][0] if members.chunks else (members.encoding.get("chunks") or (512,))[-1]
    side = -(-int(chunk) // DISTANCE_PATCH) * DISTANCE_PATCH
    while side > DISTANCE_PATCH and 4 * n * bands * side**2 > _WINDOW_BYTES:
        side = -(-side // (2 * DISTANCE_PATCH)) * DISTANCE_PATCH
    tops, lefts = range(0, height, side), range(0, width, side)
    return [
        (slice(top, min(top + side, height)), slice(left, min(left + side, width))) for top in tops for left in lefts
    ]


def of_members(case: Case, members: xr.DataArray, seed: int, advance: Advance) -> dict[str, Any]:
    """What the members of a window tell: the maps of CRPS and PIT, and the scores of patches."""
    n, shape = case.n, case.truth.shape
    rng = np.random.default_rng(seed)
    uniform = rng.random(shape, np.float32)
    chosen = _some_patches(shape, rng)
    crps, pit = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    ranks, total, variance = np.zeros(n + 1, np.int64), 0.0, 0.0
    energies, variograms, distances = [], [], []
    for rows, columns in windows(members):
        x, y, valid = members[..., rows, columns].to_numpy(), case.truth[:, rows, columns], case.valid[rows, columns]
        here = (slice(None), rows, columns)
        if valid.all():  # then nothing need be copied
            some, real, u = (a.reshape(*a.shape[:-2], -1) for a in (x, y, uniform[here]))
        else:
            some, real, u = (a[..., valid] for a in (x, y, uniform[here]))
        score, place = figures.crps(some, real), figures.pit(some, real, u, case.quantisation_step)
        crps[here][:, valid], pit[here][:, valid] = score, place
        total += float(score.sum())
        ranks += np.bincount(np.minimum(place * (n + 1), n).astype(int).ravel(), minlength=n + 1)
        variance += _variance_sum(some)

        for size in (PATCH, DISTANCE_PATCH):
            small, large = (_whole_patches(a, shape, size) for a in (y, x))
            whole = np.isfinite(small).all(-1)
            small, large = small[whole], large[:, whole]
            if size == DISTANCE_PATCH:
                distances.append(np.stack([np.mean((member - small) ** 2, -1) for member in large]))
                continue
            energies.append(figures.energy_scores(large, small))
            picked = _whole_patches(chosen[:, rows, columns], shape, size)[whole].all(-1)
            variograms.append(figures.variogram_scores(large[:, picked], small[picked]))
        advance(1)
    pixels = case.valid.sum() * shape[0]
    error = case.truth[:, case.valid] - case.known("mean")
    skill = diagnostics.ratio(variance / pixels * (n + 1) / n, np.mean(error**2), np.nan)
    energy, variogram, distance = (np.concatenate(scores, -1) for scores in (energies, variograms, distances))
    return {
        "crps": crps,
        "pit": pit,
        "crps_mean": total / pixels,
        "energy_score": _mean(energy),
        "variogram_score": _mean(variogram),
        "diversity": diagnostics.diversity(distance) if distance.size else math.nan,
        "spread_skill": np.sqrt(skill),
        "rank_histogram": ranks,
    }


def _mean(values: Doubles) -> float:
    return float(values.mean()) if values.size else math.nan


def _some_patches(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """`1 x y x x`: the patches that the variogram score is of."""
    tall, wide = (min(PATCH, size) for size in shape[-2:])
    rows, columns = shape[-2] // tall, shape[-1] // wide
    some = np.zeros(rows * columns, bool)
    some[rng.permutation(some.size)[:VARIOGRAM_PATCHES]] = True
    whole = np.zeros((1, *shape[-2:]), bool)
    whole[0, : rows * tall, : columns * wide] = some.reshape(rows, columns).repeat(tall, 0).repeat(wide, 1)
    return whole


def _whole_patches(window: Array, shape: tuple[int, ...], size: int) -> Array:
    """The patches of the image that a window holds; it starts with one."""
    tall, wide = (min(size, side) for side in shape[-2:])
    cut = window[..., : window.shape[-2] // tall * tall, : window.shape[-1] // wide * wide]
    if not cut.size:
        return np.empty((*window.shape[:-3], 0, window.shape[-3] * tall * wide), window.dtype)
    return figures.patches(cut, size)


def _variance_sum(members: Array) -> float:
    """The sum over pixels of the members' variance (ddof = 1); NaN for one member."""
    if len(members) == 1:
        return math.nan
    flat = members.reshape(len(members), -1)
    parts = figures.batches(flat.shape[1], 2**21 // len(flat))
    return float(sum(flat[:, part].astype(np.float64).var(0, ddof=1).sum() for part in parts))


# -- whole images, member by member ------------------------------------------------------------


def of_images(
    case: Case, members: xr.DataArray, operator: ForwardOperator, low: Image | None, advance: Advance
) -> dict[str, Any]:
    """Spectra, and how well members reproduce the low-resolution image; one band of one member at a time."""
    mean = case.ds["mean"].to_numpy()
    fits = all(size % operator.scale == 0 for size in case.truth.shape[-2:])
    squares, known = np.zeros(case.n), 0
    spectra: list[list[Doubles]] = [[], [], []]
    frequency = np.empty(0)
    for band in range(len(mean)):
        truth = case.filled(case.truth[band])
        if fits:
            target = _observed(case, operator, truth) if low is None else low.data[band].to_numpy().astype(np.float64)
            hidden = operator.observe(torch.from_numpy((~case.valid).astype(np.float64))[None])[0].abs().numpy()
            clear = hidden < 1e-9  # of low-resolution pixels that see nothing missing
            clear &= True if low is None or low.missing is None else ~low.missing
            known += int(clear.sum())
        power = []
        for i in range(case.n):
            image = case.filled(members[i, band].to_numpy())
            power.append(diagnostics.spectrum(image, case.valid)[1])
            if fits:
                squares[i] += np.square(_observed(case, operator, image) - target)[clear].sum()
            advance(1)
        frequency, of_truth = diagnostics.spectrum(truth, case.valid)
        of_mean = diagnostics.spectrum(case.filled(mean[band]), case.valid)[1]
        for found, spectrum in zip(spectra, (of_truth, of_mean, np.mean(power, 0)), strict=True):
            found.append(spectrum)
    reference, smooth, drawn = (np.mean(found, 0) for found in spectra)
    with np.errstate(divide="ignore"):
        distance = np.abs(np.log10(diagnostics.ratio(drawn, reference, 1.0)))
    return {
        "lr_psnr": decibel(squares.max() / known, case.peak) if known else math.nan,
        "frequency": frequency,
        "spectrum_reference": reference,
        "spectrum_mean": smooth,
        "spectrum_members": drawn,
        "spectrum_distance": float(distance.mean()),
    }


def _observed(case: Case, operator: ForwardOperator, image: Doubles) -> Doubles:
    """``A x``; of integer data as files would hold it, both images rounded and clipped."""
    if case.bounds is not None:
        image = np.clip(np.rint(image), *case.bounds)
    seen: Doubles = operator.observe(torch.from_numpy(image)[None])[0].numpy()
    return seen if case.bounds is None else np.clip(np.rint(seen), *case.bounds)


def decibel(mean_square: float, peak: float) -> float:
    """The peak signal-to-noise ratio; infinite for no error."""
    return 10 * math.log10(peak**2 / mean_square) if mean_square else math.inf


# -- finished maps -----------------------------------------------------------------------------


def of_the_mean(case: Case) -> dict[str, Any]:
    mean = np.where(case.valid, case.ds["mean"].to_numpy(), np.nan).astype(np.float64)
    std = case.ds["std"].to_numpy()
    error = case.truth - mean
    zscore = diagnostics.ratio(error, std)
    zscore[np.isinf(zscore)] = np.nan  # one infinite value would spoil every average
    similarity, margin = math.nan, 5
    if min(case.valid.shape) > 2 * margin:
        _, local = structural_similarity(
            mean, case.truth, channel_axis=0, data_range=case.peak, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        local = local[:, margin:-margin, margin:-margin]
        similarity = _mean(local[np.isfinite(local)])
    return {
        "psnr": decibel(float(np.nanmean(error**2)), case.peak),
        "ssim": similarity,
        "mae": float(np.nanmean(np.abs(error))),
        "zscore": zscore.astype(np.float32),
    }


def of_intervals(case: Case, half_widths: Mapping[float, float | None]) -> dict[str, Any]:
    """Coverage and width by level; a half width of None stands for the product's own interval."""
    truth = case.truth[:, case.valid]
    mean, std, lower, upper = (case.known(name) for name in ("mean", "std", "lower", "upper"))
    inside = _inside(truth, lower, upper)
    covered = np.full(case.truth.shape, np.nan, np.float32)
    covered[:, case.valid] = inside
    coverage, width = [], []
    for half in half_widths.values():
        low, high = lower, upper
        if half is not None:
            reach = half * std + case.quantisation_step / 2
            low, high = mean - reach, mean + reach
            if case.bounds is not None:
                low, high = np.maximum(low, case.bounds[0]), np.minimum(high, case.bounds[1])
        coverage.append(_inside(truth, low, high).mean())
        width.append(np.mean(high - low))

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
        "coverage_saturated": _mean(inside[saturated]),
        "coverage_unsaturated": _mean(inside[~saturated]),
    }


def _inside(truth: Doubles, lower: Doubles, upper: Doubles) -> Doubles:
    return np.where(np.isfinite(upper - lower), (truth >= lower) & (truth <= upper), np.nan)


def of_std(case: Case) -> dict[str, Any]:
    """Whether the standard deviation is as large as errors are, and largest where they are."""
    std, error = case.known("std"), case.truth[:, case.valid] - case.known("mean")
    if not np.isfinite(std).all():  # one member has none
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
