"""Stores with made-up members, which need neither a model nor torch."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.grid import Tile, tiles
from bayesr.product import MAPS, MASK_MEANS, SAMPLES, Provenance
from bayesr.store import creation
from bayesr.store.layout import Store

BANDS, HEIGHT, WIDTH = 2, 6, 5
SCALE, TILE = 2, 4
VARIABLES = (*MAPS, SAMPLES, MASK_MEANS)
TILES = list(tiles(HEIGHT, WIDTH, TILE, 0))
METADATA = {"tile": TILE, "nodata": json.dumps(None), "keepbits": None}


def image() -> xr.DataArray:
    pixels = np.random.default_rng(0).integers(0, 255, (BANDS, HEIGHT, WIDTH), dtype=np.uint8)
    return xr.DataArray(pixels, dims=product.DIMS)


def provenance(n: int, sha256: str = "", masks: int = 2) -> Provenance:
    return Provenance(
        "made up", "0" * 64, sha256, SCALE, n, masks, 0, 0.9, (0.0, 255.0), 1.0, {"kernel": "box", "scale": SCALE},
        {"tile": TILE, "device": "cpu"}, "", {"dims": None, "nodata": None}, "", product.history_entry("sample()"),
    )  # fmt: skip


def template(attributes: dict[str, object], n: int, masks: int = 2) -> xr.Dataset:
    """Return a product without values."""
    frame = product.frame(image(), SCALE)
    shapes = {name: frame.shape_of(name, n, masks) for name in (*MAPS, SAMPLES)}
    arrays = {name: dask.array.zeros(shape, dtype=np.float32, chunks=-1) for name, shape in shapes.items()}
    return product.dataset(frame, arrays, attributes, n, masks)


def values(n: int, seed: int = 0, masks: int = 2) -> dict[str, NDArray[np.float32]]:
    """Return all variables of a product, from random numbers."""
    frame, rng = product.frame(image(), SCALE), np.random.default_rng(seed)
    return {name: rng.random(frame.shape_of(name, n, masks), np.float32) for name in VARIABLES}


def part(arrays: dict[str, NDArray[np.float32]], tile: Tile) -> dict[str, NDArray[np.float32]]:
    """Return the variables on a tile."""
    return {name: array[(..., *tile.high(SCALE))] for name, array in arrays.items()}


def declared(place: Path, n: int = 4, *, shards: bool = True) -> Store:
    """Return a store with its image and its template."""
    store, low = Store(str(place)), image()
    creation.begin(store, low, shards=shards)
    sha256 = images.survey(low, keep=store.write_input).sha256
    creation.declare(store, template(provenance(n, sha256).attrs(), n), METADATA, 1, shards=shards)
    return store


def written(place: Path, n: int = 4, *, shards: bool = True) -> Store:
    """Return a store whose tiles are all written."""
    store, arrays = declared(place, n, shards=shards), values(n)
    for tile in TILES:
        store.write(tile, part(arrays, tile), n)
    return store


def attributes_after_each_write(monkeypatch: pytest.MonkeyPatch, group: Path) -> list[dict[str, object]]:
    """Return a list that grows: the attributes of `group` on disk after each write that a kill may follow."""
    seen: list[dict[str, object]] = []
    original = zarr.storage.LocalStore.set

    async def observed(store: zarr.storage.LocalStore, key: str, value: object) -> None:
        await original(store, key, value)  # type: ignore[arg-type]
        if (group / "zarr.json").exists():
            seen.append(json.loads((group / "zarr.json").read_text())["attributes"])

    monkeypatch.setattr(zarr.storage.LocalStore, "set", observed)
    return seen
