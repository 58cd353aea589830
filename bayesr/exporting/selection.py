"""The variables of a product that are exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument
from bayesr.product import SAMPLES, arguments
from bayesr.product.georeference import anchored

OF_IMAGE = ("mean", "lower", "upper", SAMPLES)
"""Variables with values of the image; others are spreads, variances or factors, from 0 on."""


@dataclass(frozen=True)
class Selection:
    """Variables of a product.

    Attributes
    ----------
    ds : Dataset
        The product, with the chosen variables alone. Its grid mapping is that of its own pixels, where it is a part of
        a product.
    """

    ds: xr.Dataset

    @classmethod
    def of(cls, ds: xr.Dataset, variables: Sequence[str] | None, member: int | None, usual: Sequence[str]) -> Selection:
        """Choose variables, or one member; by default the `usual` ones that the product has.

        Raises
        ------
        InvalidArgument
            When the product has none of a name, or no such member.
        """
        if member is not None:
            if variables is not None:
                raise InvalidArgument("Give variables or a member, and not both.")
            return cls(anchored(_member(ds, member)))
        if variables is None:
            names = [name for name in usual if name in ds]
        else:
            names = [variables] if isinstance(variables, str) else list(variables)
        absent = [name for name in names if name not in ds]
        if absent or not names:
            known = ", ".join(map(str, ds.data_vars))
            raise InvalidArgument(f"The product has no variable {', '.join(map(repr, absent))}; it has {known}.")
        return cls(anchored(ds[names]))

    def bands(self) -> list[tuple[str, xr.DataArray]]:
        """Return the name and the values ``(y, x)`` of every band of every variable."""
        found = []
        for name, values in self.ds.data_vars.items():
            parts = [(str(name), values)]
            if "realization" in values.dims:
                parts = [(f"member {i}", values[i]) for i in range(values.sizes["realization"])]
            for title, part in parts:
                several = part.sizes["band"] > 1
                found += [
                    (f"{title} {part['band'].values[k]}" if several else title, part[k]) for k in range(len(part))
                ]
        return found

    def shown(self, name: str, pixels: NDArray[np.floating]) -> tuple[float, float]:
        """Return the values of a variable that are shown as black and as white, given some or all of its pixels.

        Values of the image have its value range, and others begin at 0 and end at their 99.5th percentile.
        """
        if name in OF_IMAGE:
            low, high = map(float, self.ds.attrs["value_range"])
            return low, high
        known = np.abs(pixels[~np.isnan(pixels)])
        return 0.0, float(np.percentile(known, 99.5)) if known.size else 1.0

    def picture(self) -> NDArray[np.uint8]:
        """Return the single variable as 8-bit values, ``y x x x channel``: grey or colour, and alpha where missing.

        Raises
        ------
        InvalidArgument
            For several variables or members, and other numbers of bands than one and three.
        """
        names = list(self.ds.data_vars)
        if len(names) > 1 or "realization" in self.ds.dims:
            raise InvalidArgument(
                f"A picture holds one map or one member, not {', '.join(map(str, names))}: give member=0."
            )
        ((name, values),) = self.ds.data_vars.items()
        pixels = values.to_numpy().astype(np.float64)
        if pixels.shape[0] not in (1, 3):
            raise InvalidArgument(
                f"A picture has one band or three, and the product {pixels.shape[0]}: choose with ds.isel(band=[...])."
            )
        missing = np.isnan(pixels)
        low, high = self.shown(str(name), pixels)
        scaled = np.clip((pixels - low) / max(high - low, 1e-300) * 255, 0, 255)
        out = np.where(missing, 0, np.rint(scaled)).astype(np.uint8)
        if missing.any():
            out = np.concatenate([out, np.where(missing.all(0, keepdims=True), 0, 255).astype(np.uint8)])
        return out.transpose(1, 2, 0)


def _member(ds: xr.Dataset, member: int) -> xr.Dataset:
    """Return a product whose single variable is a member."""
    if SAMPLES not in ds:
        raise InvalidArgument(
            "The product has no members: sample with keep_samples=True, or draw one with bayesr.replay."
        )
    last = ds.sizes["realization"] - 1
    i = arguments.whole("member", member, f"the number of a member, 0 to {last}", 0, last)
    return ds[[SAMPLES]].isel(realization=i)
