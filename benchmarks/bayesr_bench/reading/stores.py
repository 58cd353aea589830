"""Zarr stores, as xarray and zarr write them, and OME-Zarr."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bayesr_bench.reading.gridded import KELVIN, MARKED, NAME, PACKED, by_xarray, dataset, mapped, several, two_images
from bayesr_bench.reading.layout import BANDS, COUNTS, GREY, PIXELS, Expected, Layout, pixel_bounds
from bayesr_bench.reading.microscopy import CHANNELS, SIZE
from bayesr_bench.reading.missing import holes
from bayesr_bench.reading.pictures import SEVERAL
from bayesr_bench.reading.rasters import UTM
from bayesr_bench.reading.scientific import PLANES, STACK

Format = Literal[2, 3]
DARK = GREY - np.uint8(3)
"""The nuclei with zeros."""
MICRO = "micrometer"


# -- stores of xarray ----------------------------------------------------------------------------


def by_xarray_format(
    name: str, make: Callable[[], xr.Dataset], formats: Sequence[Format] = (2, 3)
) -> tuple[Layout, ...]:
    """Return the layouts of a Dataset as Zarr of each format."""

    def layout(version: Format) -> Layout:
        def write(path: Path) -> None:
            make().to_zarr(path, zarr_format=version, consolidated=version == 2)

        return Layout(f"Zarr {version}: {name}", ".zarr", write, "xarray", by_xarray, "xarray", needs=("rioxarray",))

    return tuple(layout(version) for version in formats)


def _all(layouts: Sequence[Layout], change: Callable[[Layout], Layout]) -> tuple[Layout, ...]:
    return tuple(change(layout) for layout in layouts)


XARRAY = (
    *by_xarray_format("a CRS of rioxarray", lambda: dataset(crs=UTM)),
    *by_xarray_format("a grid mapping called crs", lambda: mapped("crs")),
    *by_xarray_format("a grid mapping as a coordinate", lambda: mapped("transverse_mercator", coordinate=True)),
    *by_xarray_format("packed, in K", lambda: dataset(KELVIN, attrs={"units": "K"}, encoding=PACKED)),
    *by_xarray_format("nodata as an attribute", lambda: dataset(
        MARKED, attrs={"nodata": -9999.0}, encoding={"_FillValue": None}), formats=(3,)),
    *by_xarray_format("bands first", lambda: dataset(BANDS, ("band", "y", "x"), crs=UTM)),
    *_all(by_xarray_format("three times", lambda: several(time=3), formats=(3,)),
          lambda one: one.to_refuse("it has several times")),
    *_all(by_xarray_format("two images", two_images, formats=(3,)), lambda one: one.to_refuse(SEVERAL)),
)  # fmt: skip


# -- stores of zarr ------------------------------------------------------------------------------


def by_zarr(path: Path) -> Expected:
    """Return the pixels of a store of one array, as they are."""
    node = zarr.open(path, mode="r")
    array: Any = node[NAME] if isinstance(node, zarr.Group) else node
    values = np.asarray(array[...], np.float64)
    names = getattr(array.metadata, "dimension_names", None) or array.attrs["_ARRAY_DIMENSIONS"]
    values = values[None] if values.ndim == 2 else np.moveaxis(values, list(names).index("c"), 0)
    return Expected(values, pixel_bounds(values), coordinate_units=PIXELS)


def stored(
    name: str, version: Format, pixels: NDArray[Any], *, group: bool = True, dims: Sequence[str] = ("y", "x"),
    attrs: Mapping[str, Any] | None = None, **created: Any,
) -> Layout:  # fmt: skip
    """Return the layout of an array that zarr writes, in a group or alone."""

    def write(path: Path) -> None:
        named: dict[str, Any] = {"dimension_names": dims} if version == 3 else {}
        settings = {"shape": pixels.shape, "dtype": pixels.dtype, "chunks": pixels.shape, **named, **created}
        if group:
            array = zarr.open_group(path, mode="w", zarr_format=version).create_array(NAME, **settings)
        else:
            array = zarr.create_array(path, zarr_format=version, **settings)
        array[...] = pixels
        array.attrs.update({**({"_ARRAY_DIMENSIONS": list(dims)} if version == 2 else {}), **(attrs or {})})

    return Layout(f"Zarr {version}: {name}", ".zarr", write, "zarr", by_zarr, "zarr")


def _filled_by_xarray(layout: Layout) -> Layout:
    """Return the layout as xarray reads it, which takes a fill value of Zarr 2 for nodata."""
    read = partial(by_xarray, y=None, x=None)
    return Layout(layout.name, layout.suffix, layout.write, layout.written_by, read, "xarray", needs=("rioxarray",))


ZARR = (
    stored("zeros, and fill value 0", 2, DARK.astype(np.uint16)),
    stored("zeros, and fill value 0, alone", 2, DARK, group=False),
    stored("zeros, and fill value 0", 3, DARK.astype(np.uint16)),
    stored("big-endian", 2, COUNTS.astype(">u2"), group=False),
    stored("in shards", 3, COUNTS, chunks=(4, 8), shards=(20, 24)),
    stored("bands last, alone", 3, np.moveaxis(BANDS, 0, -1).copy(), group=False, dims=("y", "x", "c")),
    _filled_by_xarray(stored("fill value 65535", 2, holes(COUNTS, 65535), fill_value=65535)),
    _filled_by_xarray(stored("missing_value as an attribute", 3, holes(COUNTS, 65535), attrs={"missing_value": 65535})),
)  # fmt: skip


# -- OME-Zarr ------------------------------------------------------------------------------------


def ome_zarr(
    name: str,
    pixels: NDArray[Any],
    axes: str,
    *,
    version: Format = 2,
    more: Mapping[str, Any] | None = None,
    moved: tuple[float, float] | None = None,
    unit: str = MICRO,
    labels: bool = False,
) -> Layout:
    """Return the layout of an OME-Zarr image of version 0.4 (Zarr 2) or 0.5 (Zarr 3), with a pyramid of two levels.

    Parameters
    ----------
    pixels : ndarray
    axes : str
        Such as ``"cyx"``.
    more : mapping, optional
        Added to the multiscale.
    moved : tuple of float, optional
        Translation along y and x.
    unit : str
        Of the axes of space.
    labels : bool
        Whether a group of labels lies in the image.
    """

    def write(path: Path) -> None:
        root = zarr.open_group(path, mode="w", zarr_format=version)
        nested: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        settings = nested if version == 2 else {"dimension_names": list(axes)}
        for level, array in enumerate((pixels, pixels[..., ::2, ::2])):
            root.create_array(str(level), data=array, chunks=array.shape, **settings)
        described = _multiscale(axes, more or {}, moved, unit)
        if version == 2:
            root.attrs["multiscales"] = [{"version": "0.4", **described}]
        else:
            root.attrs["ome"] = {"version": "0.5", "multiscales": [described]}
        if labels:
            root.create_group("labels").attrs["labels"] = []

    number = {2: "0.4", 3: "0.5"}[version]
    return Layout(f"OME-Zarr {number}: {name}", ".ome.zarr", write, "zarr", by_ome_zarr, "zarr, OME-Zarr's attributes")


def _multiscale(axes: str, more: Mapping[str, Any], moved: tuple[float, float] | None, unit: str) -> dict[str, Any]:
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}} | {a: {"type": "space", "unit": unit} for a in "zyx"}
    sizes = {"y": SIZE["PhysicalSizeY"], "x": 2 * SIZE["PhysicalSizeX"]}
    levels = []
    for level in range(2):
        scale = [sizes.get(axis, 1.0) * (2**level if axis in sizes else 1) for axis in axes]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if moved is not None:
            by = {"y": moved[0], "x": moved[1]}
            steps.append({"type": "translation", "translation": [by.get(axis, 0.0) for axis in axes]})
        levels.append({"path": str(level), "coordinateTransformations": steps})
    return {"name": "image", "axes": [{"name": axis, **kinds[axis]} for axis in axes], "datasets": levels, **more}


def by_ome_zarr(path: Path) -> Expected:
    """Return the first level of an OME-Zarr image, and where its attributes put it: element i at scale * i + shift."""
    root = zarr.open_group(path, mode="r")
    attrs: Any = dict(root.attrs)
    described = attrs.get("ome", attrs)["multiscales"][0]
    first = described["datasets"][0]
    scale, shift = np.ones(len(described["axes"])), np.zeros(len(described["axes"]))
    for step in [*first["coordinateTransformations"], *described.get("coordinateTransformations", [])]:
        by = np.array(step.get("scale", np.ones_like(scale)))
        scale, shift = scale * by, shift * by + np.array(step.get("translation", np.zeros_like(shift)))
    array: Any = root[first["path"]]
    values = np.asarray(array[...], np.float64)
    values = values.reshape(-1, *values.shape[-2:])
    (top, left), (bottom, right) = (
        shift[-2:] - scale[-2:] / 2,
        shift[-2:] + scale[-2:] * (np.array(values.shape[1:]) - 0.5),
    )
    bounds = float(left), float(bottom), float(right), float(top)
    return Expected(values, bounds, coordinate_units=described["axes"][-1]["unit"])


def _converted(path: Path) -> None:
    """Write an image as bioformats2raw does, in a group below."""
    ome_zarr("", COUNTS, "yx").write(path / "0")
    zarr.open_group(path, mode="a", zarr_format=2).attrs["bioformats2raw.layout"] = 3


def _plate(path: Path) -> None:
    ome_zarr("", COUNTS, "yx").write(path / "A" / "1" / "0")
    well = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    root = zarr.open_group(path, mode="a", zarr_format=2)
    names: dict[str, Any] = {"columns": [{"name": "1"}], "rows": [{"name": "A"}], "wells": well}
    root.attrs["plate"] = {"version": "0.4", **names}
    zarr.open_group(path / "A" / "1", mode="a", zarr_format=2).attrs["well"] = {"images": [{"path": "0"}]}


TWICE = {"coordinateTransformations": [{"type": "scale", "scale": [2.0, 2.0]}]}

OME_ZARR = (
    ome_zarr("yx", COUNTS, "yx"),
    ome_zarr("yx", COUNTS, "yx", version=3),
    ome_zarr("yx in nm", COUNTS, "yx", unit="nanometer"),
    ome_zarr("yx, moved", COUNTS, "yx", moved=(100.0, -20.0)),
    ome_zarr("yx, moved", COUNTS, "yx", version=3, moved=(100.0, -20.0)),
    ome_zarr("yx, all levels scaled", COUNTS, "yx", more=TWICE),
    ome_zarr("cyx", CHANNELS, "cyx"),
    ome_zarr("cyx", CHANNELS, "cyx", version=3, labels=True),
    ome_zarr("tczyx of one plane", CHANNELS[None, :, None], "tczyx", labels=True),
    ome_zarr("zeros", DARK, "yx"),
    ome_zarr("zyx", STACK, "zyx").to_refuse(PLANES),
    ome_zarr("tczyx", np.stack([STACK[None]] * 2), "tczyx", version=3).to_refuse(PLANES),
    Layout("OME-Zarr 0.4: as bioformats2raw writes it", ".zarr", _converted, "zarr",
           lambda path: by_ome_zarr(path / "0"), "zarr, OME-Zarr's attributes",
           refused="the image lies in a group below"),
    Layout("OME-Zarr 0.4: a plate", ".zarr", _plate, "zarr", refused="it holds wells"),
)  # fmt: skip

LAYOUTS = (*XARRAY, *ZARR, *OME_ZARR)
