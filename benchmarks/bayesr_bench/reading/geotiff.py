"""GeoTIFFs as GDAL writes them: how pixels are stored, and what their numbers mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bayesr_bench.reading.layout import BANDS, COUNTS, FLOAT, GREY, PALETTE
from bayesr_bench.reading.rasters import geotiff, layout, raster

ELEVATION = GREY.astype(np.int16) * 7 - 400
"""Elevations around the sea level, int16."""
COPY = np.concatenate([BANDS, BANDS[:2, ::-1]])
"""Five bands."""


def _overviews(path: Path) -> None:
    raster(path, GREY, tiled=True, blockxsize=16, blockysize=16, then=lambda file: file.build_overviews([2, 4]))


def _external_overviews(path: Path) -> None:
    import rasterio  # optional

    raster(path, GREY)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])


def _described(file: Any) -> None:
    file.descriptions = ("red", "green", "blue", "again red", "again green")
    file.update_tags(1, wavelength="665 nm")


def _physical(scales: tuple[float, ...], offsets: tuple[float, ...], units: tuple[str, ...]) -> Any:
    def then(file: Any) -> None:
        file.scales, file.offsets, file.units = scales, offsets, units

    return then


def palette(file: Any) -> None:
    """Give a raster the colours of `PALETTE`."""
    file.write_colormap(1, {i: (*colour, 255) for i, colour in enumerate(PALETTE)})


STORED = (
    geotiff("GeoTIFF: one strip", blockysize=20),
    geotiff("GeoTIFF: strips of 3 rows", blockysize=3),
    geotiff("GeoTIFF: tiles", tiled=True, blockxsize=16, blockysize=16),
    geotiff("GeoTIFF: deflate, predictor 2, uint16", COUNTS, compress="deflate", predictor=2),
    geotiff("GeoTIFF: deflate, predictor 3, float32", FLOAT, compress="deflate", predictor=3),
    geotiff("GeoTIFF: LZW, predictor 2, tiles", COUNTS, compress="lzw", predictor=2, tiled=True, blockxsize=16,
            blockysize=16),
    geotiff("GeoTIFF: Zstandard", COUNTS, compress="zstd"),
    geotiff("GeoTIFF: PackBits", compress="packbits"),
    geotiff("GeoTIFF: LERC, float32", FLOAT, compress="lerc"),
    geotiff("GeoTIFF: WebP without loss, RGB", BANDS, compress="webp", webp_lossless=True),
    geotiff("GeoTIFF: JPEG of colours as YCbCr", BANDS, compress="jpeg", photometric="ycbcr", jpeg_quality=95),
    geotiff("GeoTIFF: bands one after the other", BANDS, interleave="band"),
    geotiff("GeoTIFF: bands pixel by pixel", BANDS, interleave="pixel", photometric="rgb"),
    geotiff("GeoTIFF: BigTIFF", bigtiff="yes"),
    geotiff("GeoTIFF: big-endian", COUNTS, endianness="big"),
    geotiff("GeoTIFF: int8", (GREY.astype(np.int16) - 60).astype(np.int8)),
    geotiff("GeoTIFF: int16", ELEVATION),
    geotiff("GeoTIFF: uint32", COUNTS.astype(np.uint32) * 1000),
    geotiff("GeoTIFF: int32", ELEVATION.astype(np.int32) * 1000),
    geotiff("GeoTIFF: int64", ELEVATION.astype(np.int64) * 10**9),
    geotiff("GeoTIFF: float64", ELEVATION / 7),
    geotiff("GeoTIFF: 12 bits of uint16", GREY.astype(np.uint16) * 30, nbits=12),
    geotiff("GeoTIFF: five bands with descriptions", COPY, then=_described),
    layout("GeoTIFF: overviews inside", _overviews),
    layout("GeoTIFF: overviews beside (.ovr)", _external_overviews),
    geotiff("GeoTIFF: COG", COUNTS, driver="COG", blocksize=16, compress="deflate"),
)  # fmt: skip

MEANT = (
    geotiff("GeoTIFF: scale and offset, in K", COUNTS, then=_physical((0.001,), (250.0,), ("K",))),
    geotiff("GeoTIFF: scale of int16 with nodata, in m", np.where(GREY > 110, -9999, ELEVATION).astype(np.int16),
            nodata=-9999, then=_physical((0.1,), (0.0,), ("m",))),
    geotiff("GeoTIFF: offset of uint8", then=_physical((1.0,), (-40.0,), ("",))),
    geotiff("GeoTIFF: scales, offsets and units by band", BANDS,
            then=_physical((0.01, 2.0, 1.0), (273.15, 0.0, -5.0), ("K", "m", "1"))),
    geotiff("GeoTIFF: the same units in all bands", BANDS, then=_physical((1.0,) * 3, (0.0,) * 3, ("K",) * 3)),
    geotiff("GeoTIFF: scale of float32", FLOAT, then=_physical((100.0,), (0.0,), ("",))),
    geotiff("GeoTIFF: counts above 4e9, uint32", GREY.astype(np.uint32) + 4_000_000_000),
    geotiff("GeoTIFF: counts above 1e9, float64", GREY + 1e9),
    geotiff("GeoTIFF: radius of the Moon in m, float64", 1737400 + GREY / 8),
    geotiff("GeoTIFF: scale and a large offset, uint8", then=_physical((0.1,), (1737400.0,), ("m",))),
    geotiff("GeoTIFF: a constant", np.full((20, 24), 7, np.uint8)),
    geotiff("GeoTIFF: a constant of 1e17", np.full((20, 24), 1e17)).or_refuse("float64 holds no steps of 1 there"),
    geotiff("GeoTIFF: values up to 1e39", GREY * 1e37).or_refuse("they are beyond float32"),
    geotiff("GeoTIFF: values up to 1e308", GREY * 1e306).or_refuse("they are beyond float32"),
    geotiff("GeoTIFF: values of 1e-40", GREY * 1e-42).or_refuse("they are below float32"),
    geotiff("GeoTIFF: palette", photometric="palette", then=palette),
    geotiff("GeoTIFF: palette in tiles of LZW", photometric="palette", compress="lzw", tiled=True, blockxsize=16,
            blockysize=16, then=palette),
    geotiff("GeoTIFF: white is 0, uint8", photometric="miniswhite"),
    geotiff("GeoTIFF: white is 0, uint16", COUNTS, photometric="miniswhite"),
)  # fmt: skip

LAYOUTS = (*STORED, *MEANT)
