"""Rasters that lie somewhere: rotated, at ground control points, with files beside them, in other formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from bayesr_bench.reading.layout import BANDS, COLOUR, COUNTS, GREY, Layout
from bayesr_bench.reading.rasters import NEEDS, UTM, geotiff, layout, raster

ROTATED = (8.66, 5.0, 500000.0, 5.0, -8.66, 5400000.0)
SHEARED = (10.0, 2.5, 500000.0, 0.0, -10.0, 5400000.0)
DEGREES = (1 / 1200, 0.0, 6.5, 0.0, -1 / 1200, 47.25)
WORLD = (10.0, 0.0, 0.0, -10.0, 500005.0, 5399995.0)
"""The lines of a world file for `NORTH_UP`: the last two are the centre of the first pixel."""


def _gcps(path: Path) -> None:
    from rasterio.control import GroundControlPoint  # optional

    corners = [(0, 0), (0, 24), (20, 0), (20, 24), (10, 12)]
    points = [
        GroundControlPoint(row, col, 500000 + 10 * col + row, 5400000 - 10 * row + 0.3 * col**1.5)
        for row, col in corners
    ]
    raster(path, GREY, transform=None, crs=UTM, gcps=points)


def _rpcs(path: Path) -> None:
    from rasterio.rpc import RPC  # optional

    line = [0.0, 0.0, -1.0, *[0.0] * 17]
    sample = [0.0, 1.0, *[0.0] * 18]
    one = [1.0, *[0.0] * 19]
    rpcs = RPC(100.0, 50.0, 47.0, 0.01, one, line, 10.0, 10.0, 7.0, 0.01, one, sample, 12.0, 12.0)
    raster(path, GREY, transform=None, crs=None, rpcs=rpcs)


def _with_world_file(
    write: Callable[[Path], object], suffix: str, lines: tuple[float, ...] = WORLD
) -> Callable[[Path], None]:
    """Return a function that writes an image, and a world file beside it."""

    def both(path: Path) -> None:
        write(path)
        path.with_suffix(suffix).write_text("".join(f"{line}\n" for line in lines))

    return both


def _tiff_with_auxiliary_file(path: Path) -> None:
    raster(path, COUNTS, profile="BASELINE")
    if not path.with_name(f"{path.name}.aux.xml").exists():
        raise FileNotFoundError(f"GDAL wrote no auxiliary file beside {path}.")


def _vrt(path: Path) -> None:
    from rasterio.shutil import copy  # optional

    raster(path.with_suffix(".tif"), GREY)
    copy(path.with_suffix(".tif"), path, driver="VRT")


_OTHER = "only some raster formats are read"

LAYOUTS = (
    geotiff("GeoTIFF: degrees", crs="EPSG:4326", transform=DEGREES),
    geotiff("GeoTIFF: south up", transform=(10.0, 0.0, 500000.0, 0.0, 10.0, 5400000.0)),
    geotiff("GeoTIFF: east to west", transform=(-10.0, 0.0, 500000.0, 0.0, -10.0, 5400000.0)),
    geotiff("GeoTIFF: pixels twice as high as wide", transform=(10.0, 0.0, 500000.0, 0.0, -20.0, 5400000.0)),
    geotiff("GeoTIFF: pixel is point", then=lambda file: file.update_tags(AREA_OR_POINT="Point")),
    geotiff("GeoTIFF: a transform without a CRS", crs=None),
    geotiff("GeoTIFF: a CRS of two parts", crs="EPSG:32632+5773"),
    geotiff("GeoTIFF: rotated by 30 degrees", transform=ROTATED),
    geotiff("GeoTIFF: sheared, with nodata", np.where(GREY > 100, 0, GREY), transform=SHEARED, nodata=0),
    geotiff("GeoTIFF: rotated by 90 degrees", BANDS, transform=(0.0, 10.0, 500000.0, 10.0, 0.0, 5400000.0)),
    layout("GeoTIFF: ground control points", _gcps),
    Layout("GeoTIFF: rational polynomials only", ".tif", _rpcs, "rasterio", needs=NEEDS,
           refused="its place is given by rational polynomials, which need heights"),
    geotiff("GeoTIFF: a single row", COUNTS[:1]),
    geotiff("GeoTIFF: a single column", COUNTS[:, :1]),
    geotiff("GeoTIFF: a single pixel", COUNTS[:1, :1]),
    geotiff("JPEG 2000 with a georeference, uint16", COUNTS, suffix=".jp2", driver="JP2OpenJPEG", quality=100,
            reversible=True),
    geotiff("JPEG 2000 with a georeference, RGB", BANDS, suffix=".jp2", driver="JP2OpenJPEG", quality=100,
            reversible=True, ycbcr420=False),
    geotiff("PNG with world file and .aux.xml", BANDS, suffix=".png", driver="PNG", worldfile=True),
    layout("PNG with world file (.pgw)", _with_world_file(Image.fromarray(COLOUR).save, ".pgw"), "Pillow", ".png"),
    layout("PNG with world file (.wld)", _with_world_file(
        Image.fromarray(GREY).save, ".wld", (10.0, 0.0, 0.0, -20.0, 5.0, 390.0)), "Pillow", ".png"),
    # Grey: decoders enlarge colours in several ways.
    layout("JPEG with world file (.jgw)", _with_world_file(
        partial(Image.fromarray(GREY).save, quality=100), ".jgw"), "Pillow", ".jpg"),
    layout("TIFF with world file (.tfw)", _with_world_file(
        partial(tifffile.imwrite, data=COUNTS), ".tfw"), "tifffile"),
    layout("TIFF with .aux.xml", _tiff_with_auxiliary_file),
    geotiff("Erdas Imagine", suffix=".img", driver="HFA", refused=_OTHER),
    geotiff("ESRI grid of text", suffix=".asc", driver="AAIGrid", refused=_OTHER),
    layout("GDAL's virtual raster", _vrt, suffix=".vrt", refused=_OTHER),
)  # fmt: skip
