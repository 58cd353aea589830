"""Whether the members agree with the input, and what they add to it, on the page of a product."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayesr import images, product
from bayesr.report.panels import BANDS, Array, Maps, View, block_means
from bayesr.scoring.data_check import LEVEL, NONE, Instrument, check_data, region_side
from bayesr.scoring.null_space import null_share, split_variance

SIDE = 1024
"""Longest side of the part that is checked, in high-resolution pixels: the middle of larger products."""
CHI, SHOWN = "chi", ("range_variance", "null_variance")
_LEAST = 0.02
"""Smallest chi-squared on the map, whose colours have a logarithmic scale."""


@dataclass(frozen=True)
class DataCheck:
    """The results of `bayesr.score` that need no reference, of the part `rows`, `columns` of a product."""

    found: dict[str, Any]
    source: str
    rows: slice
    columns: slice
    side: int
    noisy: bool
    units: str

    @classmethod
    def of(cls, ds: xr.Dataset, low: images.Image | None, view: View) -> DataCheck | None:
        """Check the middle of a view; None without members, or where low-resolution pixels are cut."""
        if "samples" not in ds or product.attribute(ds, "forward_operator", None) is None:
            return None
        instrument = Instrument.of(ds)
        s, sizes = instrument.scale, (ds.sizes["y"], ds.sizes["x"])
        if any(size % s for size in sizes):
            return None
        rows, columns = (_middle(part, s) for part in (view.rows, view.columns))
        part = ds.isel(y=rows, x=columns)
        members = part["samples"].transpose("realization", "band", "y", "x")
        valid = np.isfinite(part["mean"].to_numpy()).all(0)
        whole = (rows.stop - rows.start, columns.stop - columns.start) == sizes
        inset = 0 if whole else max(one.reach for one in instrument.operators) + math.ceil(4 * instrument.blur / s)
        cut = None if low is None else _cut(low, rows, columns, s)
        step = product.quantisation_step_of(ds)
        found, source = check_data(instrument, members, cut, None, step, valid, lambda amount: None, inset)
        found |= split_variance(instrument.typical, members, valid, lambda amount: None)
        side = s * region_side(*(part.sizes[dim] // s for dim in ("y", "x")))
        units = str(ds["mean"].attrs.get("units", ""))
        return cls(found, source, rows, columns, side, instrument.noisy, units)

    def page(self, view: View) -> dict[str, Any]:
        """Return the figures, the side of a region in pixels of the page, and the part that they are of."""
        whole = (self.rows, self.columns) == (view.rows, view.columns)
        found = self.found
        spread = [math.sqrt(_mean(found[name])) for name in SHOWN]
        figures = [
            ("null_share", null_share(found), "", "share of the members' variance that the input has no say in"),
            ("open_share", _mean(found["open_share"]), "", "share of a pixel that the input leaves open, mean"),
            ("null space", spread[1], self.units, "spread of the members in the null space of A"),
            (
                "range",
                spread[0],
                self.units,
                "spread of the members in the range of A+: what noise and blur leave open",
            ),
        ]
        if np.isfinite(found["chi_squared"]).any():
            band = [_mean(found[f"chi_squared_{end}"]) for end in ("lower", "upper")]
            meaning = f"mean chi-squared of the input (expected {band[0]:.2f} to {band[1]:.2f} in a region)"
            inside = f"share of regions whose chi-squared is as expected (ideally {LEVEL:g} or more)"
            figures += [
                ("chi_squared", _mean(found["chi_squared"]), "", meaning),
                ("chi_squared_inside", found["chi_squared_inside"], "", inside),
                ("fitted_blur", found["fitted_blur"], "pixels", "blur that the members imply; 0 where it was given"),
            ]
        return {
            "figures": [{"name": n, "value": v, "unit": u, "meaning": m} for n, v, u, m in figures],
            "source": self.source,
            "region": self.side / view.factor,
            "window": None if whole else [self.rows.start, self.rows.stop, self.columns.start, self.columns.stop],
        }

    def missing(self) -> list[dict[str, str]]:
        """Say why the chi-squared is not shown, for models of noisy images."""
        if not self.noisy or not self.source.startswith(NONE):
            return []
        why = f"{self.source.removeprefix(NONE).capitalize()}."
        return [{"what": "Chi-squared of the input", "why": why, "map": CHI}]

    def maps(self, view: View) -> Maps:
        """Return the maps of models of noisy images; exact ones have no variance in the range, nor a chi-squared."""
        if not self.noisy or (self.rows, self.columns) != (view.rows, view.columns):
            return {}
        maps = {name: block_means(self.found[name][:BANDS], view.factor) for name in SHOWN}
        maps["open_share"] = block_means(self.found["open_share"][None], view.factor)
        maps[CHI] = np.maximum(self.found["chi_squared"], _LEAST)[None]
        return {name: values for name, values in maps.items() if np.isfinite(values).any()}


def _middle(part: slice, scale: int) -> slice:
    size = min(SIDE // scale * scale, part.stop - part.start)
    start = part.start + (part.stop - part.start - size) // 2 // scale * scale
    return slice(start, start + size)


def _cut(low: images.Image, rows: slice, columns: slice, scale: int) -> images.Image:
    """Return the part of the low-resolution image below a part of the product."""
    low_rows, low_columns = (slice(part.start // scale, part.stop // scale) for part in (rows, columns))
    return replace(low, data=low.data[:, low_rows, low_columns])


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan
