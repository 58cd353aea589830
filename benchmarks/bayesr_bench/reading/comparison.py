"""Read and sample a file with bayesr, and compare both with what an independent reader says of the file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import bayesr
from bayesr import images
from bayesr.errors import BayesrError
from bayesr_bench.reading.layout import PIXELS, Expected, Layout, Values, edges

EQUAL = "equal"
READING = 1e-5
"""Largest difference of values that are read, in parts of the image's range: float32 holds no more of packed values."""
CONSISTENCY = 5e-3
"""Largest difference between the image and what the forward operator makes of a member, in parts of the range."""
LENGTHS = {"nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "inch": 0.0254, "meter": 1.0}
"""Lengths in metres, by UDUNITS' names."""

# A refusal must say what to do.
_WAY_OUT = re.compile(
    r"\b(give|open|convert|select|choose|pass|install|read|write|flatten|warp|name|take|say|use|export|save|rename|"
    r"split|crop|set|remove|separate|check|resample|drop|reproject|mask|fill)\b",
    re.IGNORECASE,
)


def outcome(layout: Layout, path: Path) -> str:
    """Return ``equal``, ``refused: ...`` or ``DIFFERS: ...`` for a file that was written in a layout.

    A file that is refused though it must be read, or read though it must be refused, differs. So does an error that is
    no `BayesrError`, and a refusal that does not say what to do.
    """
    expected = layout.said(path)
    try:
        differences = _differences(layout, path, expected)
    except BayesrError as error:
        return _refusal(layout, error)
    except Exception as error:  # the finding itself: no input may end in an error that bayesr does not raise
        return f"DIFFERS: {type(error).__name__}: {_line(error)}"
    if expected is None:
        return f"DIFFERS: read, though {layout.refused}"
    return f"DIFFERS: {'; '.join(differences)}" if differences else EQUAL


def _refusal(layout: Layout, error: BayesrError) -> str:
    said = f"{type(error).__name__}: {_line(error)}"
    if not layout.refused:
        return f"DIFFERS: refused, {said}"
    if not (_WAY_OUT.search(said) and re.search(layout.says, said)):
        return f"DIFFERS: refused without saying what to do, {said}"
    return f"refused: {said}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _differences(layout: Layout, path: Path, expected: Expected | None) -> list[str]:
    """Return what differs; nothing is compared if there is nothing to compare with."""
    model = bayesr.load(layout.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small images are unlike what models were calibrated on
        values: Values = images.read(path, per_band=True).values()
        product = bayesr.sample(path, n=2, model=layout.model, progress=False)
    if expected is None:
        return []
    found = of_values(values, expected)
    if not any(each.startswith("shape") for each in found):
        found += of_members(product, expected.values if model.bands == 1 else expected.shown, model)
    return [*found, *of_place(product, expected, model.scale), *of_units(product, expected)]


# -- values --------------------------------------------------------------------------------------


def of_values(values: Values, expected: Expected) -> list[str]:
    """Compare the values that bayesr reads, `band x y x x`."""
    if values.shape != expected.values.shape:
        return [f"shape {values.shape} instead of {expected.values.shape}"]
    missing, absent = np.isnan(values), np.isnan(expected.values)
    if (missing != absent).any():
        return [f"{missing.sum()} values are missing instead of {absent.sum()}"]
    error = np.abs(values - expected.values)[~absent]
    if error.size and error.max() > READING * extent(expected.values):
        return [f"values by up to {error.max():.6g}, of a range of {extent(expected.values):.6g}"]
    return []


def extent(values: NDArray[np.floating[Any]]) -> float:
    """Return the range of the values that are not missing; of a constant, its size."""
    known = values[~np.isnan(values)]
    return float(np.ptp(known)) or float(np.abs(known).max()) or 1.0


def of_members(product: xr.Dataset, shown: Values, model: bayesr.Model) -> list[str]:
    """Compare where members are missing, what they show, and the type of their numbers with the values `shown`."""
    members, found = product["samples"].to_numpy(), []
    absent = np.isnan(shown).repeat(model.scale, 1).repeat(model.scale, 2)
    if members.shape[1:] != absent.shape:
        return [f"shape of members {members.shape[1:]} instead of {absent.shape}"]
    for name in ("mean", "samples"):
        missing = np.isnan(product[name].to_numpy())
        if (missing != absent).any():
            found.append(
                f"{missing.sum()} values of {name} are missing instead of {absent.sum() * missing[..., 0, 0, 0].size}"
            )
    if not found:
        error = np.nanmax(_misfit(members, shown, model), initial=0.0)
        if error > CONSISTENCY:
            found.append(f"the forward operator of members by {error:.2%} of the range")
    wanted = type_for(shown)
    if product["mean"].dtype != wanted:
        found.append(f"{product['mean'].dtype} instead of {wanted}")
    return found


@np.errstate(over="ignore", invalid="ignore")  # of members that are infinite
def _misfit(members: NDArray[Any], shown: Values, model: bayesr.Model) -> Values:
    """Return the differences between the image and its members after the forward operator, in parts of its range.

    Pixels whose value depends on what replaces the missing ones are NaN.
    """
    low, size = np.nanmin(shown), extent(shown)
    scaled = (members.astype(np.float64) - low) / size  # operators compute in the type of their input
    dark, bright = (
        model.forward_operator.observe(torch.from_numpy(np.nan_to_num(scaled, nan=fill))).numpy()
        for fill in (-1.0, 2.0)
    )
    misfit = np.abs(dark - (shown - low) / size)
    misfit[~(np.abs(bright - dark) < 1e-6)] = np.nan
    return np.asarray(misfit, np.float64)


def type_for(values: Values) -> np.dtype[Any]:
    """Return float32, or float64 where float32 does not hold a thousandth of the values' range, or its square."""
    known = values[~np.isnan(values)]
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32
        step = float(np.spacing(np.float32(np.abs(known).max())))
    holds = step <= extent(known) / 1000 and 1e-15 <= extent(known) <= 1e15
    return np.dtype(np.float32 if holds else np.float64)


# -- place ---------------------------------------------------------------------------------------


def of_place(product: xr.Dataset, expected: Expected, scale: int) -> list[str]:
    """Compare bounds, transform, ground control points, CRS, and units of coordinates."""
    return [
        *_bounds(product, expected),
        *_transform(product, expected, scale),
        *_gcps(product, expected, scale),
        *_crs(product, expected),
    ]


def _bounds(product: xr.Dataset, expected: Expected) -> list[str]:
    if expected.bounds is None:
        return []
    (top, bottom), (left, right) = (edges(product[dim].to_numpy()) for dim in ("y", "x"))
    unit = product["x"].attrs.get("units")
    names = [str(product[dim].attrs.get("long_name")) for dim in ("y", "x")]
    if expected.coordinate_units == PIXELS and not all(name.endswith(PIXELS) for name in names):
        return [f"coordinates named {' and '.join(names)}, which are not {PIXELS}"]
    factor = 1.0
    if expected.coordinate_units in LENGTHS:
        if unit not in LENGTHS or product["y"].attrs.get("units") != unit:
            return [f"coordinates in {unit} instead of {expected.coordinate_units}"]
        factor = LENGTHS[unit] / LENGTHS[expected.coordinate_units]
    found = np.array([left, bottom, right, top]) * factor
    height, width = expected.values.shape[1:]
    wanted = expected.bounds
    sizes = abs(wanted[2] - wanted[0]) / width, abs(wanted[1] - wanted[3]) / height
    errors = np.abs(found - np.array(wanted)) / np.array([*sizes, *sizes])
    if errors.max() > expected.slack:
        return [f"bounds {tuple(map(float, found))} instead of {wanted}"]
    stated = product["spatial_ref"].attrs.get("GeoTransform") if "spatial_ref" in product.coords else None
    return [] if stated is None else _same_as_coordinates(stated, (left, right), (top, bottom), product)


def _same_as_coordinates(stated: str, x: tuple[float, float], y: tuple[float, float], product: xr.Dataset) -> list[str]:
    """Compare the attribute ``GeoTransform`` with the coordinates of the same product."""
    c, a, b, f, d, e = map(float, stated.split())
    steps = (x[1] - x[0]) / product.sizes["x"], (y[1] - y[0]) / product.sizes["y"]
    own = np.array([x[0], steps[0], 0.0, y[0], 0.0, steps[1]])
    size = min(abs(steps[0]), abs(steps[1]))
    if np.abs(own - [c, a, b, f, d, e]).max() > 1e-6 * size + 1e-12 * np.abs(own).max():
        return [f"GeoTransform {stated}, which contradicts the coordinates"]
    return []


def _transform(product: xr.Dataset, expected: Expected, scale: int) -> list[str]:
    if expected.transform is None:
        return []
    stated = product["spatial_ref"].attrs.get("GeoTransform") if "spatial_ref" in product.coords else None
    if stated is None:
        return ["no GeoTransform of the rotated image"]
    a, b, c, d, e, f = expected.transform
    wanted = np.array([c, a / scale, b / scale, f, d / scale, e / scale])
    found = np.array([float(part) for part in str(stated).split()])
    size = np.abs(wanted[[1, 2, 4, 5]]).max()
    return [f"GeoTransform {stated} instead of {wanted}"] if np.abs(found - wanted).max() > 1e-6 * size else []


def _gcps(product: xr.Dataset, expected: Expected, scale: int) -> list[str]:
    if not expected.gcps:
        return []
    import rioxarray  # noqa: F401  # optional, and registers the accessor

    if "GeoTransform" in product["spatial_ref"].attrs:
        return [f"an invented GeoTransform {product['spatial_ref'].attrs['GeoTransform']} beside control points"]
    points = product["mean"].rio.get_gcps() or []
    found = [(p.row, p.col, p.x, p.y) for p in points]
    wanted = [(scale * row, scale * col, x, y) for row, col, x, y in expected.gcps]
    if len(found) == len(wanted) and np.allclose(found, wanted, rtol=1e-12):
        return []
    return [f"ground control points {found[:2]} instead of {wanted[:2]}"]


def _crs(product: xr.Dataset, expected: Expected) -> list[str]:
    stated = _stated_crs(product)
    if not stated and not expected.crs:
        return []
    if not stated or not expected.crs:
        return [f"CRS {_short(stated)} instead of {_short(expected.crs)}"]
    if product["mean"].attrs.get("grid_mapping", product["mean"].encoding.get("grid_mapping")) != "spatial_ref":
        return ["a CRS that mean does not name in grid_mapping"]
    return [] if same_crs(stated, expected.crs) else [f"CRS {_short(stated)} instead of {_short(expected.crs)}"]


def _stated_crs(product: xr.Dataset) -> str | None:
    """Return the CRS of a product as text, also where its grid mapping has CF's parameters alone."""
    if "spatial_ref" not in product.coords:
        return None
    import rioxarray  # noqa: F401  # optional, and registers the accessor

    crs = product.rio.crs
    return None if crs is None else str(crs.to_wkt())


def _short(wkt: str | None) -> str:
    return "none" if not wkt else wkt[:60]


def same_crs(one: str, other: str) -> bool:
    """Return whether two texts mean one CRS, whatever version of well-known text they are in."""
    import pyproj  # optional
    import rasterio

    a, b = (rasterio.crs.CRS.from_user_input(text) for text in (one, other))
    return bool(a == b) or pyproj.CRS(one).equals(pyproj.CRS(other), ignore_axis_order=True)


# -- units ---------------------------------------------------------------------------------------


def of_units(product: xr.Dataset, expected: Expected) -> list[str]:
    """Compare the units of mean and variance, or those by band where they differ."""
    mean, variance = (product[name].attrs.get("units") for name in ("mean", "variance"))
    kinds = sorted(set(expected.units))
    if len(kinds) > 1:
        by_band = product.coords.get("band_units")
        found = () if by_band is None else tuple(map(str, by_band.to_numpy().tolist()))
        wrong = mean is not None or variance is not None or found != expected.units
        return [f"units {mean}, {variance} and {found} instead of {expected.units} by band"] if wrong else []
    unit = kinds[0] if kinds else None
    right = squares(unit)
    if mean == unit and variance in right:
        return []
    return [f"units {mean} and {variance} instead of {unit} and {' or '.join(map(str, right))}"]


def squares(unit: str | None) -> tuple[str | None, ...]:
    """Return the spellings of a squared unit in UDUNITS' grammar."""
    if unit in (None, "1"):
        return (unit,)
    if re.fullmatch(r"[^\W\d]+", str(unit)):
        return (f"{unit}2",)
    parts = re.findall(r"([^\W\d]+)(-?\d*)", str(unit))
    return f"({unit})2", " ".join(f"{name}{2 * int(power or 1)}" for name, power in parts)
