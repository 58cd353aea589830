"""OME-Zarr (NGFF 0.5): one image of channels with a pyramid, for programs of microscopy."""

from __future__ import annotations

import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidArgument
from bayesr.exporting.selection import Selection
from bayesr.files import failures_of
from bayesr.product import axis_of
from bayesr.product.georeference import counts_pixels

if TYPE_CHECKING:
    import zarr

_CHUNK = 1024
_COARSEST = 256
"""Longer side, in pixels, at which the pyramid ends."""

_UNITS = {
    "m": "meter", "metre": "meter", "metres": "meter", "meters": "meter", "km": "kilometer", "kilometre": "kilometer",
    "cm": "centimeter", "mm": "millimeter", "um": "micrometer", "µm": "micrometer", "micron": "micrometer",
    "micrometre": "micrometer", "nm": "nanometer", "nanometre": "nanometer", "pm": "picometer",
}  # fmt: skip
_NAMED = {
    *_UNITS.values(), "angstrom", "attometer", "decimeter", "exameter", "femtometer", "foot", "gigameter", "hectometer",
    "inch", "megameter", "mile", "parsec", "petameter", "terameter", "yard", "yoctometer", "yottameter", "zeptometer",
    "zettameter",
}  # fmt: skip
"""Units of length that NGFF names."""

_COLOURS = ("FF0000", "00FF00", "0000FF")


def write(chosen: Selection, path: Path) -> None:
    """Write a selection as OME-Zarr, whole or not at all: every variable and band is a channel.

    The centre of pixel i lies at ``scale i + translation`` in every level. Axes that run backwards, such as northings,
    keep their pixel size alone.

    Raises
    ------
    InvalidArgument
        When ome-zarr is not installed.
    """
    if find_spec("ome_zarr") is None:
        raise InvalidArgument("OME-Zarr needs ome-zarr: pip install 'bayesr[ome]'.")
    import zarr  # slow to import

    with failures_of(path), warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        warnings.simplefilter("ignore")  # ome-zarr uses what it deprecates itself
        part = Path(folder) / "part.ome.zarr"
        group = zarr.open_group(part, mode="w", zarr_format=3)
        names, channels = zip(*chosen.bands(), strict=True)
        _write_levels(group, path.name.split(".")[0], chosen, names, channels)
        part.replace(path)


def _write_levels(
    group: zarr.Group, name: str, chosen: Selection, names: tuple[str, ...], channels: tuple[xr.DataArray, ...]
) -> None:
    import dask.array  # slow to import
    from ome_zarr.scale import Methods  # optional package
    from ome_zarr.writer import write_image, write_multiscales_metadata  # optional package

    lazy = [channel.chunk({"y": _CHUNK, "x": _CHUNK}).data[None] for channel in channels]
    pixels = dask.array.concatenate(lazy)  # type: ignore[no-untyped-call]
    factors = _factors(max(pixels.shape[1:]))
    places = {dim: _place(chosen.ds[dim]) for dim in ("y", "x")}
    sizes = {"c": 1.0} | {dim: size for dim, (size, _, _) in places.items()}
    axes = [{"name": "c", "type": "channel"}] + [
        {"name": dim, "type": "space"} | ({"unit": unit} if unit else {}) for dim, (_, _, unit) in places.items()
    ]
    write_image(
        pixels, group, axes=axes, scale=sizes, scale_factors=factors, method=Methods.LOCAL_MEAN, name=name,
        storage_options={"chunks": (1, _CHUNK, _CHUNK), "fill_value": float("nan")},
    )  # fmt: skip
    written: Any = group.attrs["ome"]
    paths = [str(level["path"]) for level in written["multiscales"][0]["datasets"]]
    levels = [
        {"path": at, "coordinateTransformations": _transformations(factor, places)}
        for at, factor in zip(paths, (1, *factors), strict=True)
    ]
    coarsest: Any = group[paths[-1]]
    described = _channels(chosen, names, coarsest[:])
    write_multiscales_metadata(group, levels, axes=axes, name=name, metadata={"omero": {"channels": described}})


def _factors(longest: int) -> list[int]:
    """Return the factors of the coarser levels, 2, 4, 8, ..."""
    factors: list[int] = []
    while longest // 2 ** len(factors) > _COARSEST:
        factors.append(2 ** (len(factors) + 1))
    return factors


def _place(centres: xr.DataArray) -> tuple[float, float, str | None]:
    """Return the size of a pixel, the centre of the first one, and the unit that NGFF has for both."""
    axis = axis_of(centres)
    size = abs(axis.step)
    first = axis.start + axis.step / 2 if axis.step > 0 else size / 2
    unit = str(centres.attrs.get("units", ""))
    known = _UNITS.get(unit, unit)
    return size, first, None if counts_pixels(centres) or known not in _NAMED else known


def _transformations(factor: int, places: dict[str, tuple[float, float, str | None]]) -> list[dict[str, Any]]:
    """Return scale and translation of a level, whose pixels are the means of `factor x factor` pixels."""
    scale, translation = [1.0], [0.0]
    for size, first, _ in places.values():
        scale.append(size * factor)
        translation.append(first + size * (factor - 1) / 2)
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]


def _channels(chosen: Selection, names: tuple[str, ...], coarsest: np.ndarray) -> list[dict[str, Any]]:
    """Return names, colours and ranges of channels; the first variable, or the first member, is shown."""
    of_variable = [
        (str(name), bands)
        for name, values in chosen.ds.data_vars.items()
        for bands in [values.sizes["band"]] * values.sizes.get("realization", 1)
    ]
    described: list[dict[str, Any]] = []
    for place, (name, bands) in enumerate(of_variable):
        for band in range(bands):
            pixels = coarsest[len(described)]
            low, high = chosen.shown(name, pixels)
            high = high if high > low else low + 1.0
            described.append(
                {
                    "label": names[len(described)],
                    "color": _COLOURS[band] if bands == 3 else "FFFFFF",
                    "window": {"min": low, "max": high, "start": low, "end": high},
                    "active": place == 0,
                }
            )
    return described
