"""Provenance on the page of a product: its attributes as text, and the command that draws it again."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np
import xarray as xr

from bayesr import product
from bayesr.model.catalogue import recorded


def attributes(ds: xr.Dataset) -> list[tuple[str, str]]:
    """Return all attributes of a product as text, the most important ones first."""
    first = ("model", "model_sha256", "input_sha256", "input_check", "n", "masks", "seed", "level", "scale")
    names = [*(name for name in first if name in ds.attrs), *(str(name) for name in ds.attrs if name not in first)]
    return [(name, _text(ds.attrs[name])) for name in names]


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value)


def command(ds: xr.Dataset, name: str, keep: bool) -> str:
    """Return the command that draws the product again, from the image with the recorded checksum."""
    attrs, source, engine = ds.attrs, json_of(ds, "input"), json_of(ds, "engine")
    low, high = attrs["value_range"]
    model = str(attrs.get("model", "MODEL"))
    bundled = recorded(model, str(attrs.get("model_sha256", "")), str(attrs.get("calibration_source", "")))
    parts = ["bayesr", "sample", "INPUT", name, "-n", attrs["n"], "--model", bundled.stem if bundled else model]
    parts += ["--seed", attrs["seed"], "--masks", attrs["masks"], "--level", f"{float(attrs['level']):g}"]
    parts += ["--value-range", f"{float(low):.10g}", f"{float(high):.10g}"]
    parts += ["--dims", _dims(source["dims"])] if source.get("dims") else []
    parts += ["--nodata", source["nodata"]] if source.get("nodata") is not None else []
    parts += ["--tile", engine["tile"]] if "tile" in engine else []
    parts += ["--device", engine["device"]] if engine.get("device", "cpu") != "cpu" else []
    parts += ["--precision", engine["precision"]] if engine.get("precision", "float32") != "float32" else []
    parts += ["--forward-operator", attrs["forward_operators"]] if "forward_operators" in attrs else []
    parts += ["--keep-samples"] if keep else []
    return shlex.join(str(part) for part in parts)


def _dims(names: list[str]) -> str:
    """Return the names of axes as ``--dims`` takes them: letters, or the whole names of the axes of a stack."""
    return "".join(d[0] for d in names) if {*names} <= {"b", *product.DIMS} else ",".join(names)


def json_of(ds: xr.Dataset, name: str) -> dict[str, Any]:
    """Return an attribute that holds JSON; empty where it is missing."""
    value: dict[str, Any] = json.loads(ds.attrs.get(name, "{}"))
    return value
