"""Maps of the page of a product: cut or downsampled, and rounded so that they fit a budget of bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import product
from bayesr.report.planes import Plane

Array = NDArray[Any]
Maps = dict[str, Array]

PIXELS = 1024**2
"""Largest number of pixels that are shown at full resolution, not as block means."""
SIDE = 16383
"""Largest number of pixels that are shown along a side: WebP, in which members are stored, holds no more."""
BYTES = 5_500_000
"""Budget of maps and members together, before base 64 adds a third: a page stays below 8 MB."""
BANDS = 12
"""Largest number of bands that are shown."""
_READ = 2048
"""Side of the windows that a product is read in."""
EXACT = ("state", "region", "chi", "open_share")
"""Maps of codes, shares and ratios, whose steps do not depend on the budget."""
MEMBERS = 0.3
"""Fraction of the budget for members."""
_COARSER = (1, 2, 4, 8)


@dataclass(frozen=True)
class View:
    """The part of a product that is shown: a window in high-resolution pixels, in block means of side `factor`."""

    rows: slice
    columns: slice
    factor: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the maps that are shown, `y x x`."""
        return tuple(-(-(part.stop - part.start) // self.factor) for part in (self.rows, self.columns))


def view_of(ds: xr.Dataset, window: tuple[slice, slice] | None = None, least: int = 1) -> View:
    """Return a view of a product, or of a window, within `PIXELS` and `SIDE`; its blocks have the side `least` or more.

    They are the smallest that are possible.
    """
    rows, columns = window or (slice(0, ds.sizes["y"]), slice(0, ds.sizes["x"]))
    view = View(rows, columns, least)
    while math.prod(view.shape) > PIXELS or max(view.shape) > SIDE:
        view = View(rows, columns, view.factor + 1)
    return view


def names_of_bands(ds: xr.Dataset) -> list[str]:
    """Return the names of the bands that are shown, or their numbers."""
    names = ds["band"].to_numpy() if "band" in ds.coords else range(ds.sizes["band"])
    return [str(name) for name in names[:BANDS]]


def downsampled(array: xr.DataArray, view: View) -> Array:
    """Return the block means of a view, `... x y x x`, without missing pixels; it is read piece by piece."""
    f, lead = view.factor, array.shape[:-2]
    if f == 1:
        return array[..., view.rows, view.columns].to_numpy().astype(np.result_type(array.dtype, np.float32))
    out, side = np.empty((*lead, *view.shape), np.result_type(array.dtype, np.float32)), max(1, _READ // f) * f
    for top in range(view.rows.start, view.rows.stop, side):
        for left in range(view.columns.start, view.columns.stop, side):
            rows = slice(top, min(top + side, view.rows.stop))
            columns = slice(left, min(left + side, view.columns.stop))
            part = block_means(array[..., rows, columns].to_numpy(), f)
            y, x = (top - view.rows.start) // f, (left - view.columns.start) // f
            out[..., y : y + part.shape[-2], x : x + part.shape[-1]] = part
    return out


def block_means(values: Array, side: int) -> Array:
    """Return means over blocks of `side` x `side`, NaN for empty blocks; blocks at the far borders can be smaller."""
    height, width = values.shape[-2:]
    rows, columns = (np.arange(0, size, side) for size in (height, width))
    known = np.isfinite(values)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(part, rows, -2), columns, -1)
        for part in (np.where(known, values, 0).astype(np.float64), known.astype(np.float64))
    )
    means: Array = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def read(ds: xr.Dataset, view: View, advance: Callable[[float], None]) -> Maps:
    """Read the maps of the shown bands in a view, without those that are NaN everywhere."""
    found: Maps = {}
    for name in ("mean", "std", "lower", "upper", "calibration", "aleatoric", "epistemic"):
        if name in ds:
            values = downsampled(ds[name][:BANDS], view)
            if np.isfinite(values).any() or name == "mean":
                found[name] = values
        advance(1)
    return found


def encoded(maps: Maps, ds: xr.Dataset, extra: Maps, budget: int) -> tuple[dict[str, Any], bool]:
    """Encode maps with the finest steps that the budget in bytes allows; return them, and whether they fit.

    Where `lower` and `upper` follow mean -+ (lambda std + quantisation step / 2), clipped to the bounds of the data
    type, these parameters replace them. Where the budget is small, `calibration`, `aleatoric` and `epistemic` are
    averaged over bands. `extra` holds the maps of `compare`.
    """
    low, high = product.value_range_of(ds)
    unit = (high - low) / 255
    if "std" in maps:
        typical = float(np.nanmedian(maps["std"]))
        unit = min(unit, max(typical / 2, unit / 64))
    stored = maps | extra
    intervals = _formula(maps, ds)
    if intervals is not None:
        stored = {name: values for name, values in stored.items() if name not in ("lower", "upper")}
    joint = [name for name in ("calibration", "aleatoric", "epistemic") if name in stored]
    fits, averaged, planes = False, False, {}
    for times, average in ((t, a) for a in (False, True) for t in _COARSER):
        averaged = average and len(maps["mean"]) > 1
        shown = stored | ({name: stored[name].mean(0, keepdims=True) for name in joint} if averaged else {})
        planes = {name: _plane(name, values, unit).coarser(_coarsening(name, times)) for name, values in shown.items()}
        size = sum(plane.bits() for plane in planes.values()) / 8
        if size * 1.05 <= budget:  # deflate needs about 5% more than the entropy
            fits = True
            break
    return {
        "planes": {name: plane.encoded() for name, plane in planes.items()},
        "intervals": intervals,
        "averaged": joint if averaged else [],
    }, fits


def _plane(name: str, values: Array, unit: float) -> Plane:
    if name in EXACT:
        return Plane(values, 1.0 if name == "state" else 1e-3)
    if name == "calibration":
        return Plane(values, 0.005)
    return Plane(values, unit / (4 if name in ("mean", "lower", "upper", "reference") else 8), name in ROOTS)


ROOTS = ("aleatoric", "epistemic", "range_variance", "null_variance")
"""Variances, which are shown by their signed roots, in the units of the image."""


def _coarsening(name: str, times: float) -> float:
    return 1 if name in EXACT else times


def _formula(maps: Maps, ds: xr.Dataset) -> dict[str, Any] | None:
    """Return lambda, half a quantisation step and the bounds where they determine the interval; else None."""
    if not {"std", "lower", "upper"} <= maps.keys():
        return None
    mean, std, lower, upper = (maps[name].astype(np.float64) for name in ("mean", "std", "lower", "upper"))
    pad = product.quantisation_step_of(ds) / 2
    known = np.isfinite(lower) & np.isfinite(upper) & (std > 0)
    if not known.any():
        return None
    factor = float(np.median(((upper - lower) / 2 - pad)[known] / std[known]))
    least, most = bounds = float(np.nanmin(lower)), float(np.nanmax(upper))
    reach = factor * std + pad
    tolerance = 1e-5 * max(abs(bound) for bound in (*bounds, 1e-30))
    if all(
        np.allclose(np.clip(edge, least, most), stored, rtol=0, atol=tolerance, equal_nan=True)
        for edge, stored in ((mean - reach, lower), (mean + reach, upper))
    ):
        return {"factor": factor, "pad": pad, "bounds": bounds}
    return None  # block means over clipped and unclipped pixels, or a modified product
