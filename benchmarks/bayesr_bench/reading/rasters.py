"""Write rasters, and read them, with rasterio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr_bench.reading.layout import GREY, PIXELS, Bounds, Expected, Layout, Point, Values, pixel_bounds

NEEDS = ("rasterio", "rioxarray")
UTM = "EPSG:32632"
NORTH_UP = (10.0, 0.0, 500000.0, 0.0, -10.0, 5400000.0)
"""A transform ``a b c d e f``: pixels of 10 m."""

Then = Callable[[Any], None]


def raster(
    path: Path,
    pixels: NDArray[Any],
    *,
    driver: str = "GTiff",
    crs: str | None = UTM,
    transform: tuple[float, ...] | None = NORTH_UP,
    then: Then | None = None,
    env: Mapping[str, Any] | None = None,
    **profile: Any,
) -> None:
    """Write pixels, `band x y x x` or `y x x`.

    Parameters
    ----------
    path : Path
    pixels : ndarray
        Without bands if `then` writes them.
    driver, crs, transform, **profile
        See `rasterio.open`.
    then : callable, optional
        Called with the open file after the pixels are written.
    env : mapping, optional
        Options of GDAL.
    """
    import rasterio  # optional

    cube = pixels[None] if pixels.ndim == 2 else pixels
    place = None if transform is None else rasterio.Affine(*transform)
    given = {"width": cube.shape[2], "height": cube.shape[1], "count": len(cube), "dtype": cube.dtype}
    with (
        rasterio.Env(**(env or {})),
        rasterio.open(path, "w", driver=driver, crs=crs, transform=place, **given | profile) as file,
    ):
        if len(cube):
            file.write(cube)
        if then is not None:
            then(file)


def by_rasterio(path: Path) -> Expected:
    """Return what rasterio says of a file: missing pixels as GDAL's masks, without alpha bands."""
    import rasterio  # optional
    from rasterio.enums import ColorInterp

    with rasterio.open(path) as file:
        kept = [i for i, kind in enumerate(file.colorinterp) if kind != ColorInterp.alpha]
        indexes = [i + 1 for i in kept]
        raw, masks = file.read(indexes), file.read_masks(indexes)
        for i, kind in enumerate(file.colorinterp):
            if kind == ColorInterp.alpha:  # GDAL makes a mask of it in files of 2 and 4 bands only
                masks[:, file.read(i + 1) == 0] = 0
        values = _decoded(file, raw, kept)
        shown = values.copy()
        values[np.broadcast_to(masks == 0, values.shape)] = np.nan
        shown[:, (masks == 0).all(0)] = np.nan
        units = tuple(file.units[i] or "" for i in kept)
        return Expected(values, units=units if any(units) else (), **_place(file, values), shown=shown)


def _decoded(file: Any, raw: NDArray[Any], kept: list[int]) -> Values:
    """Return the values that raw pixels stand for: colours of a palette, the negative of a negative, physical ones."""
    from rasterio.enums import ColorInterp  # optional

    if file.colorinterp[0] == ColorInterp.palette:
        table = np.array([file.colormap(1).get(i, (0, 0, 0, 255))[:3] for i in range(256)], float)
        return np.moveaxis(table[raw[0]], -1, 0)
    values = raw.astype(np.float64)
    if file.tags(1, ns="IMAGE_STRUCTURE").get("MINISWHITE") or file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE"):
        return float(np.iinfo(raw.dtype).max) - values
    scales, offsets = (np.array([each[i] for i in kept])[:, None, None] for each in (file.scales, file.offsets))
    return np.asarray(values * scales + offsets)


def _place(file: Any, values: Values) -> dict[str, Any]:
    """Return where a raster lies."""
    gcps, crs = file.gcps
    if gcps:
        points: tuple[Point, ...] = tuple((p.row, p.col, p.x, p.y) for p in gcps)
        return {"bounds": None, "gcps": points, "crs": crs.to_wkt() if crs else None}
    wkt = file.crs.to_wkt() if file.crs else None
    place = file.transform
    if place.is_identity:
        return {"bounds": pixel_bounds(values), "crs": wkt, "coordinate_units": PIXELS}
    if place.b or place.d:
        return {"bounds": None, "transform": tuple(place)[:6], "crs": wkt}
    left, top = place @ (0, 0)
    right, bottom = place @ (file.width, file.height)
    bounds: Bounds = (left, bottom, right, top)
    return {"bounds": bounds, "crs": wkt}


def layout(
    name: str, write: Callable[[Path], None], by: str = "rasterio", suffix: str = ".tif", **settings: Any
) -> Layout:
    """Return the layout of a raster that a function writes, with a library `by`, and that rasterio reads."""
    return Layout(name, suffix, write, by, by_rasterio, "rasterio", needs=NEEDS, **settings)


def geotiff(
    name: str, pixels: NDArray[Any] = GREY, *, suffix: str = ".tif", refused: str = "", model: str = "", **profile: Any
) -> Layout:
    """Return the layout of a raster that rasterio writes with a profile and reads."""
    settings = {"model": model} if model else {}
    return layout(name, partial(raster, pixels=pixels, **profile), suffix=suffix, refused=refused, **settings)
