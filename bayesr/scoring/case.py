"""A product and its reference on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.errors import BandMismatch, InvalidArgument, InvalidPixels, InvalidProduct

Array = NDArray[Any]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A product of n members, and its reference `truth`, ``band x y x x``, NaN where either is missing.

    `valid`, ``y x x``, marks pixels where neither is. `bounds` are those of the reference's integer type, or None.
    """

    ds: xr.Dataset
    truth: Doubles
    valid: NDArray[np.bool_]
    bounds: tuple[float, float] | None
    value_range: tuple[float, float]
    n: int

    @property
    def quantisation_step(self) -> float:
        """1 for a reference of integers, 0 for floats."""
        return 0.0 if self.bounds is None else 1.0

    @property
    def peak(self) -> float:
        """Width of `value_range`."""
        return self.value_range[1] - self.value_range[0]

    def valid_pixels(self, name: str) -> Doubles:
        """Return a variable at the valid pixels, ``band x pixel``."""
        return self.ds[name].to_numpy()[:, self.valid].astype(np.float64)

    def filled(self, image: Array) -> Doubles:
        """Return an image ``... x y x x`` as float64, 0 at pixels that are not valid."""
        return np.where(self.valid, image, 0).astype(np.float64)


def read_reference(ds: xr.Dataset, reference: Any, dims: Sequence[str] | None) -> images.Image:
    """Read the reference, and check that it lies on the product's grid.

    Raises
    ------
    InvalidArgument
        When it has another size.
    BandMismatch
        When it has another number of bands.
    InvalidProduct
        When its coordinates differ from the product's.
    """
    value_range = product.value_range_of(ds)
    array = images.source(reference, dims)
    theirs, ours = array.sizes, ds["mean"].sizes  # compared before pixels are read
    if (theirs["y"], theirs["x"]) != (ours["y"], ours["x"]):
        raise InvalidArgument(
            f"The reference is {theirs['y']} x {theirs['x']} pixels (y x x) and the product {ours['y']} x {ours['x']}. "
            "Give the high-resolution image that corresponds to the input, cropped to the area of the input."
        )
    if theirs["band"] != ours["band"]:
        raise BandMismatch(
            f"The reference has {theirs['band']} bands and the product {ours['band']}: give the same ones."
        )
    array = images.loaded(array)
    try:
        truth = images.survey(array, value_range=value_range)
    except InvalidPixels:  # scoring treats NaN as missing without asking for nodata=
        truth = images.survey(array, nodata=math.nan, value_range=value_range)
    _check_place(ds, truth.data)
    return truth


def _check_place(ds: xr.Dataset, truth: xr.DataArray) -> None:
    """Check that a reference of the product's size lies where the product lies, band by band."""
    different = product.difference(truth, ds["y"], ds["x"])
    lacking = product.half_placed(truth, ds["y"], ds["x"])
    if different is None and lacking is not None:
        different = f"it has coordinates, but none along {lacking}"
    if different is not None:
        raise InvalidProduct(
            f"The reference lies on another grid: {different}. Resample it to the product's grid "
            "(reference.interp(y=ds.y, x=ds.x), or reference.rio.reproject_match(ds)), or drop its coordinates if they "
            "are wrong (reference.drop_vars(['y', 'x', 'spatial_ref'], errors='ignore'))."
        )
    if "band" in truth.coords and "band" in ds.coords:
        theirs, ours = list(truth["band"].to_numpy()), list(ds["band"].to_numpy())
        if theirs != ours and sorted(map(str, theirs)) == sorted(map(str, ours)):
            raise InvalidProduct(
                f"The bands of the reference are {', '.join(map(str, theirs))}, and those of the product "
                f"{', '.join(map(str, ours))}: bring them into one order, reference.sel(band=ds.band)."
            )


def case_of(ds: xr.Dataset, truth: images.Image) -> Case:
    """Return a product with its reference, which becomes NaN where either is missing.

    Raises
    ------
    InvalidPixels
        When no pixel has both.
    """
    values = truth.data.to_numpy().astype(np.float64)
    valid = np.isfinite(ds["mean"].to_numpy()).all(0)
    if truth.missing is not None:
        valid &= ~truth.missing.any(0)
    if not valid.any():
        raise InvalidPixels("No pixel has both a reference and a product: there is nothing to score.")
    values[:, ~valid] = np.nan
    return Case(ds, values, valid, truth.bounds, truth.value_range, int(ds.attrs["n"]))
