"""Arguments that are either a product or an image to sample."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xarray as xr

from bayesr.errors import InvalidArgument
from bayesr.model.model import Model
from bayesr.product import SAMPLES
from bayesr.sampling.workflow import sample
from bayesr.store.places import files, place_of


def open_product(given: Any) -> xr.Dataset | None:
    """Return a product, from memory or from the path or URL of its store; None for anything else."""
    if isinstance(given, str | os.PathLike):
        place = place_of(given)
        system, path = files(place)
        if not system.exists(f"{path}/zarr.json"):
            return None
        try:
            given = xr.open_zarr(place, consolidated=False)
        except Exception:  # zarr raises its own kinds for what is no group; it may still be an image
            return None
    known = isinstance(given, xr.Dataset) and (SAMPLES in given or "std" in given or "model_sha256" in given.attrs)
    return given if known else None


def product_of(
    ds_or_img: Any, folder: Path, model: str | Path | Model | None, progress: bool | None, options: dict[str, Any]
) -> xr.Dataset:
    """Return a product as it is, or sample an image, with its members, into a store in `folder`.

    Raises
    ------
    InvalidArgument
        When there are options of `bayesr.sample` for a product, which is drawn already.
    """
    ds = open_product(ds_or_img)
    if ds is None:
        given: dict[str, Any] = {"keep_samples": True, "store": folder / "product.zarr", "progress": progress}
        given |= options if model is None else options | {"model": model}
        return sample(ds_or_img, **given)
    if options:
        raise InvalidArgument(f"{', '.join(options)}: options of sample, and the product is drawn already.")
    return ds
