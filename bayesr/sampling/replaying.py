"""Draw members of a product again, from its attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesr import images, product
from bayesr.errors import AmbiguousDimensions, InvalidProduct
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.product import SAMPLES, Provenance, arguments
from bayesr.sampling.job import Job
from bayesr.sampling.models import model_of
from bayesr.sampling.sinks import StoreSink
from bayesr.sampling.workflow import run
from bayesr.store.access import opened
from bayesr.store.layout import Store
from bayesr.store.places import place_of


@isolated
def replay(ds: xr.Dataset, i: int, img: Any = None, *, model: str | Path | Model | None = None) -> xr.DataArray:
    """Draw member `i` of a finished product again.

    It is the same bit for bit on the same machine with the same versions, and to 1e-5 of the value range elsewhere.

    Parameters
    ----------
    ds : Dataset
        A product of `bayesr.sample`, in memory or opened from its store.
    i : int
        The member, 0 to n - 1.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled. Its checksum is compared with the recorded one. By default the copy in the store
        that `ds` was opened from.
    model : str, Path or Model, optional
        The model, if it is neither bundled nor found under its recorded name.

    Returns
    -------
    DataArray
        ``(band, y, x)``, in the units of the image, of the type of the product.

    Raises
    ------
    InvalidProduct
        When the attributes are not those of a product, the image or the model is another one, or there is no image.
    InvalidArgument
        When there is no member `i`.
    EngineUnavailable
        When the product was drawn in OpenVINO, which is not installed here.
    """
    arguments.check({"model": model}, optional=("model",))
    provenance = Provenance.from_dataset(product.canonical(ds))
    last = provenance.n - 1
    i = arguments.whole("i", i, f"the number of a member of the product, 0 to {last}", 0, last)
    loaded = model_of(provenance, model)
    job = Job.from_provenance(provenance, loaded, image_of(provenance, img, ds))
    out = np.empty(job.frame.shape, job.image.dtype)
    for tile in job.tiles():
        out[(slice(None), *tile.high(loaded.scale))] = job.member(i, tile)
    coords = _coordinates(job, img, ds)
    return xr.DataArray(out, dims=product.DIMS, coords=coords, name=SAMPLES).assign_coords(realization=i)


def _coordinates(job: Job, img: Any, ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the coordinates of the whole product of an image, or of a slice of a stack.

    The copy of the image in a store has none, and the product there has those of the original.
    """
    if img is not None:
        return job.frame.coords
    whole = opened(place_of(ds.encoding["source"]), consolidated=False, leave_out=["realization", "mask"])
    return {str(name): coord for name, coord in whole.coords.items() if {*coord.dims} <= {*product.DIMS}}


def image_of(provenance: Provenance, img: Any, ds: xr.Dataset | None = None) -> images.Image:
    """Read the image that was sampled, in the same way as then; without `img` from the store of a product `ds`.

    For the product of a slice of a stack, `img` is the slice or the stack.

    Raises
    ------
    InvalidProduct
        When it is another image, or there is none.
    """
    if img is None:
        return _image_in_store(provenance, None if ds is None else ds.encoding.get("source"))
    image = images.survey(
        _source(img, provenance.input["dims"]), nodata=provenance.nodata, value_range=provenance.value_range,
        per_band=provenance.per_band,
    ).find(provenance.input_sha256)  # fmt: skip
    if image is None:
        raise InvalidProduct("The image is not the one that was sampled: its checksum differs. Give the original.")
    return image


def _source(img: Any, dims: Sequence[str] | None) -> xr.DataArray:
    """Open an image, or a stack; where `dims` has the axes of a stack, also one of its slices."""
    try:
        return images.source(img, dims, stack=True)
    except AmbiguousDimensions:
        own = [dim for dim in dims or () if dim in ("b", *product.DIMS)]
        if dims is None or len(own) == len(dims):
            raise
        return images.source(img, own)


def _image_in_store(provenance: Provenance, place: Any) -> images.Image:
    """Return the copy of the image in the store of a product."""
    store = Store(place_of(place)) if isinstance(place, str) else None
    image = stored_image(store).find(provenance.input_sha256) if store is not None and store.declared else None
    if image is None:
        raise InvalidProduct(
            "The image is needed to draw members again, and the product comes from no store, which would have a copy: "
            "give the image that was sampled as img=."
        )
    return image


def job_of(store: Store, model: str | Path | Model | None, device: str | None, n: int, first: int = 0) -> Job:
    """Return the job that draws a store's tiles.

    Raises
    ------
    InvalidProduct
        When the model is another one.
    """
    provenance = store.provenance
    loaded, image = model_of(provenance, model), stored_image(store)
    return Job.from_provenance(provenance, loaded, image, tuple(store.variables), n=n, first=first, device=device)


def stored_image(store: Store) -> images.Image:
    """Return the copy of the image, or of the stack, in a store, read lazily."""
    provenance, data = store.provenance, store.input()
    bounds, step = provenance.bounds(data.dtype), provenance.quantisation_step
    return images.Image(
        data, provenance.value_range, bounds, store.settings["nodata"], provenance.input_sha256,
        per_band=provenance.per_band,
        quantisation_step=step if math.isfinite(step) else float(bounds is not None),
        range_source=str(provenance.input.get("value_range", "given")),
        dtype=store.dtype,
        slices=tuple(images.Slice(sha256) for sha256 in store.slices()),
    )  # fmt: skip


def draw_again(
    ds: xr.Dataset, img: Any, model: str | Path | Model | None, folder: Path, progress: bool | None
) -> xr.DataArray:
    """Draw a product's members again; see `bayesr.sampling.products.members_of`.

    They are drawn as recorded and as `replay` draws them, in the recorded precision also where `sample` refuses it.
    """
    provenance = Provenance.from_dataset(ds)
    image = image_of(provenance, img, ds)
    job = Job.from_provenance(provenance, model_of(provenance, model), image, (SAMPLES,), device="auto")
    reading = {"nodata": image.nodata, "value_range": image.value_range, "per_band": image.per_band}
    sink = StoreSink(
        str(folder / "members.zarr"), overwrite=False, resume=False, keepbits=None, shards=None, tile=job.plan.tile,
        progress=progress,
    )  # fmt: skip
    sink.check(image.data, job.bytes)
    with sink:
        sink.read(image.data, reading)
        job.warn()
        drawn = run(sink.begin(job), sink, None, progress)[SAMPLES]
    drawn = drawn.drop_vars(job.frame.coords).assign_coords(_coordinates(job, img, ds))
    return drawn.isel({dim: _part(ds, drawn, dim) for dim in product.DIMS})


def _part(ds: xr.Dataset, drawn: xr.DataArray, dim: str) -> slice:
    """Return the place of a part in the whole product."""
    if dim == "band" and dim not in ds.coords and ds.sizes[dim] == drawn.sizes[dim]:
        return slice(None)
    if dim in ds.dims and dim in ds.indexes:
        places = drawn.indexes[dim].get_indexer(ds.indexes[dim])
        if len(places) and places[0] >= 0 and (np.diff(places) == 1).all():
            return slice(int(places[0]), int(places[-1]) + 1)
    raise InvalidProduct(
        f"Along {dim!r}, the Dataset is no unbroken part of the product: cut products with isel and slices, "
        f"ds.isel({dim}=slice(a, b))."
    )
