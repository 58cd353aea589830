"""Create a store: an array for the image, then the templates of the product and of its progress group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

from bayesr import product
from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.files import zarr_store
from bayesr.images import lazy
from bayesr.product import DIMS, MASK_MEANS, conventions
from bayesr.store import structure
from bayesr.store.groups import NEXT
from bayesr.store.integrity import image_damage
from bayesr.store.layout import Store, codecs
from bayesr.store.places import PROGRESS

# Attributes that a store must share to be resumed.
_IDENTITY = (
    "model_sha256", "input_sha256", "scale", "n", "masks", "seed", "level", "value_range", "engine",
    "forward_operators",
)  # fmt: skip

_VERSIONS = ("torch", "openvino")
"""Parts of the engine that may change between sessions: members are equal to 1e-5 of the value range."""


def begin(store: Store, image: xr.DataArray, *, shards: bool) -> None:
    """Replace what is there by an empty store with an array for an image, ``(band, y, x)``, or a stack of images.

    Raises
    ------
    StoreFailed
        When it cannot be written; nothing is left behind.
    """
    store.clear()
    try:
        root = zarr.open_group(zarr_store(store.place), mode="a", zarr_format=3)
        part = (*(1 for _ in image.shape[:-3]), image.sizes["band"])
        root.create_group(PROGRESS).create_array(
            "input", shape=image.shape, dtype=image.dtype, dimension_names=[str(dim) for dim in image.dims],
            compressors=codecs(image.dtype, shards=shards), chunks=(*part, lazy.BLOCK // 2, lazy.BLOCK // 2),
            shards=(*part, lazy.BLOCK, lazy.BLOCK) if shards else None,
        )  # fmt: skip
    except OSError as error:
        store.clear()
        raise store.not_created(error) from error


def declare(store: Store, template: xr.Dataset, metadata: Mapping[str, Any], mask_means: int, *, shards: bool) -> None:
    """Declare all arrays of a store, without data.

    Parameters
    ----------
    store : Store
        With an array for the image, see `begin`.
    template : Dataset
        The product, backed by dask arrays, which are never computed.
    metadata : mapping
        ``tile``, the side of a tile in low-resolution pixels; ``nodata``; ``keepbits``.
    mask_means : int
        Maps per band in `MASK_MEANS`; 0 for none.
    shards : bool
        Whether a file is a shard of Zarr, or one chunk of the same size, which more programs read.

    Raises
    ------
    StoreFailed
        When it cannot be written.
    """
    side = int(metadata["tile"]) * int(template.attrs["scale"])
    try:
        _declare_progress(store.progress, template, side, mask_means, shards)
        placed = conventions.with_zarr_attributes(template)
        placed.to_zarr(
            store.root.store, mode="a", compute=False, encoding=_encoding(placed, side, shards), zarr_format=3,
            consolidated=False,
        )  # fmt: skip
        del store.root  # opened before xarray wrote its arrays
        # Last, since they mark the template as complete, and in one write: `attrs.update` makes one for each.
        store.progress.update_attributes(dict(metadata))
    except OSError as error:
        raise store.not_created(error) from error


def complete(store: Store, attributes: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Record the result of the first pass in a store that was declared before, with the attribute `READING`.

    Parameters
    ----------
    store : Store
    attributes : mapping
        Attributes of the product.
    metadata : mapping
        As for `declare`.

    Raises
    ------
    StoreFailed
        When it cannot be written.
    """
    try:
        store.root.update_attributes(dict(attributes))
        # Last, and in one write, since it marks the store as one that can be resumed.
        store.progress.attrs.put(dict(metadata))
    except OSError as error:
        raise store.not_created(error) from error


def _encoding(template: xr.Dataset, side: int, shards: bool) -> dict[str, Any]:
    # CF allows coordinates no missing values, of which xarray else declares one for floats.
    encoding: dict[str, Any] = {str(name): {"_FillValue": None} for name in template.coords}
    for name, variable in template.data_vars.items():
        leading = (1,) * (variable.ndim - 2)
        encoding[str(name)] = {
            "chunks": (*leading, side, side),
            "shards": (*leading, side, side) if shards else None,
            "fill_value": np.nan,
            "compressors": codecs(variable.dtype, shards=shards),
        }
    return encoding


def _declare_progress(progress: zarr.Group, template: xr.Dataset, side: int, mask_means: int, shards: bool) -> None:
    stack = product.stacks.leading(template)
    slices, shape = (tuple(template.sizes[dim] for dim in dims) for dims in (stack, DIMS))
    ones = (1,) * len(slices)
    grid = (*slices, *(-(-edge // side) for edge in shape[1:]))
    names = [*map(str, template.data_vars), *([MASK_MEANS] if mask_means else [])]
    axes = (*stack, "tile_y", "tile_x")
    tiles: dict[str, Any] = {"dimension_names": axes, "fill_value": 0, "dtype": "uint32"}
    if mask_means:
        whole = (*ones, mask_means, 1, side, side)
        progress.create_array(
            MASK_MEANS, shape=(*slices, mask_means, *shape), chunks=(*ones, 1, 1, side, side) if shards else whole,
            shards=whole if shards else None, dtype="float32", dimension_names=(*stack, "mask", *DIMS),
            compressors=codecs(np.dtype(np.float32), shards=shards), fill_value=np.nan,
        )  # fmt: skip
    progress.create_array("done", shape=grid, chunks=(*ones, 1, 1), compressors=None, **tiles)
    progress.create_array(
        "checksum", shape=(*grid, len(names)), chunks=(*ones, 1, 1, len(names)), compressors=None,
        **(tiles | {"dimension_names": (*axes, "variable")}),
        attributes={"variables": json.dumps(names)},
    )  # fmt: skip


def compare(
    store: Store,
    attributes: Mapping[str, Any],
    metadata: Mapping[str, Any],
    variables: list[str],
    shards: bool | None = None,
) -> None:
    """Check that a store was started with the same model, image and settings, so that it can be resumed.

    `shards` is None where the store may have either kind of files.

    Raises
    ------
    StoreFailed
        When it was started with others; the message names the first difference.
    InvalidProduct
        When the store is damaged.
    """
    structure.require(store)
    recorded = store.attributes | {"variables": sorted(store.variables), "shards": store.sharded} | store.metadata
    expected = {name: attributes.get(name) for name in _IDENTITY} | dict(metadata) | {"variables": sorted(variables)}
    if shards is not None:
        expected["shards"] = shards
    if NEXT in recorded:
        raise StoreFailed(f"{store.place} is being extended: finish that with bayesr.extend(store, {recorded[NEXT]}).")
    for name, value in expected.items():
        if _comparable(name, recorded.get(name)) != _comparable(name, value):
            raise StoreFailed(
                f"{store.place} was started with another {name}: {recorded.get(name)!r}, not {value!r}. "
                "Use overwrite=True, or another store."
            )
    repair = f"bayesr.check({store.place!r}, repair=True)"
    if wrong := image_damage(store):
        raise InvalidProduct(f"The copy of the image in {store.place} {wrong}. {repair}, with img=, restores it.")
    if not np.isin(store.done(), [0, attributes["n"]]).all():
        raise InvalidProduct(f"The map of finished tiles in {store.place} is damaged. {repair} draws them again.")


def _comparable(name: str, value: Any) -> Any:
    """Return a value as it is compared: of the engine, what members depend on by more than rounding errors."""
    if name != "engine":
        return value
    try:
        return {key: part for key, part in json.loads(value).items() if key not in _VERSIONS}
    except (TypeError, ValueError, AttributeError):
        return value
