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
    """A product and its truth.

    Attributes
    ----------
    ds : Dataset
        The product.
    truth : ndarray
        `band x y x x`, NaN where the truth or the product is missing.
    valid : ndarray of bool
        `y x x`: where neither is.
    bounds : tuple of float or None
        Of the truth's integer type, whose values are whole numbers; None for floats.
    value_range : tuple of float
        The product's.
    n : int
        Members.
    """

    ds: xr.Dataset
    truth: Doubles
    valid: NDArray[np.bool_]
    bounds: tuple[float, float] | None
    value_range: tuple[float, float]
    n: int

    @property
    def quantisation_step(self) -> float:
        """The step of the truth's values; 0 for floats."""
        return 0.0 if self.bounds is None else 1.0

    @property
    def peak(self) -> float:
        """The width of `value_range`."""
        return self.value_range[1] - self.value_range[0]

    def known(self, name: str) -> Doubles:
        """A variable of the product where there is truth, `band x pixel`."""
        return self.ds[name].to_numpy()[:, self.valid].astype(np.float64)

    def filled(self, image: Array) -> Doubles:
        """An image, `... x y x x`, in double precision, zero where it does not count."""
        return np.where(self.valid, image, 0).astype(np.float64)


def read_reference(ds: xr.Dataset, reference: Any, dims: Sequence[str] | None) -> images.Image:
    """The truth, on the product's grid or refused."""
    value_range = tuple(float(v) for v in product.attribute(ds, "value_range"))
    try:
        truth = images.read(reference, dims=dims, value_range=value_range)  # type: ignore[arg-type]
    except InvalidPixels:  # NaN counts as missing here, where nothing is drawn from it
        truth = images.read(reference, dims=dims, nodata=math.nan, value_range=value_range)  # type: ignore[arg-type]
    theirs, ours = truth.data.sizes, ds["mean"].sizes
    if (theirs["y"], theirs["x"]) != (ours["y"], ours["x"]):
        raise InvalidArgument(
            f"The reference is {theirs['y']} x {theirs['x']} pixels (y x x) and the product {ours['y']} x {ours['x']}. "
            "Give the high-resolution image that the input is a reduction of, cropped to the input's area."
        )
    if theirs["band"] != ours["band"]:
        raise BandMismatch(
            f"The reference has {theirs['band']} bands and the product {ours['band']}: give the same ones."
        )
    for dim in ("y", "x"):
        placed = dim in truth.data.coords and truth.data[dim].dtype.kind in "uif"
        if not placed or ds[dim].attrs.get("units") == "input pixels":
            continue
        a, b = truth.data[dim].to_numpy().astype(float), ds[dim].to_numpy()
        step = abs(b[-1] - b[0]) / (b.size - 1) if b.size > 1 else 1.0
        if np.abs(a - b).max() > 0.01 * step:
            raise InvalidProduct(
                f"The reference lies on another grid: its {dim} runs from {a[0]:g} to {a[-1]:g}, the product's from "
                f"{b[0]:g} to {b[-1]:g}. Resample it to the product's grid (reference.interp(y=ds.y, x=ds.x)), or drop "
                f"its coordinates if they are wrong (reference.drop_vars(['y', 'x']))."
            )
    return truth


def case_of(ds: xr.Dataset, truth: images.Image) -> Case:
    """A product beside its truth, NaN where either has no pixel."""
    values = truth.data.to_numpy().astype(np.float64)
    valid = np.isfinite(ds["mean"].to_numpy()).all(0)
    if truth.missing is not None:
        valid &= ~truth.missing
    if not valid.any():
        raise InvalidPixels("No pixel has both a reference and a product: there is nothing to score.")
    values[:, ~valid] = np.nan
    return Case(ds, values, valid, truth.bounds, truth.value_range, int(ds.attrs["n"]))
