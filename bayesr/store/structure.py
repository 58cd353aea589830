"""The structure of a store: whether attributes and arrays fit together, before any values are read."""

from __future__ import annotations

import math

import numpy as np

from bayesr import product
from bayesr.errors import InvalidProduct
from bayesr.product import DIMS, MASK_MEANS, SAMPLES, leading_shape
from bayesr.store.access import opened
from bayesr.store.groups import NEXT
from bayesr.store.layout import Store

_TILES = 2**28
"""More tiles than any store has; a map of them fits into memory."""


def damage(store: Store) -> str:
    """Return what is wrong with attributes, shapes and types; empty where nothing is."""
    try:
        require(store)
    except InvalidProduct as error:
        return str(error)
    return ""


def require(store: Store) -> None:
    """Check that attributes and arrays of a store fit together, so that its tiles can be read and written.

    Raises
    ------
    InvalidProduct
        The message names the first attribute or array that is missing or does not fit.
    StoreFailed
        When the disk or the network fails.
    """
    provenance, settings = store.provenance, store.settings
    if settings["tile"] != provenance.tile:
        raise _unlike(store, "tile", settings["tile"], provenance.tile)
    if settings.get(NEXT, provenance.n) < provenance.n:
        raise _unlike(store, "the number of members to extend to", settings[NEXT], f"at least {provenance.n}")
    image = store.array("input")
    if image.dims[-len(DIMS) :] != DIMS or image.dtype.kind not in "buif" or 0 in image.shape:
        raise _unlike(store, "input", f"{image.dtype} {image.shape}", "an image, (band, y, x)")
    size = (*image.shape[:-2], *(edge * provenance.scale for edge in image.shape[-2:]))
    grid = (*size[:-3], *(-(-edge // store.side) for edge in size[-2:]))
    if math.prod(grid) > _TILES:
        raise _unlike(store, "the number of tiles", grid, f"fewer than {_TILES} tiles")
    _check_tiles(store, grid)
    for name in store.variables:
        _check_variable(store, name, size)
    _check_coordinates(store)


def _check_tiles(store: Store, grid: tuple[int, ...]) -> None:
    for name, shape in (("done", grid), ("checksum", (*grid, len(store.variables)))):
        array = store.array(name)
        if (
            array.shape != shape
            or array.dtype != np.uint32
            or array.chunks != (*(1 for _ in grid), *shape[len(grid) :])
        ):
            raise _unlike(store, name, f"{array.dtype} {array.shape}", f"uint32 {shape}")


def _check_variable(store: Store, name: str, size: tuple[int, ...]) -> None:
    array, provenance = store.array(name), store.provenance
    counts = {provenance.n, store.settings.get(NEXT, provenance.n)}  # members are being added
    stack, inner = size[:-3], size[-3:]
    shapes = [(*stack, *leading_shape(name, n, provenance.masks), *inner) for n in sorted(counts)]
    if array.shape not in shapes:
        raise _unlike(store, name, array.shape, shapes[0])
    kinds = ("float32",) if name == MASK_MEANS else ("float32", "float64")
    if array.dtype.name not in kinds or (name != MASK_MEANS and array.dtype != store.dtype):
        raise _unlike(store, name, array.dtype, " or ".join(kinds))
    files = (*(1 for _ in array.shape[:-2]), store.side, store.side)
    if name == MASK_MEANS:
        files = (*files[:-4], array.shape[-4], *files[-3:])
    if array.files != files:
        raise _unlike(store, f"the part of {name} in a file", array.files, files)


def _check_coordinates(store: Store) -> None:
    """Check that coordinates can be read, and are those of pixels and of members."""
    provenance, growing = store.provenance, NEXT in store.settings
    members = product.realizations(provenance.n, provenance.masks)
    ds = opened(store.place, consolidated=False, leave_out=[SAMPLES, *members] if growing else ())
    product.canonical(ds, stack=True)  # refuses what it cannot read, but would number members anew
    if SAMPLES not in ds:
        return
    for name, values in members.items():
        if name not in ds.coords or not np.array_equal(ds[name], values):
            raise _unlike(store, name, "changed", f"{provenance.n} members")


def _unlike(store: Store, name: str, found: object, expected: object) -> InvalidProduct:
    return InvalidProduct(
        f"{store.place} is damaged: {name} is {found}, where its other parts need {expected}. Restore it from a copy, "
        "or sample again with overwrite=True."
    )
