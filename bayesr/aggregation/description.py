"""The Dataset of regional statistics: names, dimensions, units and attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from bayesr.aggregation.measuring import BandStatistics, exceedance, interval
from bayesr.aggregation.regions import Regions
from bayesr.aggregation.statistics import CELL_METHODS, Statistic
from bayesr.errors import InvalidArgument
from bayesr.product import extended_history
from bayesr.sampling.moments import raw_variance


def dataset(
    ds: xr.Dataset,
    members: xr.DataArray,
    regions: Regions,
    statistic: Statistic,
    bands: list[BandStatistics],
    settings: dict[str, Any],
) -> xr.Dataset:
    """Return the Dataset of `bayesr.aggregate`, with the coordinates and units of the members.

    `bands` holds the statistics of each band, or of all together. `settings` are the attributes ``statistic``,
    ``level``, ``calibrated``, ``quantisation_step``, ``threshold`` and ``exceed``.

    Raises
    ------
    InvalidArgument
        When no region has a pixel with data.
    """
    values = np.stack([part.values for part in bands], -1)
    if np.isnan(values).all():
        raise InvalidArgument("No region has a pixel with data: look where ds['mean'] is NaN.")
    exceed = settings.get("exceed")
    mask = members["mask"].to_numpy() if "mask" in members.coords else None
    units = "1" if statistic.name == "share" else members.attrs.get("units")
    unit = {} if units is None or statistic.name not in CELL_METHODS else {"units": units}
    area = CELL_METHODS.get(statistic.name)

    def described(long_name: str, methods: str | None = None, **others: Any) -> dict[str, Any]:
        cells = " ".join(filter(None, (area, f"realization: {methods}"))) if methods else ""
        return {"long_name": long_name} | unit | ({"cell_methods": cells} if cells else {}) | others

    name = f"{statistic.label} of the region"
    margin = settings["quantisation_step"] / 2 * np.stack([statistic.shift(part.counts) for part in bands], -1)
    lower, upper = interval(values, settings["level"], margin)
    arrays: dict[str, tuple[Any, dict[str, Any]]] = {
        "value": (values.mean(0), described(name, "mean", ancillary_variables="std lower upper")),
        "std": (
            np.sqrt(raw_variance(values, mask)),
            described(f"standard deviation of the {name}", "standard_deviation"),
        ),
        "lower": (lower, described(f"lower bound of the credible interval of the {name}")),
        "upper": (upper, described(f"upper bound of the credible interval of the {name}")),
    }
    if exceed is not None:
        text = f"probability that the {name} exceeds {exceed:g}"
        arrays["exceedance"] = exceedance(values, exceed, margin), {"long_name": text, "units": "1"}
    if all(part.naive is not None for part in bands):
        text = f"standard deviation of the {name} if pixel errors were independent"
        arrays["naive_std"] = np.stack([part.naive for part in bands], -1), described(text)  # type: ignore[misc]
    if all(part.factor is not None for part in bands):
        text = "factor of the calibration on the deviations of the members"
        factor = np.stack([part.factor for part in bands], -1)  # type: ignore[misc]
        arrays["factor"] = factor, {"long_name": text, "units": "1"}
    dims = ("region",) if statistic.all_bands else ("region", "band")
    last = 0 if statistic.all_bands else slice(None)
    variables: dict[str, Any] = {key: (dims, array[..., last], attrs) for key, (array, attrs) in arrays.items()}
    variables["members"] = (("realization", *dims), values[..., last], described(f"{name} in every member"))
    history = extended_history(ds.attrs, f"aggregate({statistic.name})")
    kept = {key: value for key, value in ds.attrs.items() if key not in ("level", "input_check")}
    attributes = {"Conventions": "CF-1.11"} | kept | settings | {"history": history}
    return xr.Dataset(variables, dict(_coordinates(ds, members, regions, bands, statistic.all_bands)), attributes)


def _coordinates(
    ds: xr.Dataset, members: xr.DataArray, regions: Regions, bands: list[BandStatistics], all_bands: bool
) -> Iterator[tuple[str, Any]]:
    yield "region", ("region", regions.names, {"long_name": "region"})
    pixels = np.min([part.counts for part in bands], 0).astype(np.int64)
    yield "pixels", ("region", pixels, {"long_name": "pixels with data", "units": "1"})
    for dim, places in zip(("y", "x"), regions.centroids(), strict=True):
        centres = ds[dim].to_numpy().astype(np.float64)
        values = np.interp(places, np.arange(centres.size), centres)
        yield f"centroid_{dim}", ("region", values, {"long_name": f"{dim} of the centroid"} | _units(ds[dim]))
    for name, values in members.coords.items():
        if set(values.dims) <= {"realization"} | (set() if all_bands else {"band"}):
            yield str(name), values.variable.compute()


def _units(coordinate: xr.DataArray) -> dict[str, Any]:
    return {name: coordinate.attrs[name] for name in ("units",) if name in coordinate.attrs}
