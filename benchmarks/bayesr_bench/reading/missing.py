"""Rasters with missing pixels: values that mean nodata, masks, and alpha bands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bayesr_bench.reading.geotiff import palette
from bayesr_bench.reading.layout import BANDS, COUNTS, FLOAT, GREY, HOLE
from bayesr_bench.reading.rasters import geotiff, layout, raster

COLOURS = "natural-x4"
"""A model of three bands."""
INSIDE = {"GDAL_TIFF_INTERNAL_MASK": True}
BESIDE = {"GDAL_TIFF_INTERNAL_MASK": False}
OPAQUE = np.where(HOLE, 0, 255).astype(np.uint8)
"""An alpha band whose pixels are either opaque or transparent."""
HALF = np.where(HOLE, 128, 255).astype(np.uint8)
"""An alpha band with half-transparent pixels."""
LOWEST = float(np.finfo(np.float32).min)
WEAK = "half-transparent pixels are neither data nor missing"


def holes(pixels: NDArray[Any], value: float) -> NDArray[Any]:
    """Return pixels with a value where they are missing."""
    return np.where(HOLE, pixels.dtype.type(value), pixels)


def _one_band() -> NDArray[Any]:
    """Return colours that have 40 in one band or in two, and in all three in one place only."""
    bands = BANDS.copy()
    bands[0, 2:5, 2:9] = bands[2, 4:8, 4:12] = 40
    bands[:, 12:14, 6:9] = 40
    return bands


def _masked(pixels: NDArray[Any], env: Mapping[str, Any], **profile: Any) -> Any:
    def write(path: Path) -> None:
        raster(path, pixels, env=env, then=lambda file: file.write_mask(~HOLE), **profile)
        if path.with_name(f"{path.name}.msk").exists() == (env is INSIDE):
            raise FileExistsError(f"GDAL put the mask of {path} elsewhere.")

    return write


def _sparse(path: Path) -> None:
    from rasterio.windows import Window  # optional

    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    top = COUNTS[:16, :16]
    raster(
        path, np.zeros((0, 20, 24), np.uint16), count=1, nodata=0, **tiles,
        then=lambda file: file.write(top, 1, window=Window(0, 0, 16, 16)),
    )  # fmt: skip


def _tagged(value: str, pixels: NDArray[Any]) -> Any:
    """Write GDAL's tag for nodata into a TIFF without georeference."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, pixels, extratags=[(42113, "s", 0, value, True)])

    return write


def _last_is_alpha(file: Any) -> None:
    from rasterio.enums import ColorInterp  # optional

    # GDAL keeps the meaning of bands that it is told before their pixels.
    file.colorinterp = (ColorInterp.gray, *(ColorInterp.undefined,) * 3, ColorInterp.alpha)
    file.write(np.stack([*BANDS, GREY, OPAQUE]))


RGBA: dict[str, Any] = {"photometric": "rgb", "alpha": "non-premultiplied"}
GREY_ALPHA: dict[str, Any] = {"photometric": "minisblack", "alpha": "non-premultiplied"}

VALUES = (
    geotiff("GeoTIFF: nodata 255, uint8", holes(GREY, 255), nodata=255),
    geotiff("GeoTIFF: nodata 0, uint16", holes(COUNTS, 0), nodata=0),
    geotiff("GeoTIFF: nodata NaN, float32", holes(FLOAT, np.nan), nodata=np.nan),
    geotiff("GeoTIFF: nodata -9999, float32", holes(FLOAT, -9999), nodata=-9999),
    geotiff("GeoTIFF: nodata -3.4e38, float32", holes(FLOAT, LOWEST),
            nodata=LOWEST),
    geotiff("GeoTIFF: nodata 0.1, float32", holes(FLOAT, 0.1), nodata=0.1),
    geotiff("GeoTIFF: nodata that no pixel has", nodata=0),
    layout("GeoTIFF: tiles that were never written", _sparse),
    geotiff("GeoTIFF: RGB with nodata in one band", _one_band(), nodata=40),
    geotiff("GeoTIFF: RGB with nodata in one band, for colours", _one_band(), nodata=40, model=COLOURS),
    geotiff("GeoTIFF: RGB with nodata in all bands", np.where(HOLE, np.uint8(0), BANDS), nodata=0),
    geotiff("GeoTIFF: RGB with nodata in all bands, for colours", np.where(HOLE, np.uint8(0), BANDS), nodata=0,
            model=COLOURS),
    geotiff("GeoTIFF: palette with nodata", holes(GREY, 255), photometric="palette", nodata=255, then=palette),
    layout("TIFF: GDAL's nodata without georeference", _tagged("0", holes(COUNTS, 0)), "tifffile"),
    layout("TIFF: nodata outside the type", _tagged("-9999", COUNTS), "tifffile",
            refused="nodata that no pixel can have may be an error"),
    geotiff("GeoTIFF: NaN without nodata", holes(FLOAT, np.nan)).to_refuse(
        "nothing says that NaN is nodata", "nodata"),
    geotiff("GeoTIFF: infinity without nodata", holes(FLOAT, np.inf)).to_refuse(
        "nothing says that infinity is nodata", "nodata"),
)  # fmt: skip

MASKS = (
    layout("GeoTIFF: mask inside", _masked(GREY, INSIDE)),
    layout("GeoTIFF: mask inside, tiles of deflate", _masked(
        COUNTS, INSIDE, compress="deflate", tiled=True, blockxsize=16, blockysize=16)),
    layout("GeoTIFF: mask inside, RGB", _masked(BANDS, INSIDE)),
    layout("GeoTIFF: mask inside, RGB as JPEG, for colours", _masked(
        BANDS, INSIDE, compress="jpeg", photometric="ycbcr"), model=COLOURS),
    layout("GeoTIFF: mask beside (.msk)", _masked(GREY, BESIDE)),
    layout("GeoTIFF: mask beside (.msk), RGB, for colours", _masked(BANDS, BESIDE), model=COLOURS),
    layout("GeoTIFF: mask and nodata that contradict", _masked(GREY, INSIDE, nodata=5),
            refused="the mask and nodata name other pixels"),
    layout("TIFF: mask inside, without georeference", _masked(GREY, INSIDE, transform=None, crs=None)),
)  # fmt: skip

ALPHA = (
    geotiff("GeoTIFF: RGB and alpha", np.stack([*BANDS, OPAQUE]), **RGBA),
    geotiff("GeoTIFF: RGB and alpha, for colours", np.stack([*BANDS, OPAQUE]), model=COLOURS, **RGBA),
    geotiff("GeoTIFF: RGB and alpha, uint16", np.stack([*BANDS.astype(np.uint16) * 100, OPAQUE * np.uint16(257)]),
            **RGBA),
    geotiff("GeoTIFF: RGB and opaque alpha", np.stack([*BANDS, np.full_like(GREY, 255)]), **RGBA),
    geotiff("GeoTIFF: grey and alpha", np.stack([GREY, OPAQUE]), **GREY_ALPHA),
    geotiff("GeoTIFF: five bands, the second declared alpha", np.stack([*BANDS, GREY, OPAQUE]), **GREY_ALPHA).to_refuse(
        "a band of data is declared to be an alpha channel", "transparent"),
    geotiff("GeoTIFF: bands, the last of them alpha", np.zeros((0, 20, 24), np.uint8), count=5,
            photometric="minisblack", then=_last_is_alpha),
    geotiff("GeoTIFF: RGB and half-transparent alpha", np.stack([*BANDS, HALF]), **RGBA).to_refuse(WEAK),
    geotiff("PNG: nodata as tRNS, by GDAL", holes(GREY, 0), suffix=".png", driver="PNG", nodata=0, crs=None,
            transform=None),
    geotiff("PNG: nodata as tRNS, uint16, by GDAL", holes(COUNTS, 0), suffix=".png", driver="PNG", nodata=0, crs=None,
            transform=None),
    geotiff("PNG: RGB with nodata as tRNS, by GDAL", np.where(HOLE, np.uint8(0), BANDS), suffix=".png", driver="PNG",
            nodata=0, crs=None, transform=None),
)  # fmt: skip

LAYOUTS = (*VALUES, *MASKS, *ALPHA)
