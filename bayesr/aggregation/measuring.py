"""Statistics of regions for each member of a product, and their spread over the members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.aggregation.regions import Regions
from bayesr.aggregation.statistics import Segments, Statistic

Doubles = NDArray[np.float64]

_BATCH = 2**24
"""Number of values that are read at once, from several members: each read has a fixed cost."""


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of the regions in a band, or in all bands together.

    `values` are ``realization x region``, all others ``region``: `counts` of pixels with data; `factor` of the
    calibration on the members' deviations, or None without calibration; and `naive`, the standard deviation if pixels
    erred independently, or None for statistics without weights.
    """

    values: Doubles
    counts: NDArray[np.int64]
    factor: Doubles | None
    naive: Doubles | None


def measure_bands(
    ds: xr.Dataset,
    members: xr.DataArray,
    regions: Regions,
    statistic: Statistic,
    bands: list[int],
    calibrated: bool,
    advance: Callable[[float], None],
) -> BandStatistics:
    """Compute the statistic of each member, ``realization x band x y x x``, and region; see `bayesr.aggregate`.

    `bands` is one band, or all for a statistic of all bands. `calibrated` stretches the members by the calibration.
    `advance` is called with 1 after each member.
    """

    def read(name: str) -> NDArray[np.floating]:
        return regions.read(ds[name].isel(band=bands))

    factor = naive = mean = None
    if "variance" in ds and ("calibration" in ds or not calibrated):
        total = read("variance").astype(np.float64)
        raw = total / read("calibration").astype(np.float64) ** 2 if "calibration" in ds else total
        pixels, (calibrated_sum, raw_sum) = _sums(regions, total, raw)
        if calibrated:
            with np.errstate(invalid="ignore", divide="ignore"):
                factor = np.where(raw_sum == 0, 1.0, np.sqrt(calibrated_sum / raw_sum))
            stretch, mean = np.repeat(factor.astype(np.float32), regions.counts), read("mean")
        if statistic.weight is not None:
            naive = np.sqrt(calibrated_sum if calibrated else raw_sum) * statistic.weight(pixels.counts)
    n, counts = members.sizes["realization"], regions.counts
    values = np.empty((n, counts.size))
    batch = max(1, _BATCH // (len(bands) * max(regions.window, regions.pixels.size)))
    for first in range(0, n, batch):
        several = regions.read(members[first : first + batch].isel(band=bands))
        for i, x in enumerate(several, first):
            if mean is not None:
                x -= mean
                x *= stretch
                x += mean
            known = _known(x)
            pixels = Segments.from_regions(regions, known)
            counts = np.minimum(counts, pixels.counts)
            valid = x if known.all() else x[:, known]
            try:
                values[i] = statistic.compute(valid if statistic.all_bands else valid[0], pixels)
            except Exception as error:
                error.add_note(f"It was raised at member {i}.")
                raise
            advance(1)
    return BandStatistics(values, counts, factor, naive)


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels of ``band x pixel`` have data in all bands."""
    known: NDArray[np.bool_] = np.isfinite(values).all(0)
    return known


def _sums(regions: Regions, *variances: Doubles) -> tuple[Segments, list[Doubles]]:
    """Sum pixel variances ``band x pixel`` over each region and all bands."""
    known = _known(variances[0])
    pixels = Segments.from_regions(regions, known)
    return pixels, [pixels.sums(variance[:, known].sum(0)) for variance in variances]


def interval(values: Doubles, level: float, margin: Doubles) -> tuple[Doubles, Doubles]:
    """Return the quantiles at ``(1 -+ level) / 2`` of statistics ``n x ...``, moved outwards by `margin`, ``...``.

    Plotting positions are k / (n + 1). The margin is half a quantisation step, in the units of the statistic.
    """
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return lower - margin, upper + margin


def exceedance(values: Doubles, limit: float, margin: Doubles) -> Doubles:
    """Return the probability that a statistic exceeds a limit, ``(members above + 1/2) / (n + 1)``.

    A member within `margin` of the limit counts in part; NaN where a member has no value.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        in_part = np.clip((values - limit) / (2 * margin) + 0.5, 0, 1)
    above = np.where(margin > 0, in_part, values > limit)
    probability: Doubles = np.where(np.isnan(values).any(0), np.nan, (above.sum(0) + 0.5) / (len(values) + 1))
    return probability
