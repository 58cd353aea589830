"""What is rated: the same images by several systems, and the order in which a rater sees them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bayesr.errors import DataNotFound, InvalidArgument, NotAnImage

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
EIGHT_BITS = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}
"""Pillow's modes of what a screen can show as it is."""


@dataclass(frozen=True)
class Picture:
    """One image by one system.

    Attributes
    ----------
    system, image : str
        The system's name, and the image's: that of its file without the suffix.
    path : Path
    pixels : str
        12 hexadecimal digits of the SHA-256 of its size and pixels: ratings of another version tell themselves by it.
    """

    system: str
    image: str
    path: Path
    pixels: str


def gather(systems: Mapping[str, Path]) -> list[Picture]:
    """Every image by every system, in the order of `systems` and of the images' names.

    Parameters
    ----------
    systems : mapping of str to Path
        Name of a system -> the folder with its images, of 8 bits. All folders hold images of the same names (without
        suffix) and sizes.

    Returns
    -------
    list of Picture

    Raises
    ------
    DataNotFound
        When a folder is not there or holds no image.
    NotAnImage
        When a file cannot be decoded, or has more than 8 bits.
    InvalidArgument
        When names or sizes differ between systems.
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
                    f"{'x'.join(map(str, sizes[name]))} by {first!r}: its size would tell them apart. Crop all to one."
                )
            pictures.append(Picture(system, name, path, _fingerprint(shown)))
    return pictures


def images(folder: Path) -> dict[str, Path]:
    """Image files of a folder by their names without suffix, sorted; see `gather` for errors."""
    if not folder.is_dir():
        raise DataNotFound(f"There is no folder {folder}: give the folder with a system's images.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise InvalidArgument(
                    f"{folder} holds {path.stem!r} twice, as {found[path.stem].name} and {path.name}."
                )
            found[path.stem] = path
    if not found:
        raise DataNotFound(f"{folder} holds no image: one of {', '.join(sorted(SUFFIXES))} is looked for.")
    return found


def order(pictures: Sequence[Picture], rater: str, seed: int) -> list[Picture]:
    """The pictures in a random order that depends on the seed and on the rater, and on nothing else."""
    generator = np.random.default_rng([seed, *hashlib.sha256(rater.encode()).digest()])
    return [pictures[i] for i in generator.permutation(len(pictures))]


def decoded(path: Path) -> Image.Image:
    """An image file as it is shown: grey or RGB, 8 bits, upright."""
    try:
        with Image.open(path) as file:
            file.load()
            shown = ImageOps.exif_transpose(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: of broken metadata
        raise NotAnImage(f"{path} cannot be read as an image ({error}).") from error
    if shown.mode not in EIGHT_BITS:
        raise NotAnImage(
            f"{path} does not have 8 bits a band ({shown.mode}): how it looks depends on how it is scaled. Scale the "
            "images of all systems alike and save them with 8 bits."
        )
    return shown.convert("L" if shown.mode in ("1", "L", "LA") else "RGB")


def png(image: Image.Image) -> bytes:
    """The pixels alone, as PNG: a format or a comment of the file would tell systems apart."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def nearest(image: Image.Image, scale: int) -> Image.Image:
    """The image reduced by `scale` (antialiased bicubic) and enlarged again by nearest neighbour."""
    width, height = (-(-side // scale) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    large = small.resize((width * scale, height * scale), Image.Resampling.NEAREST)
    return large.crop((0, 0, *image.size))


def _fingerprint(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()[:12]


def _differing(names: set[str]) -> str:
    some = sorted(names)
    return (", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")) or "none"
