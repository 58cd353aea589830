"""Readers of PIL images, and of all files that Pillow decodes (PNG, JPEG, WebP and others)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.images.readers import Reader, by_type


def from_picture(path: Path) -> xr.DataArray:
    """Decode a file with Pillow."""
    import PIL.Image  # start-up time

    with PIL.Image.open(path) as picture:
        picture.load()
        return from_pillow(picture)


def from_pillow(picture: Any) -> xr.DataArray:
    """Make a DataArray of a PIL image, without an opaque alpha channel."""
    if picture.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode in ("1", "La", "PA", "RGBa"):
        raise NotAnImage(f"Pictures of mode {picture.mode!r} are not supported: convert to 'L' or 'RGB'.")
    pixels = np.asarray(picture)
    if picture.mode in ("LA", "RGBA"):
        if (pixels[..., -1] == 255).all():  # an opaque alpha channel tells nothing
            pixels = pixels[..., :-1]
        else:
            raise NotAnImage("The picture has transparent pixels: flatten it first, with .convert('RGB').")
    dims = ("y", "x") if pixels.ndim == 2 else ("y", "x", "band")
    return xr.DataArray(pixels, dims=dims)


PIL_IMAGE = Reader("PIL image", by_type("PIL."), from_pillow)
PICTURE = Reader("picture", lambda img: isinstance(img, Path), from_picture)  # any suffix: asked last
