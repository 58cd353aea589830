"""Products as arguments: opened from stores, sampled from images, and their members.

This module imports torch only when something has to be drawn.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from bayesr import images, product
from bayesr.errors import BayesrError, InvalidArgument, InvalidProduct
from bayesr.product import MAPS, SAMPLES
from bayesr.store.access import opened
from bayesr.store.places import PROGRESS, files, place_of
from bayesr.store.replacing import recover

if TYPE_CHECKING:
    from bayesr.model.model import Model


def open_product(value: Any, *, stack: bool = False) -> xr.Dataset | None:
    """Return a product in its form (see `bayesr.product.canonical`), from memory or from its store; None for others.

    The product of a stack is refused without `stack`.

    Raises
    ------
    InvalidProduct
        When it is a Dataset of a product that lost its form, a single variable of one, or a damaged store.
    """
    if isinstance(value, str | os.PathLike):
        place = place_of(value)
        system, path = files(place)
        if "://" not in place:
            recover(place)
        if not system.exists(f"{path}/zarr.json"):
            return None
        try:
            value = opened(place, consolidated=False)
        except BayesrError:
            if system.exists(f"{path}/{PROGRESS}"):
                raise
            return None  # it may be an image
    is_product = isinstance(value, xr.Dataset) and (
        "model_sha256" in value.attrs
        or not {SAMPLES, "std"}.isdisjoint(value.variables)
        or len({*MAPS} & {*value.variables}) > 1
    )
    return product.canonical(value, stack=stack) if is_product or product.part_of_product(value) else None


def require_image(img: Any, options: dict[str, Any]) -> None:
    """Check, before any work, that what is to be sampled is one image, and no stack.

    Raises
    ------
    AmbiguousDimensions
    """
    images.source(img, options.get("dims"))


def product_of(
    ds_or_img: Any, folder: Path, model: str | Path | Model | None, progress: bool | None, options: dict[str, Any]
) -> xr.Dataset:
    """Return a product as it is, or sample an image, with its members, into a store in `folder`.

    Raises
    ------
    InvalidArgument
        When options of `bayesr.sample` are given for a product.
    """
    ds = open_product(ds_or_img)
    if ds is None:
        from bayesr.sampling.workflow import sample  # slow to import: torch

        require_image(ds_or_img, options)
        # What the callers do not describe is not computed, nor warned of.
        needed = [name for name in (*MAPS, SAMPLES) if name not in ("aleatoric", "epistemic")]
        sample_options: dict[str, Any] = {"variables": needed, "store": folder / "product.zarr", "progress": progress}
        sample_options |= options if model is None else options | {"model": model}
        return sample(ds_or_img, **sample_options)
    if options:
        raise InvalidArgument(
            f"The product is drawn already: leave out {', '.join(options)}, which are options of sample."
        )
    return ds


def members_of(
    ds: xr.Dataset, img: Any, model: str | Path | Model | None, folder: Path, progress: bool | None = None
) -> xr.DataArray:
    """Return a product's members, ``(realization, band, y, x)``, lazy where they are many.

    Parameters
    ----------
    ds : Dataset
        A product of `bayesr.sample`, or a part of one.
    img : path, ndarray, Tensor, PIL image, DataArray or None
        The whole image that was sampled, read only if the product does not hold its members. None takes the copy in the
        store that the product was opened from.
    model : str, Path, Model or None
        The model, if it is neither bundled nor found under its recorded name.
    folder : Path
        Where members that are drawn again are kept, in a store that the caller removes.
    progress : bool, optional
        As in `bayesr.sample`.

    Raises
    ------
    InvalidProduct
        When members and the image are missing, or the image or the model is another one.
    """
    if SAMPLES in ds:
        return ds[SAMPLES].transpose("realization", *product.DIMS)
    if img is None and "source" not in ds.encoding:
        raise InvalidProduct(
            "The product does not hold its members: give the image that was sampled as img= to draw them again, or "
            "sample it with keep_samples=True."
        )
    from bayesr.sampling.replaying import draw_again  # slow to import: torch

    return draw_again(ds, img, model, folder, progress)
