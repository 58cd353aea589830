"""Everyday pictures, and TIFFs that Pillow writes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bayesr_bench.reading.layout import (
    BANDS,
    COLOUR,
    COUNTS,
    FLOAT,
    GREY,
    HOLE,
    PALETTE,
    PIXELS,
    Expected,
    Layout,
    pixel_bounds,
)
from bayesr_bench.reading.missing import HALF, OPAQUE, WEAK
from bayesr_bench.reading.rasters import geotiff

SEVERAL = "it holds several images"
_ORIENTATION = 0x0112


def by_pillow(path: Path) -> Expected:
    """Return what Pillow says of a picture, in the orientation that it is shown in, without its alpha channel."""
    # Pillow 13 maps TIFFs by name into memory and forgets their orientation on the way.
    with path.open("rb") as opened, Image.open(opened) as file:
        picture = ImageOps.exif_transpose(file)
        if picture.mode == "P" or "transparency" in picture.info:
            picture = picture.convert("RGBA" if picture.mode in ("P", "RGB") else "LA")
        elif picture.mode in ("1", "CMYK"):
            picture = picture.convert("L" if picture.mode == "1" else "RGB")
        pixels = np.asarray(picture)
    cube = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]
    values = cube.astype(np.float64)
    if picture.mode in ("LA", "RGBA"):
        values = values[:-1]
        values[:, cube[-1] == 0] = np.nan
    return Expected(values, pixel_bounds(values), coordinate_units=PIXELS)


def picture(name: str, suffix: str, *frames: Image.Image, needs: tuple[str, ...] = (), **saved: Any) -> Layout:
    """Return the layout of a picture that Pillow saves, with several frames where there are several, and reads."""

    def write(path: Path) -> None:
        first, *others = (frame.copy() for frame in frames)  # Pillow keeps settings of an encoder in the picture
        several: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
        first.save(path, **saved, **several)

    return Layout(name, suffix, write, "Pillow", by_pillow, "Pillow", needs=needs)


def compressed(layout: Layout) -> Layout:
    """Return the layout of a TIFF that needs imagecodecs, and may be refused without."""
    if find_spec("imagecodecs") is not None:
        return layout
    return layout.or_refuse("its compression needs imagecodecs", r"bayesr\[bio\]")


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif


def _with_alpha(pixels: NDArray[Any], alpha: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.dstack([pixels, alpha]))


def _png(name: str, pixels: NDArray[Any]) -> Layout:
    """Return the layout of a PNG of a depth that Pillow does not write."""
    return geotiff(name, pixels, suffix=".png", driver="PNG", crs=None, transform=None)


def _indexed() -> Image.Image:
    """Return a picture whose index 0 is where pixels are missing."""
    image = Image.fromarray(np.where(HOLE, np.uint8(0), GREY), "P")
    image.putpalette([value for colour in PALETTE for value in colour])
    return image


ONE_BIT = Image.fromarray(GREY > 40)
L, RGB, L16 = Image.fromarray(GREY), Image.fromarray(COLOUR), Image.fromarray(COUNTS)
LA, RGBA = _with_alpha(GREY, OPAQUE), _with_alpha(COLOUR, OPAQUE)
FLIPPED = Image.fromarray(COLOUR[::-1].copy())
P = _indexed()
DEEP, DEEP_ALPHA = BANDS.astype(np.uint16) * 257 + np.arange(24, dtype=np.uint16), OPAQUE * np.uint16(257)
_DEPTH = "one bit may be refused"

PNG = (
    picture("PNG: grey", ".png", L),
    picture("PNG: RGB", ".png", RGB),
    picture("PNG: grey, 16 bits", ".png", L16),
    _png("PNG: RGB, 16 bits", DEEP),
    _png("PNG: RGB and alpha, 16 bits", np.stack([*DEEP, DEEP_ALPHA])),
    _png("PNG: RGB and opaque alpha, 16 bits", np.stack([*DEEP, np.full_like(COUNTS, 65535)])),
    _png("PNG: RGB and half-transparent alpha, 16 bits", np.stack([*DEEP, HALF * np.uint16(257)])).to_refuse(WEAK),
    _png("PNG: grey and alpha, 16 bits", np.stack([COUNTS, DEEP_ALPHA])),
    picture("PNG: grey and alpha", ".png", LA),
    picture("PNG: RGB and alpha", ".png", RGBA),
    picture("PNG: RGB and opaque alpha", ".png", RGB.convert("RGBA")),
    picture("PNG: RGB and half-transparent alpha", ".png", _with_alpha(COLOUR, HALF)).to_refuse(WEAK),
    picture("PNG: one bit", ".png", ONE_BIT).or_refuse(_DEPTH),
    picture("PNG: palette", ".png", P),
    picture("PNG: palette of 4 bits", ".png", L.quantize(12)),
    picture("PNG: palette with a transparent colour", ".png", P, transparency=0),
    picture("PNG: palette with half-transparent colours", ".png", P, transparency=bytes([100])).to_refuse(WEAK),
    picture("PNG: grey with a transparent value", ".png", L, transparency=5),
    picture("PNG: RGB with a transparent colour", ".png", RGB, transparency=tuple(COLOUR[3, 4].tolist())),
    picture("PNG: turned by EXIF", ".png", RGB, exif=_turned(6)),
    picture("PNG: animated", ".png", RGB, FLIPPED).to_refuse(SEVERAL),
)  # fmt: skip

OTHERS = (
    picture("JPEG: grey", ".jpg", L, quality=95),
    picture("JPEG: RGB", ".jpg", RGB, quality=90),
    picture("JPEG: progressive, without subsampling", ".jpeg", RGB, quality=90, progressive=True, subsampling=0),
    picture("JPEG: CMYK", ".jpg", RGB.convert("CMYK"), quality=95).or_refuse("its inks are no colours of a screen"),
    picture("JPEG: turned by EXIF, 6", ".jpg", RGB, quality=95, exif=_turned(6)),
    picture("JPEG: turned by EXIF, 3, grey", ".jpg", L, quality=95, exif=_turned(3)),
    picture("JPEG: mirrored by EXIF, 5", ".jpg", RGB, quality=95, exif=_turned(5)),
    picture("JPEG: two frames (MPO)", ".mpo", RGB, FLIPPED).or_refuse(SEVERAL),
    picture("GIF", ".gif", P),
    picture("GIF: a transparent colour", ".gif", P, transparency=0),
    picture("GIF: animated", ".gif", RGB, FLIPPED).to_refuse(SEVERAL),
    picture("WebP without loss", ".webp", RGB, lossless=True, needs=("PIL._webp",)),
    picture("WebP with loss", ".webp", RGB, quality=90, needs=("PIL._webp",)),
    picture("WebP: alpha", ".webp", RGBA, lossless=True, exact=True, needs=("PIL._webp",)),
    picture("WebP: turned by EXIF", ".webp", RGB, lossless=True, exif=_turned(8), needs=("PIL._webp",)),
    picture("WebP: animated", ".webp", RGB, FLIPPED, needs=("PIL._webp",)).to_refuse(SEVERAL),
    picture("AVIF", ".avif", RGB, quality=90, needs=("PIL._avif",)),
    picture("BMP: RGB", ".bmp", RGB),
    picture("BMP: palette", ".bmp", P),
    picture("TGA: RGB", ".tga", RGB),
    picture("PGM: 16 bits", ".pgm", L16),
    picture("PPM: RGB", ".ppm", RGB),
    picture("JPEG 2000: grey", ".jp2", L),
    picture("JPEG 2000: RGB", ".jp2", RGB),
    picture("JPEG 2000: grey, 16 bits", ".jp2", L16),
)  # fmt: skip

TIFF = (
    picture("TIFF by Pillow: grey", ".tif", L),
    picture("TIFF by Pillow: RGB", ".tif", RGB),
    picture("TIFF by Pillow: grey, 16 bits", ".tif", L16),
    picture("TIFF by Pillow: int32", ".tif", Image.fromarray(COUNTS.astype(np.int32) - 20000)),
    picture("TIFF by Pillow: float32", ".tif", Image.fromarray(FLOAT)),
    picture("TIFF by Pillow: deflate", ".tif", L16, compression="tiff_adobe_deflate"),
    compressed(picture("TIFF by Pillow: LZW", ".tif", L16, compression="tiff_lzw")),
    compressed(picture("TIFF by Pillow: PackBits", ".tif", L, compression="packbits")),
    compressed(picture("TIFF by Pillow: JPEG", ".tif", L, compression="jpeg")),
    picture("TIFF by Pillow: resolution in dpi", ".tif", RGB, dpi=(300, 150)),
    picture("TIFF by Pillow: grey and alpha", ".tif", LA),
    picture("TIFF by Pillow: RGB and alpha", ".tif", RGBA),
    picture("TIFF by Pillow: RGB and half-transparent alpha", ".tif", _with_alpha(COLOUR, HALF)).to_refuse(WEAK),
    picture("TIFF by Pillow: palette", ".tif", P),
    picture("TIFF by Pillow: one bit", ".tif", ONE_BIT).or_refuse(_DEPTH),
    compressed(picture("TIFF by Pillow: one bit, fax", ".tif", ONE_BIT, compression="group4")).or_refuse(_DEPTH),
    picture("TIFF by Pillow: CMYK", ".tif", RGB.convert("CMYK")).to_refuse("its bands are inks"),
    picture("TIFF by Pillow: Lab", ".tif", Image.fromarray(COLOUR, "LAB")).to_refuse("its bands are no colours"),
    picture("TIFF by Pillow: pages of one size", ".tif", RGB, FLIPPED).to_refuse(SEVERAL),
    picture("TIFF by Pillow: pages of two sizes", ".tif", RGB, L.resize((9, 8))).to_refuse(SEVERAL),
)  # fmt: skip

LAYOUTS = (*PNG, *OTHERS, *TIFF)
