"""The reader: a Zarr store of bayesr opens as the layers of its product."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import xarray as xr
from napari.utils.notifications import show_warning

from bayesr.errors import BayesrError
from bayesr.product import SAMPLES, quantisation_step_of
from bayesr_napari.layers import LayerData, Place, layers_of

REDRAWN = 4
"""Members that are drawn again, of stores that hold none."""
LARGEST = 2048**2
"""Largest number of pixels of a product whose members are drawn again: drawing takes seconds."""


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader of a store that `bayesr.sample` wrote, or None for others."""
    paths = [path] if isinstance(path, str) else path
    return read if paths and all(map(_is_product, paths)) else None


def read(path: str | list[str]) -> list[LayerData]:
    """Return the layers of one or several products.

    Raises
    ------
    BayesrError
        When a store is damaged or not finished; napari shows it.
    """
    return [layer for one in ([path] if isinstance(path, str) else path) for layer in _layers(one)]


def _is_product(path: str) -> bool:
    try:
        attributes = json.loads((Path(path) / "zarr.json").read_text("utf-8")).get("attributes", {})
    except (OSError, ValueError, AttributeError):
        return False  # another format, which other readers know
    return "model_sha256" in attributes


def _layers(path: str) -> list[LayerData]:
    from bayesr.report.describe import opened  # slow to import: torch

    ds, store = opened(path)
    if SAMPLES not in ds and store is not None:
        ds = _with_members(ds)
    bands = ds.sizes["band"]
    low, high = map(float, ds.attrs["value_range"])
    colours = (low, high) if bands == 3 and quantisation_step_of(ds) and (low, high) == (0, 255) else None
    return layers_of(ds, Place.plain(colours is None and bands > 1), Path(path).stem, colours=colours)


def _with_members(ds: xr.Dataset) -> xr.Dataset:
    """Return a product with some members, drawn again from its copy of the image."""
    if ds.sizes["y"] * ds.sizes["x"] > LARGEST:
        show_warning("The store holds no members, and is too large to draw some: sample with keep_samples=True.")
        return ds
    try:
        drawn = [ds.bayesr.member(i) for i in range(min(REDRAWN, int(ds.attrs["n"])))]
    except BayesrError as error:
        show_warning(f"The store holds no members, and none can be drawn again: {error}")
        return ds
    return ds.assign({SAMPLES: xr.concat(drawn, "realization")})
