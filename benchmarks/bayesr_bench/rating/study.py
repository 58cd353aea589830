"""The images of a study, by several systems, and the order in which a rater sees them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bayesr.errors import DataNotFound, InvalidArgument, NotAnImage
from bayesr.files import IMAGE_SUFFIXES

EIGHT_BITS = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}
"""Pillow's modes of images that a screen can show without scaling their values."""


@dataclass(frozen=True)
class Picture:
    """One image by one system.

    Attributes
    ----------
    system, image : str
        The name of the system, and that of the image file without its suffix.
    path : Path
    pixels : str
        12 hexadecimal digits of the SHA-256 of its size and pixels, by which ratings of other versions are detected.
    """

    system: str
    image: str
    path: Path
    pixels: str


def gather(systems: Mapping[str, Path]) -> list[Picture]:
    """Return all images of all systems, in the order of `systems` and of the images' names.

    Parameters
    ----------
    systems : mapping of str to Path
        For each system its folder of 8-bit images. All folders hold images of the same names (without suffix) and
        sizes.

    Returns
    -------
    list of Picture

    Raises
    ------
    DataNotFound
        If a folder does not exist, or holds no image.
    NotAnImage
        If a file cannot be decoded, or has more than 8 bits.
    InvalidArgument
        If names or sizes differ between systems.
    """
    if not systems:
        raise InvalidArgument("There is no system to rate: give at least one as NAME=FOLDER.")
    files = {system: images(folder) for system, folder in systems.items()}
    first, expected = next(iter(files.items()))
    for system, found in files.items():
        if found.keys() != expected.keys():
            raise InvalidArgument(
                f"The images of {system!r} are not those of {first!r}: {_differing(expected.keys() - found.keys())} "
                f"only by {first!r}, {_differing(found.keys() - expected.keys())} only by {system!r}. Give every "
                "system the same images, under the same names."
            )
    pictures = []
    sizes: dict[str, tuple[int, int]] = {}
    for system, found in files.items():
        for name, path in found.items():
            shown = decoded(path)
            if sizes.setdefault(name, shown.size) != shown.size:
                raise InvalidArgument(
                    f"{name} has {'x'.join(map(str, shown.size))} pixels by {system!r} and "
                    f"{'x'.join(map(str, sizes[name]))} by {first!r}: the size would identify the system. Crop them."
                )
            pictures.append(Picture(system, name, path, checksum(shown)))
    return pictures


def images(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by their names without suffix, sorted. It raises the errors of `gather`."""
    if not folder.is_dir():
        raise DataNotFound(f"There is no folder {folder}: give the folder of a system's images.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise InvalidArgument(
                    f"{folder} holds {path.stem!r} twice, as {found[path.stem].name} and {path.name}."
                )
            found[path.stem] = path
    if not found:
        raise DataNotFound(
            f"{folder} holds no image, that is no file ending in one of {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return found


def order(pictures: Sequence[Picture], rater: str, seed: int) -> list[Picture]:
    """Shuffle the images. The order depends only on the seed and the rater."""
    generator = np.random.default_rng([seed, *hashlib.sha256(rater.encode()).digest()])
    return [pictures[i] for i in generator.permutation(len(pictures))]


def decoded(path: Path) -> Image.Image:
    """Decode an image file as grey or RGB with 8 bits, upright as its EXIF data say."""
    try:
        with Image.open(path) as file:
            file.load()
            shown = ImageOps.exif_transpose(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: broken metadata
        raise NotAnImage(f"{path} cannot be read as an image ({error}).") from error
    if shown.mode not in EIGHT_BITS:
        raise NotAnImage(
            f"{path} does not have 8 bits a band ({shown.mode}), so that its looks depend on how values are scaled. "
            "Scale the images of all systems in the same way, and save them with 8 bits."
        )
    return shown.convert("L" if shown.mode in ("1", "L", "LA") else "RGB")


def png(image: Image.Image) -> bytes:
    """Encode the pixels as PNG, without metadata, since a format or a comment could identify the system."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def nearest(image: Image.Image, scale: int) -> Image.Image:
    """Downsample an image by `scale` (antialiased bicubic), and enlarge it again by nearest neighbour."""
    width, height = (-(-side // scale) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    large = small.resize((width * scale, height * scale), Image.Resampling.NEAREST)
    return large.crop((0, 0, *image.size))


def checksum(image: Image.Image) -> str:
    """Return `Picture.pixels` of a decoded image."""
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()[:12]


def _differing(names: set[str]) -> str:
    some = sorted(names)
    return (", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")) or "none"
