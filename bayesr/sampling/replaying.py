"""What a product was drawn from, checked, and its members: its own, or drawn again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr import images, product
from bayesr.errors import InvalidArgument, InvalidProduct
from bayesr.store.places import files, place_of

if TYPE_CHECKING:
    from bayesr.model.model import Model
    from bayesr.sampling.job import Job
    from bayesr.store.layout import Store


def product_in(given: Any) -> xr.Dataset | None:
    """A product, from memory or from the path or URL of its store; None for everything else, which may be an image."""
    if isinstance(given, str | os.PathLike):
        place = place_of(given)
        system, path = files(place)
        if not system.exists(f"{path}/zarr.json"):
            return None
        try:
            given = xr.open_zarr(place, consolidated=False)
        except Exception:  # zarr raises its own kinds for what is no group; it may still be an image
            return None
    known = isinstance(given, xr.Dataset) and ("samples" in given or "std" in given or "model_sha256" in given.attrs)
    return given if known else None


def drawn_from(
    ds_or_img: Any, folder: Path, model: str | Path | Model | None, progress: bool | None, options: dict[str, Any]
) -> xr.Dataset:
    """A product as it is; of an image the product of `bayesr.sample`, with its members, in a store in `folder`.

    Raises
    ------
    InvalidArgument
        When there are options of `bayesr.sample` for a product, which is drawn already.
    """
    ds = product_in(ds_or_img)
    if ds is None:
        from bayesr.sampling.workflow import sample

        given: dict[str, Any] = {"keep_samples": True, "store": folder / "product.zarr", "progress": progress}
        given |= options if model is None else options | {"model": model}
        return sample(ds_or_img, **given)
    if options:
        raise InvalidArgument(f"{', '.join(options)}: options of sample, and the product is drawn already.")
    return ds


def image_of(ds: xr.Dataset, img: Any) -> images.Image:
    """The image that was sampled, read as it was then.

    Raises
    ------
    InvalidProduct
        When it is another one.
    """
    how = json.loads(product.attribute(ds, "input"))
    value_range = tuple(float(v) for v in product.attribute(ds, "value_range"))
    array = images.source(img, how["dims"])
    image = images.survey(array, nodata=how["nodata"], value_range=value_range)  # type: ignore[arg-type]
    if image.sha256 != product.attribute(ds, "input_sha256"):
        raise InvalidProduct("The image is not the one that was sampled: its checksum differs. Give the original.")
    return image


def network_of(ds: xr.Dataset, model: str | Path | Model | None) -> Model:
    """The model that a product was drawn from, at its recorded name or at `model`.

    Raises
    ------
    InvalidProduct
        When it is another one.
    """
    from bayesr.model.model import load

    network = load(model or product.attribute(ds, "model"))
    if network.sha256 != product.attribute(ds, "model_sha256"):
        raise InvalidProduct(f"The product was drawn from another version of {network.name}: give that file as model=.")
    return network


def job_of(target: Store, model: str | Path | Model | None, device: str | None, n: int, first: int = 0) -> Job:
    """What draws the tiles of a store, from the store itself.

    Raises
    ------
    InvalidProduct
        When the model is another one.
    """
    from bayesr.sampling import engine
    from bayesr.sampling.job import Job
    from bayesr.sampling.members import Plan

    attributes, metadata = target.attributes, target.metadata
    network = network_of(xr.Dataset(attrs=attributes), model)
    data = target.input()
    low, high = attributes["value_range"]
    info = np.iinfo(data.dtype) if data.dtype.kind in "ui" else None
    image = images.Image(
        data,
        (float(low), float(high)),
        (float(info.min), float(info.max)) if info else None,
        json.loads(metadata["nodata"]),
        attributes["input_sha256"],
    )
    ran = json.loads(attributes["engine"])
    plan = Plan(n, int(attributes["masks"]), int(attributes["seed"]), int(ran["tile"]), first)
    device = engine.resolved(device or ran["device"])
    return Job(network, image, plan, device, float(attributes["level"]), tuple(target.variables))


def members(
    ds: xr.Dataset, img: Any, model: str | Path | Model | None, folder: Path, progress: bool | None = None
) -> xr.DataArray:
    """The members of a product, ``(realization, band, y, x)``, lazy where they are many.

    Parameters
    ----------
    ds : Dataset
        A product of `bayesr.sample`, or a part of one.
    img : path, ndarray, Tensor, PIL image, DataArray or None
        The image that was sampled, whole; only looked at where the product does not hold its members.
    model : str, Path, Model or None
        Where the model lies, if not under its recorded name.
    folder : Path
        Where members that are drawn again are kept, in a store that is the caller's to remove.

    Raises
    ------
    InvalidProduct
        When members are missing and there is no image to draw them from, or another one or another
        model than was used.
    """
    if "samples" in ds:
        return ds["samples"].transpose("realization", *product.DIMS)
    n = int(product.attribute(ds, "n"))
    if img is None:
        raise InvalidProduct(
            "The product does not hold its members: give the image that was sampled as img= to draw them again, or "
            "sample it with keep_samples=True."
        )
    from bayesr.sampling.workflow import sample

    image, network = image_of(ds, img), network_of(ds, model)
    engine, nodata = json.loads(product.attribute(ds, "engine")), json.loads(product.attribute(ds, "input"))["nodata"]
    seed, masks, level = (product.attribute(ds, name) for name in ("seed", "masks", "level"))
    drawn = sample(
        image.data, n, model=network, seed=int(seed), masks=int(masks), level=float(level), nodata=nodata,
        value_range=image.value_range, tile=engine["tile"], store=folder / "members.zarr", variables=["samples"],
        progress=progress,
    )["samples"]  # fmt: skip
    return drawn.isel({dim: _part(ds, drawn, dim) for dim in product.DIMS})


def _part(ds: xr.Dataset, drawn: xr.DataArray, dim: str) -> slice:
    """Where a part of a product lies in the whole one."""
    if dim in ds.dims and dim in ds.indexes:
        places = drawn.indexes[dim].get_indexer(ds.indexes[dim])
        if len(places) and places[0] >= 0 and (np.diff(places) == 1).all():
            return slice(int(places[0]), int(places[-1]) + 1)
    raise InvalidProduct(
        f"Along {dim!r}, the Dataset is no unbroken part of the product: cut products with isel and slices, "
        f"ds.isel({dim}=slice(a, b))."
    )
