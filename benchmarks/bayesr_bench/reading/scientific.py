"""Write and read TIFFs with tifffile, and plain ones: photometry, orientation, pages, depths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bayesr_bench.reading.layout import (
    BANDS,
    COLOUR,
    COUNTS,
    FLOAT,
    GREY,
    PALETTE,
    PIXELS,
    Expected,
    Layout,
    Values,
    grown,
    pixel_bounds,
)
from bayesr_bench.reading.missing import HALF, OPAQUE, WEAK
from bayesr_bench.reading.pictures import SEVERAL, by_pillow, compressed

STACK = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
"""Three planes."""
PLANES = "it has several planes"
_ORIENTATION, _REDUCED = 274, 1


def by_tifffile(
    path: Path, *, series: int = 0, size: tuple[float, float] | None = None, units: str = "micrometer"
) -> Expected:
    """Return what tifffile says of a series; the photometry as the TIFF specification has it.

    Parameters
    ----------
    path : Path
    series : int
        The series of the image.
    size : tuple of float, optional
        Size of a pixel along y and x.
    units : str
        Units of `size`.
    """
    with tifffile.TiffFile(path) as file:
        chosen = file.series[series]
        values = _bands_first(chosen.asarray(), chosen.axes)
        page = chosen.keyframe
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            values = float(np.iinfo(page.dtype).max) - values
    bounds = pixel_bounds(values)
    if size is None:
        return Expected(values, bounds, coordinate_units=PIXELS)
    return Expected(values, grown(bounds, *size), coordinate_units=units)


def _bands_first(pixels: NDArray[Any], axes: str) -> Values:
    """Return pixels as `band x y x x`; axes of one element are left out."""
    single = tuple(i for i, axis in enumerate(axes) if pixels.shape[i] == 1 and axis not in "YX")
    pixels, axes = np.squeeze(pixels, single), "".join(axis for i, axis in enumerate(axes) if i not in single)
    if pixels.ndim == 2:
        return np.asarray(pixels[None], np.float64)
    (band,) = (i for i, axis in enumerate(axes) if axis not in "YX")
    return np.asarray(np.moveaxis(pixels, band, 0), np.float64)


def _by_palette(levels: int) -> Callable[[Path], Expected]:
    """Read a palette TIFF whose colour map has the colours times `levels`."""

    def read(path: Path) -> Expected:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            colours = np.asarray(page.colormap, np.float64) / levels
            return Expected(colours[:, page.asarray()], pixel_bounds(page.asarray()), coordinate_units=PIXELS)

    return read


def tiff(
    name: str,
    pixels: NDArray[Any] = GREY,
    read: Callable[[Path], Expected] = by_tifffile,
    read_by: str = "tifffile",
    /,
    **written: Any,
) -> Layout:
    """Return the layout of a TIFF that tifffile writes."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **written})

    return Layout(name, ".tif", write, "tifffile", read, read_by)


def pages(name: str, *written: tuple[NDArray[Any], dict[str, Any]], series: int = 0, suffix: str = ".tif") -> Layout:
    """Return the layout of a TIFF of several pages or series, each with arguments of `tifffile.TiffWriter.write`."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path, ome=suffix == ".ome.tif") as file:
            for pixels, settings in written:
                file.write(pixels, **{"photometric": "minisblack", **settings})

    return Layout(name, suffix, write, "tifffile", lambda path: by_tifffile(path, series=series), "tifffile")


def _colours(levels: int) -> NDArray[np.uint16]:
    return np.array(PALETTE, np.uint16).T * np.uint16(levels)


def _turned(value: int, name: str, pixels: NDArray[Any], **written: Any) -> Layout:
    tags = [(_ORIENTATION, "H", 1, value, True)]
    return tiff(f"TIFF: orientation {value}, {name}", pixels, by_pillow, "Pillow", extratags=tags, **written)


def _inks(kind: str, pixels: NDArray[Any], **written: Any) -> Layout:
    return tiff(f"TIFF: {kind}", pixels, photometric=kind, **written).to_refuse("its bands are no colours of a screen")


def _alpha(name: str, alpha: NDArray[Any], kind: str, **written: Any) -> Layout:
    pixels = np.dstack([COLOUR, alpha])
    return tiff(f"TIFF: RGB and {name}", pixels, by_pillow, "Pillow", photometric="rgb", extrasamples=[kind], **written)


def _unnamed(names: Sequence[Any]) -> dict[str, Any]:
    return {"metadata": {"axes": "".join(names)}}


_THUMBNAIL = (GREY[::4, ::4].copy(), {"subfiletype": _REDUCED, "metadata": None})
_WHOLE: tuple[NDArray[Any], dict[str, Any]] = (COUNTS, {"metadata": None})
_PYRAMID = {"subifds": 1, "tile": (16, 16), "metadata": None}
_LEVEL = (COUNTS[::2, ::2].copy(), {"subfiletype": _REDUCED, "tile": (16, 16), "metadata": None})

DEPTHS = (
    tiff("TIFF: grey"),
    tiff("TIFF: uint16", COUNTS),
    tiff("TIFF: uint32", COUNTS.astype(np.uint32) * 1000),
    tiff("TIFF: int8", (GREY.astype(np.int16) - 60).astype(np.int8)),
    tiff("TIFF: int16", COUNTS.astype(np.int32).astype(np.int16) - np.int16(9000)),
    tiff("TIFF: float16", FLOAT.astype(np.float16)),
    tiff("TIFF: float32, big-endian", FLOAT, byteorder=">"),
    tiff("TIFF: float64", GREY / 7),
    tiff("TIFF: counts above 4e9, uint32", GREY.astype(np.uint32) + 4_000_000_000),
    tiff("TIFF: complex", FLOAT.astype(np.complex64)).to_refuse("pixels are complex"),
    tiff("TIFF: BigTIFF", COUNTS, bigtiff=True),
    tiff("TIFF: tiles of deflate", COUNTS, tile=(16, 16), compression="zlib"),
    tiff("TIFF: strips of 3 rows", COUNTS, rowsperstrip=3),
    compressed(tiff("TIFF: deflate with predictor", COUNTS, by_pillow, "Pillow", compression="zlib", predictor=2)),
    tiff("TIFF: RGB", COLOUR, photometric="rgb"),
    tiff("TIFF: RGB, planes", BANDS, photometric="rgb", planarconfig="separate"),
    tiff("TIFF: RGB, 16 bits", COLOUR.astype(np.uint16) * 257 + np.uint16(3), photometric="rgb"),
    tiff("TIFF: resolution in cm", resolution=(1e4, 2e4), resolutionunit="CENTIMETER"),
)  # fmt: skip

PHOTOMETRY = (
    tiff("TIFF: white is 0, uint8", GREY, by_pillow, "Pillow", photometric="miniswhite"),
    tiff("TIFF: white is 0, uint16", COUNTS, photometric="miniswhite"),
    tiff("TIFF: white is 0, tiles of deflate", COUNTS, photometric="miniswhite", tile=(16, 16), compression="zlib"),
    tiff("TIFF: palette", GREY, by_pillow, "Pillow", photometric="palette", colormap=_colours(257)),
    tiff("TIFF: palette of an old writer", GREY, _by_palette(256), photometric="palette", colormap=_colours(256)),
    tiff("TIFF: palette of 16 bits", GREY, _by_palette(1), photometric="palette", colormap=_colours(259)).or_refuse(
        "its colours have 16 bits"),
    _turned(1, "grey", GREY),
    _turned(2, "grey", GREY),
    _turned(3, "uint16", COUNTS),
    _turned(5, "grey", GREY),
    _turned(6, "RGB", COLOUR, photometric="rgb"),
    _turned(8, "uint16, tiles", COUNTS, tile=(16, 16)),
    _inks("separated", np.dstack([COLOUR, GREY]), planarconfig="contig"),
    _inks("cielab", COLOUR, planarconfig="contig"),
    _inks("cfa", GREY),
    _alpha("alpha", OPAQUE, "unassalpha"),
    _alpha("premultiplied alpha", OPAQUE, "assocalpha").or_refuse("colours are multiplied by alpha"),
    _alpha("opaque alpha", np.full_like(GREY, 255), "unassalpha"),
    _alpha("half-transparent alpha", HALF, "unassalpha").to_refuse(WEAK),
    tiff("TIFF: RGB and infrared", np.dstack([COLOUR, GREY]), photometric="rgb", extrasamples=["unspecified"]),
)  # fmt: skip

PAGES = (
    pages("TIFF: a thumbnail before the image", _THUMBNAIL, _WHOLE, series=1),
    pages("TIFF: a thumbnail after the image", _WHOLE, _THUMBNAIL),
    pages("TIFF: a pyramid in SubIFDs", (COUNTS, _PYRAMID), _LEVEL),
    pages("TIFF: a pyramid in pages", _WHOLE, _LEVEL),
    pages("TIFF: pages of two sizes", _WHOLE, (GREY[:9, :8].copy(), {"metadata": None})).to_refuse(SEVERAL),
    pages("TIFF: pages of one size", _WHOLE, (COUNTS[::-1].copy(), {"metadata": None})).to_refuse(SEVERAL),
    tiff("TIFF: axes CYX", STACK, **_unnamed("CYX")),
    tiff("TIFF: axes ZYX", STACK, **_unnamed("ZYX")).to_refuse(PLANES),
    tiff("TIFF: axes TYX", STACK, **_unnamed("TYX")).to_refuse(PLANES),
    tiff("TIFF: axes ZYX, a single plane", COUNTS[None], **_unnamed("ZYX")),
    tiff("TIFF: three planes without names", STACK).or_refuse("nothing says what the planes are"),
)  # fmt: skip

LAYOUTS = (*DEPTHS, *PHOTOMETRY, *PAGES)
