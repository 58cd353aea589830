"""Scores of the members, which are read window by window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.scoring import diagnostics, rules
from bayesr.scoring.case import Case

Array = NDArray[Any]
Doubles = NDArray[np.float64]

PATCH = 8
"""Side of patches of the energy and variogram scores."""
DISTANCE_PATCH = 16
"""Side of patches of the diversity score."""
VARIOGRAM_PATCHES = 1024
"""Largest number of random patches of the variogram score, which takes all pairs of values."""
_WINDOW_BYTES = 2**27
"""Largest size of the members in a window."""


def windows(members: xr.DataArray) -> list[tuple[slice, slice]]:
    """Return windows of whole patches that cover the image: whole chunks where they fit in memory."""
    n, bands, height, width = members.shape
    chunk = members.chunks[-1][0] if members.chunks else (members.encoding.get("chunks") or (512,))[-1]
    side = -(-int(chunk) // DISTANCE_PATCH) * DISTANCE_PATCH
    while side > DISTANCE_PATCH and 4 * n * bands * side**2 > _WINDOW_BYTES:
        side = -(-side // (2 * DISTANCE_PATCH)) * DISTANCE_PATCH
    tops, lefts = range(0, height, side), range(0, width, side)
    return [
        (slice(top, min(top + side, height)), slice(left, min(left + side, width))) for top in tops for left in lefts
    ]


def score_members(case: Case, members: xr.DataArray, seed: int, advance: Callable[[float], None]) -> dict[str, Any]:
    """Compute the maps of CRPS and PIT, the scores of patches, and the other scores of the members.

    Members are ``realization x band x y x x``. `seed` breaks ties and chooses patches. `advance` is called with 1 after
    each window.
    """
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
        if valid.all():  # avoids a copy
            some, real, u = (a.reshape(*a.shape[:-2], -1) for a in (x, y, uniform[here]))
        else:
            some, real, u = (a[..., valid] for a in (x, y, uniform[here]))
        score, place = rules.crps(some, real), rules.pit(some, real, u, case.quantisation_step)
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
            energies.append(rules.energy_scores(large, small))
            picked = _whole_patches(chosen[:, rows, columns], shape, size)[whole].all(-1)
            variograms.append(rules.variogram_scores(large[:, picked], small[picked]))
        advance(1)
    pixels = case.valid.sum() * shape[0]
    error = case.truth[:, case.valid] - case.valid_pixels("mean")
    energy, variogram, distance = (np.concatenate(scores, -1) for scores in (energies, variograms, distances))
    return {
        "crps": crps,
        "pit": pit,
        "crps_mean": total / pixels,
        "energy_score": diagnostics.mean(energy),
        "variogram_score": diagnostics.mean(variogram),
        "diversity": diagnostics.diversity(distance) if distance.size else math.nan,
        "spread_skill": diagnostics.spread_skill(variance / pixels, float(np.mean(error**2)), n),
        "rank_histogram": ranks,
    }


def _some_patches(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask ``1 x y x x`` of random patches for the variogram score."""
    tall, wide = (min(PATCH, size) for size in shape[-2:])
    rows, columns = shape[-2] // tall, shape[-1] // wide
    some = np.zeros(rows * columns, bool)
    some[rng.permutation(some.size)[:VARIOGRAM_PATCHES]] = True
    whole = np.zeros((1, *shape[-2:]), bool)
    whole[0, : rows * tall, : columns * wide] = some.reshape(rows, columns).repeat(tall, 0).repeat(wide, 1)
    return whole


def _whole_patches(window: Array, shape: tuple[int, ...], size: int) -> Array:
    """Return the whole patches in a window that begins at the corner of a patch."""
    tall, wide = (min(size, side) for side in shape[-2:])
    cut = window[..., : window.shape[-2] // tall * tall, : window.shape[-1] // wide * wide]
    if not cut.size:
        return np.empty((*window.shape[:-3], 0, window.shape[-3] * tall * wide), window.dtype)
    return rules.patches(cut, size)


def _variance_sum(members: Array) -> float:
    """Sum the members' variance (ddof = 1) over pixels; NaN for one member."""
    if len(members) == 1:
        return math.nan
    flat = members.reshape(len(members), -1)
    parts = rules.batches(flat.shape[1], 2**21 // len(flat))
    return float(sum(flat[:, part].astype(np.float64).var(0, ddof=1).sum() for part in parts))
