"""OME-TIFF and ImageJ TIFF: axes, pages, and sizes of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from bayesr_bench.reading.layout import COLOUR, COUNTS, FLOAT, GREY, Expected, Layout
from bayesr_bench.reading.pictures import SEVERAL
from bayesr_bench.reading.scientific import PLANES, STACK, by_tifffile, pages

_UNITS = {"µm": "micrometer", "nm": "nanometer", "mm": "millimeter", "cm": "centimeter", "m": "meter", "in.": "inch"}
"""UDUNITS' names of OME's units."""
_IMAGEJ_UNITS = {"um": "micrometer", "micron": "micrometer", "\\u00B5m": "micrometer", "µm": "micrometer"} | {
    "nm": "nanometer", "mm": "millimeter", "cm": "centimeter", "inch": "inch", "microns": "micrometer",
}  # fmt: skip
CHANNELS = np.stack([COUNTS, COUNTS[::-1]])
"""Two channels."""


def by_ome(path: Path) -> Expected:
    """Return what the OME-XML of a file says, and its pixels as tifffile reads them."""
    with tifffile.TiffFile(path) as file:
        text = file.ome_metadata or ""
    (pixels,) = [node for node in ElementTree.fromstring(text).iter() if node.tag.endswith("}Pixels")]
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "YX"]
    if None in sizes:
        return by_tifffile(path)
    units = {_UNITS[pixels.get(f"PhysicalSize{axis}Unit", "µm")] for axis in "YX"}
    (unit,) = units
    return by_tifffile(path, size=(float(sizes[0] or 0), float(sizes[1] or 0)), units=unit)


def by_imagej(path: Path) -> Expected:
    """Return what ImageJ's description and the resolution of a file say, and its pixels as tifffile reads them."""
    with tifffile.TiffFile(path) as file:
        unit = (file.imagej_metadata or {}).get("unit")
        tags = file.pages.first.tags
        parts = [tags[name].value for name in ("YResolution", "XResolution") if name in tags]
    if unit not in _IMAGEJ_UNITS or not parts:
        return by_tifffile(path)
    (y, x) = (below / above for above, below in parts)
    return by_tifffile(path, size=(y, x), units=_IMAGEJ_UNITS[unit])


def ome(
    name: str, pixels: NDArray[Any], axes: str, /, *, given: dict[str, Any] | None = None, **written: Any
) -> Layout:
    """Return the layout of an OME-TIFF, with metadata and arguments of `tifffile.imwrite`."""

    def write(path: Path) -> None:
        metadata = {"axes": axes, **(given or {})}
        tifffile.imwrite(path, pixels, ome=True, metadata=metadata, **{"photometric": "minisblack", **written})

    return Layout(f"OME-TIFF: {name}", ".ome.tif", write, "tifffile", by_ome, "tifffile, OME-XML")


def imagej(
    name: str, pixels: NDArray[Any], axes: str, /, *, given: dict[str, Any] | None = None, **written: Any
) -> Layout:
    """Return the layout of an ImageJ TIFF, with metadata and arguments of `tifffile.imwrite`."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes, **(given or {})}, **written)

    return Layout(f"ImageJ: {name}", ".tif", write, "tifffile", by_imagej, "tifffile")


def _size(y: float, x: float, unit: str | None = "µm") -> dict[str, Any]:
    units = {"PhysicalSizeYUnit": unit, "PhysicalSizeXUnit": unit} if unit else {}
    return {"PhysicalSizeY": y, "PhysicalSizeX": x, **units}


def _pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        settings: dict[str, Any] = {"photometric": "minisblack", "tile": (16, 16)}
        file.write(CHANNELS, subifds=1, metadata={"axes": "CYX", **_size(0.2, 0.2)}, **settings)
        file.write(CHANNELS[:, ::2, ::2], subfiletype=1, **settings)


SIZE = _size(0.25, 0.25)

OME = (
    ome("YX, sizes in µm", COUNTS, "YX", given=SIZE),
    ome("YX, without sizes", GREY, "YX"),
    ome("YX, sizes without a unit", COUNTS, "YX", given=_size(0.25, 0.25, None)),
    ome("YX, sizes in nm", COUNTS, "YX", given=_size(65, 65, "nm")),
    ome("YX, sizes in mm", COUNTS, "YX", given=_size(0.01, 0.01, "mm")),
    ome("YX, higher than wide", COUNTS, "YX", given=_size(0.5, 0.25)),
    ome("YX, float32", FLOAT, "YX", given=SIZE),
    ome("YX, big-endian", COUNTS, "YX", given=SIZE, byteorder=">"),
    ome("YX, BigTIFF", COUNTS, "YX", given=SIZE, bigtiff=True),
    ome("YX, tiles of deflate", COUNTS, "YX", given=SIZE, tile=(16, 16), compression="zlib"),
    ome("CYX", CHANNELS, "CYX", given=SIZE),
    ome("CYX, three channels", STACK, "CYX", given={"Channel": {"Name": ["DAPI", "GFP", "RFP"]}, **SIZE}),
    ome("YXS", COLOUR, "YXS", given=SIZE, photometric="rgb"),
    ome("SYX", np.moveaxis(COLOUR, -1, 0).copy(), "SYX", photometric="rgb", planarconfig="separate"),
    ome("TCZYX, one plane", COUNTS[None, None, None], "TCZYX", given=SIZE),
    ome("TZCYX, two channels", CHANNELS[None, None], "TZCYX", given=SIZE),
    ome("ZYX", STACK, "ZYX", given=SIZE).to_refuse(PLANES),
    ome("ZYX of a single plane", COUNTS[None], "ZYX", given={"PhysicalSizeZ": 1.0, **SIZE}),
    ome("TYX", STACK, "TYX").to_refuse(PLANES),
    ome("ZCYX", np.stack([CHANNELS] * 3), "ZCYX").to_refuse(PLANES),
    Layout("OME-TIFF: a pyramid", ".ome.tif", _pyramid, "tifffile", by_ome, "tifffile, OME-XML"),
    pages("OME-TIFF: two images", (COUNTS, {"metadata": {"axes": "YX"}}), (GREY, {"metadata": {"axes": "YX"}}),
          suffix=".ome.tif").to_refuse(SEVERAL),
    pages("OME-TIFF: an image and its label", (COUNTS, {"metadata": {"axes": "YX", "Name": "image"}}),
          (GREY[:8, :9].copy(), {"metadata": {"axes": "YX", "Name": "label"}}), suffix=".ome.tif").to_refuse(SEVERAL),
)  # fmt: skip

IMAGEJ = (
    imagej("YX, sizes in um", COUNTS, "YX", given={"unit": "um"}, resolution=(4.0, 4.0)),
    imagej("YX, sizes in micron", COUNTS, "YX", given={"unit": "micron"}, resolution=(8.0, 4.0)),
    imagej("YX, sizes in µm, escaped", COUNTS, "YX", given={"unit": "\\u00B5m"}, resolution=(4.0, 4.0)),
    imagej("YX, sizes in nm, float32", FLOAT, "YX", given={"unit": "nm"}, resolution=(0.02, 0.02)),
    imagej("YX, sizes in inch", GREY, "YX", given={"unit": "inch"}, resolution=(300.0, 300.0)),
    imagej("YX, resolution without a unit", GREY, "YX", resolution=(4.0, 4.0)),
    imagej("YX, in pixels", GREY, "YX", given={"unit": "pixel"}, resolution=(1.0, 1.0)),
    imagej("YX, little-endian", COUNTS, "YX", byteorder="<"),
    imagej("CYX", CHANNELS, "CYX", given={"mode": "composite", "unit": "um"}, resolution=(4.0, 4.0)),
    imagej("YXS", COLOUR, "YXS"),
    imagej("YX, a lookup table", GREY, "YX", given={"LUTs": [np.stack([np.arange(256, dtype=np.uint8)] * 3)]}),
    imagej("ZYX", STACK, "ZYX", given={"spacing": 0.5, "unit": "um"}, resolution=(4.0, 4.0)).to_refuse(PLANES),
    imagej("TYX", STACK, "TYX", given={"finterval": 2.0}).to_refuse(PLANES),
    imagej("ZCYX", np.stack([CHANNELS] * 3), "ZCYX").to_refuse(PLANES),
    imagej("a single plane of ZCYX", COUNTS[None, None], "ZCYX", given={"unit": "um"}, resolution=(4.0, 4.0)),
)  # fmt: skip

LAYOUTS = (*OME, *IMAGEJ)
