"""The Dataset of a segmentation: names, dimensions, units and attributes of its variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.product import extended_history
from bayesr.segmentation.objects import interval

Array = NDArray[Any]

MAPS = {
    "probability": "foreground probability, the mean over members",
    "mask": "1 where the probability reaches the threshold",
    "entropy": "entropy of the probability, in nats",
    "mutual_information": "disagreement of members: entropy minus the mean entropy of members, in nats",
    "labels": "number of the object, for objects that at least half of the members detect; 0 elsewhere",
    "member_probability": "foreground probability in every member",
    "member_labels": "labels of every member, numbered separately in each",
}


def dataset(
    ds: xr.Dataset, results: Mapping[str, Array], members: xr.DataArray | None, name: str, settings: Mapping[str, Any]
) -> xr.Dataset:
    """Make the Dataset of maps and tables.

    Parameters
    ----------
    ds : Dataset
        The segmented product.
    results : mapping of str to ndarray
        Those of `Agreement.variables` and `Objects.table`, and kept maps of members.
    members : DataArray or None
        The coordinate ``realization``, or None if no members were segmented.
    name : str
    settings : mapping
    """
    mapped = {"grid_mapping": "spatial_ref"} if "spatial_ref" in ds.coords else {}
    variables: dict[str, Any] = {}
    for key, text in MAPS.items():
        if key in results:
            lead = ("realization",) if key.startswith("member") else ()
            classes = ("class",) if results[key].ndim - len(lead) == 3 else ()
            text = "most probable class" if key == "mask" and results["probability"].ndim == 3 else text
            variables[key] = ((*lead, *classes, "y", "x"), results[key], {"long_name": text, "units": "1"} | mapped)
    coords = {dim: ds[dim] for dim in ("y", "x", *(("spatial_ref",) if mapped else ()))}
    if "area" in results:
        variables |= _table(results, settings["level"], ds)
        numbers = np.arange(1, len(results["existence"]) + 1, dtype=np.int32)
        coords |= {"band": ds["band"], "object": xr.DataArray(numbers, dims="object", attrs={"long_name": "object"})}
    if members is not None:  # the dropout masks have the name of the segmentation's mask
        coords["realization"] = members.drop_vars("mask", errors="ignore")
    else:
        variables = {key: value for key, value in variables.items() if "realization" not in value[0]}
    history = extended_history(ds.attrs, f"segment({name})")
    attributes = {"Conventions": "CF-1.11"} | dict(ds.attrs) | {"history": history}
    attributes |= {"segmenter": name, "segmentation": json.dumps(dict(settings)), "level": settings["level"]}
    return xr.Dataset(variables, coords, attributes)


def _table(results: Mapping[str, Array], level: float, ds: xr.Dataset) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Make the variables over objects, and the counts."""
    units = _units(ds["mean"])
    pixels = {"units": "1", "comment": "high-resolution pixels"}
    unitless = {"units": "1"}
    table: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "existence": (
            "object",
            results["existence"],
            {"long_name": "fraction of members that detect the object"} | unitless,
        )
    }
    for column, dim in enumerate(("y", "x")):
        at = np.interp(results["centre"][:, column], np.arange(ds.sizes[dim]), ds[dim].to_numpy())
        table[f"centre_{dim}"] = (
            "object", at, {"long_name": f"{dim} of the object's centre"} | _units(ds[dim]),
        )  # fmt: skip
    for key, text, dims, attrs in (
        ("area", "area of the object", ("object",), pixels),
        ("intensity", "mean over the object", ("object", "band"), units),
    ):
        values = results[key]
        known = np.isfinite(values)
        mean = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
        lower, upper = interval(values, level)
        table |= {
            key: (dims, mean, {"long_name": f"{text}, mean over members that detect it"} | attrs),
            f"{key}_lower": (dims, lower, {"long_name": f"{text}, lower bound at level {level:g}"} | attrs),
            f"{key}_upper": (dims, upper, {"long_name": f"{text}, upper bound at level {level:g}"} | attrs),
            f"member_{key}": (
                ("realization", *dims), values, {"long_name": f"{text} in every member, NaN if not detected"} | attrs,
            ),
        }  # fmt: skip
    count = results["count"].astype(np.float64)
    lower, upper = interval(count, level)
    table |= {
        "count": ((), count.mean(), {"long_name": "number of objects, mean over members"} | unitless),
        "count_lower": (
            (),
            np.floor(lower),
            {"long_name": f"number of objects, lower bound at level {level:g}"} | unitless,
        ),
        "count_upper": (
            (),
            np.ceil(upper),
            {"long_name": f"number of objects, upper bound at level {level:g}"} | unitless,
        ),
        "member_count": (
            "realization",
            results["count"],
            {"long_name": "number of objects in every member"} | unitless,
        ),
    }
    return table


def _units(values: xr.DataArray) -> dict[str, Any]:
    return {key: value for key, value in values.attrs.items() if key == "units"}
