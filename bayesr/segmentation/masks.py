"""Mask files: matching with images by name, reading, and comparing sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import tifffile
from numpy.typing import NDArray

from bayesr import images
from bayesr.errors import ImageNotFound, InvalidArgument, NotAnImage
from bayesr.files import IMAGE_SUFFIXES

_SUFFIXES = IMAGE_SUFFIXES | {".gif"}
_LOSSY = {".jpg", ".jpeg"}


def image_files(folder: Path, pattern: str = "*") -> list[Path]:
    """List the images in a folder that match a pattern, sorted by name.

    Raises
    ------
    ImageNotFound
        If there is no such folder.
    InvalidArgument
        If there is no image in it.
    """
    if not folder.is_dir():
        raise ImageNotFound(f"There is no folder {folder}.")
    files = sorted(p for p in folder.glob(f"{pattern}.*") if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise InvalidArgument(f"No images in {folder} ({', '.join(sorted(_SUFFIXES))}).")
    return files


def mask_files(given: Path) -> dict[str, list[Path]]:
    """List mask files by stem, in a folder or matching a pattern such as ``folder/*_1stHO``."""
    files = image_files(given.parent, given.name) if "*" in given.name else image_files(given)
    by_stem: dict[str, list[Path]] = {}
    for file in files:
        by_stem.setdefault(file.stem, []).append(file)
    return by_stem


def mask_of(stem: str, images: set[str], candidates: dict[str, list[Path]]) -> Path | None:
    """Find the mask of an image, or None.

    A mask has the name of the image, or else its name, ``_`` and a suffix. Files of other images are not masks.

    Parameters
    ----------
    stem : str
        File name of the image without suffix.
    images : set of str
        Stems of all images.
    candidates : dict of str to list of Path
        See `mask_files`.

    Raises
    ------
    InvalidArgument
        If there are several.
    """
    matching = candidates.get(stem) or [
        file
        for name, files in candidates.items()
        if name.startswith(f"{stem}_") and name not in images
        for file in files
    ]
    if len(matching) > 1:
        raise InvalidArgument(
            f"{stem} has {len(matching)} masks in {matching[0].parent} ({', '.join(p.name for p in matching[:3])}): "
            "give one folder for each annotator, or a pattern such as masks/*_1stHO."
        )
    return matching[0] if matching else None


def read_mask(path: Path) -> NDArray[np.int32]:
    """Read a mask `y x x`. A single value other than 0 becomes 1; several are labels and stay as they are.

    Raises
    ------
    InvalidArgument
        If the mask is coloured, not of integers, or a JPEG with several labels, which compression changes.
    NotAnImage
        If the file cannot be read.
    """
    pixels = _pixels(path)
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise InvalidArgument(f"The mask {path} is coloured: give one number for each object, or black and white.")
        pixels = pixels[..., 0]
    if pixels.ndim != 2 or pixels.dtype.kind not in "biu":
        raise InvalidArgument(f"The mask {path} is no image of whole numbers; its shape is {pixels.shape}.")
    values = np.unique(pixels[pixels != 0])
    if values.size > 1 and path.suffix.lower() in _LOSSY:
        raise InvalidArgument(f"The mask {path} is a JPEG, which changes numbers: threshold it and save it as PNG.")
    mask: NDArray[np.int32] = (pixels != 0 if values.size <= 1 else pixels).astype(np.int32)
    return mask


def _pixels(path: Path) -> NDArray[Any]:
    """Return numbers or colours as stored; an image says how colours of a palette look, and a mask what they mean."""
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as file:
                values = np.asarray(file.series[0].asarray())
                if int(file.series[0].keyframe.photometric) != 0:
                    return values
                return ~values if values.dtype == bool else np.iinfo(values.dtype).max - values  # 0 is white
        with PIL.Image.open(path) as picture:
            if picture.mode != "RGB":
                upright = PIL.ImageOps.exif_transpose(picture)
                return np.asarray(upright.convert("RGB") if picture.mode == "RGBA" else upright)
        return images.source(path).to_numpy().transpose(1, 2, 0)  # with all bits of a value
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise NotAnImage(f"The mask {path} cannot be read ({type(error).__name__}: {error}).") from error


def check_sizes(name: str, image: NDArray[Any], masks: NDArray[Any]) -> None:
    """Raise InvalidArgument unless masks `annotator x y x x` are as large as the image `band x y x x`."""
    if image.shape[1:] != masks.shape[1:]:
        raise InvalidArgument(
            f"{name}: the mask has {masks.shape[1]} x {masks.shape[2]} pixels (y x x), the image {image.shape[1]} x "
            f"{image.shape[2]}: give both in one size."
        )
