"""The Dataset of a segmentation: names, dimensions, units and attributes. The only place that knows them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.segmentation.objects import interval
from bayesr.version import __version__

Array = NDArray[Any]

MAPS = {
    "probability": "foreground probability, the mean over members",
    "mask": "1 where the probability reaches the threshold",
    "entropy": "entropy of the probability, in nats",
    "mutual_information": "what members disagree about: entropy minus their mean entropy, in nats",
    "labels": "number of the object, of those that at least half of the members see; 0 elsewhere",
    "member_probability": "foreground probability in every member",
    "member_labels": "labels of every member, each with numbers of its own",
}


def dataset(
    ds: xr.Dataset, found: Mapping[str, Array], members: xr.DataArray | None, name: str, settings: Mapping[str, Any]
) -> xr.Dataset:
    """The Dataset of maps and tables.

    Parameters
    ----------
    ds : Dataset
        The product that was segmented.
    found : mapping of str to ndarray
        Of `Agreement.variables` and `Objects.table`; of members, where they are kept.
    members : DataArray or None
        The coordinate ``realization``; None where something else than members was segmented.
    name : str
        Of the segmenter.
    settings : mapping
        What else decided the result.
    """
    mapped = {"grid_mapping": "spatial_ref"} if "spatial_ref" in ds.coords else {}
    variables: dict[str, Any] = {}
    for key, text in MAPS.items():
        if key in found:
            lead = ("realization",) if key.startswith("member") else ()
            classes = ("class",) if found[key].ndim - len(lead) == 3 else ()
            text = "the likeliest class" if key == "mask" and found["probability"].ndim == 3 else text
            variables[key] = ((*lead, *classes, "y", "x"), found[key], {"long_name": text, "units": "1"} | mapped)
    coords = {dim: ds[dim] for dim in ("y", "x", *(("spatial_ref",) if mapped else ()))}
    if "area" in found:
        variables |= _table(found, settings["level"], ds)
        numbers = np.arange(1, len(found["existence"]) + 1, dtype=np.int32)
        coords |= {"band": ds["band"], "object": xr.DataArray(numbers, dims="object", attrs={"long_name": "object"})}
    if members is not None:  # their coordinate of dropout masks would have the name of the segmentation's mask
        coords["realization"] = members.drop_vars("mask", errors="ignore")
    else:
        variables = {key: value for key, value in variables.items() if "realization" not in value[0]}
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    history = [ds.attrs.get("history"), f"{now} bayesr {__version__}: segment({name})"]
    attributes = {"Conventions": "CF-1.11"} | dict(ds.attrs) | {"history": "\n".join(filter(None, history))}
    attributes |= {"segmenter": name, "segmentation": json.dumps(dict(settings)), "level": settings["level"]}
    return xr.Dataset(variables, coords, attributes)


def _table(found: Mapping[str, Array], level: float, ds: xr.Dataset) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Variables over objects, and counts."""
    units = _units(ds["mean"])
    pixels = {"units": "1", "comment": "high-resolution pixels"}
    share = {"units": "1"}
    table: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "existence": ("object", found["existence"], {"long_name": "share of members that see the object"} | share)
    }
    for column, dim in enumerate(("y", "x")):
        at = np.interp(found["centre"][:, column], np.arange(ds.sizes[dim]), ds[dim].to_numpy())
        table[f"centre_{dim}"] = (
            "object", at, {"long_name": f"{dim} of the object's centre"} | _units(ds[dim]),
        )  # fmt: skip
    for key, text, dims, attrs in (
        ("area", "area of the object", ("object",), pixels),
        ("intensity", "mean over the object", ("object", "band"), units),
    ):
        values = found[key]
        known = np.isfinite(values)
        mean = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
        lower, upper = interval(values, level)
        table |= {
            key: (dims, mean, {"long_name": f"{text}, mean over members that see it"} | attrs),
            f"{key}_lower": (dims, lower, {"long_name": f"{text}, lower bound at level {level:g}"} | attrs),
            f"{key}_upper": (dims, upper, {"long_name": f"{text}, upper bound at level {level:g}"} | attrs),
            f"member_{key}": (
                ("realization", *dims), values, {"long_name": f"{text} in every member, NaN where it is not"} | attrs,
            ),
        }  # fmt: skip
    count = found["count"].astype(np.float64)
    lower, upper = interval(count, level)
    table |= {
        "count": ((), count.mean(), {"long_name": "number of objects, mean over members"} | share),
        "count_lower": (
            (),
            np.floor(lower),
            {"long_name": f"number of objects, lower bound at level {level:g}"} | share,
        ),
        "count_upper": (
            (),
            np.ceil(upper),
            {"long_name": f"number of objects, upper bound at level {level:g}"} | share,
        ),
        "member_count": ("realization", found["count"], {"long_name": "number of objects in every member"} | share),
    }
    return table


def _units(values: xr.DataArray) -> dict[str, Any]:
    return {key: value for key, value in values.attrs.items() if key == "units"}
