"""Statistics of regions in every member of a product: members are read, stretched by calibration, and reduced."""

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
"""Values of several members that are read at once: every reading costs a little, however small."""


@dataclass(frozen=True)
class Part:
    """What is found of a band, or of all at once."""

    values: Doubles  # realization x region
    counts: NDArray[np.int64]  # region: pixels with data
    factor: Doubles | None  # region
    naive: Doubles | None  # region


def of_bands(
    ds: xr.Dataset,
    members: xr.DataArray,
    regions: Regions,
    statistic: Statistic,
    bands: list[int],
    calibrated: bool,
    advance: Callable[[float], None],
) -> Part:
    """Values of these bands, one or all of them at once, of every member; see `bayesr.aggregate` for `calibrated`."""

    def read(name: str) -> NDArray[np.float32]:
        return regions.read(ds[name].isel(band=bands))

    factor = naive = mean = None
    if "variance" in ds and ("calibration" in ds or not calibrated):
        right = read("variance").astype(np.float64)
        raw = right / read("calibration").astype(np.float64) ** 2 if "calibration" in ds else right
        pixels, (calibrated_sum, raw_sum) = _sums(regions, right, raw)
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
            pixels = Segments.of(regions, known)
            counts = np.minimum(counts, pixels.counts)
            kept = x if known.all() else x[:, known]
            try:
                values[i] = statistic.of(kept if statistic.all_bands else kept[0], pixels)
            except Exception as error:
                error.add_note(f"It was raised at member {i}.")
                raise
            advance(1)
    return Part(values, counts, factor, naive)


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of `band x pixel` with data in all bands."""
    known: NDArray[np.bool_] = np.isfinite(values).all(0)
    return known


def _sums(regions: Regions, *variances: Doubles) -> tuple[Segments, list[Doubles]]:
    """Sums over the regions, and all bands, of pixel variances `band x pixel`."""
    known = _known(variances[0])
    pixels = Segments.of(regions, known)
    return pixels, [pixels.sums(variance[:, known].sum(0)) for variance in variances]
