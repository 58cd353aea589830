"""Sets of training images, read from folders or packed archives."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import BayesrError, TrainingFailed
from bayesr.files import IMAGE_SUFFIXES, write_atomically
from bayesr.model import checkpoint


@dataclass(frozen=True)
class ImageSet:
    """A set of named 8-bit images, each an array of shape `y x x x band`."""

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]

    @property
    def bands(self) -> int:
        return int(self.images[0].shape[2])

    def split(self, held_out: int | Collection[str]) -> tuple[ImageSet, ImageSet]:
        """Split into training and held-out images.

        A number of images is held out in the order of their hashed names, whatever other images the set has.

        Parameters
        ----------
        held_out : int or collection of str
            Number of images, or their file names, without folders. All images of a name are held out.

        Returns
        -------
        training, held_out : ImageSet

        Raises
        ------
        TrainingFailed
            If no image would be left for training, or there is none of a name.
        """
        files = [Path(name).name for name in self.names]
        if isinstance(held_out, int):
            order = sorted(range(len(files)), key=lambda i: hashlib.sha256(files[i].encode()).digest())
            held_out_indices, number = {*order[:held_out]}, held_out
        else:
            held_out_indices = {i for i, name in enumerate(files) if name in {*held_out}}
            number = len(held_out_indices)
            if unknown := sorted({*held_out} - {*files}):
                raise TrainingFailed(
                    f"{len(unknown)} of {len({*held_out})} names of held-out images are not among the {len(files)} "
                    f"images: {abbreviated(unknown)}. Correct the names, or give the folder that holds these images, "
                    "too."
                )
        if number >= len(files):
            raise TrainingFailed(
                f"{number} of {len(files)} images are to be held out, which leaves none for training: give more "
                "images, or hold out fewer."
            )
        return self.take(sorted({*range(len(files))} - held_out_indices)), self.take(sorted(held_out_indices))

    def as_large_as(self, side: int) -> ImageSet:
        """Return the images with at least `side` pixels along both axes, and warn about the others.

        Raises
        ------
        TrainingFailed
            If no image is left.
        """
        fit = [i for i, image in enumerate(self.images) if min(image.shape[:2]) >= side]
        small = sorted(set(range(len(self.images))) - set(fit))
        if not fit:
            raise TrainingFailed(
                f"No image is as large as a {side}x{side} patch ({len(small)} are smaller): use a smaller patch, "
                "or larger images."
            )
        if small:
            sizes = [f"{self.names[i]} ({self.images[i].shape[0]}x{self.images[i].shape[1]})" for i in small]
            warnings.warn(
                f"{len(small)} of {len(self.names)} images are smaller than a {side}x{side} patch and left out: "
                f"{abbreviated(sizes)}.",
                stacklevel=2,
            )
        return self.take(fit)

    def middles(self, side: int) -> ImageSet:
        """Return the middles of the images, of at most `side` pixels along each axis."""
        return ImageSet(self.names, tuple(middle(image, side) for image in self.images))

    def take(self, indices: Sequence[int]) -> ImageSet:
        """Return the images of some indices, in their order."""
        return ImageSet(tuple(self.names[i] for i in indices), tuple(self.images[i] for i in indices))

    def pack(self, path: str | Path) -> None:
        """Write one NumPy archive, for machines with only torch and numpy."""
        arrays: dict[str, Any] = {f"image{i}": image for i, image in enumerate(self.images)}
        packed = io.BytesIO()
        np.savez(packed, names=np.array(self.names), **arrays)
        path = Path(path)  # as np.savez names it
        with packed.getbuffer() as view:  # released even if a traceback holds it
            write_atomically(path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz"), view)


def abbreviated(names: Sequence[str]) -> str:
    """Return the first five names as text, for error messages."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the middle of an image `y x x x band`, of at most `side` pixels along each axis."""
    top, left = (max(0, (size - side) // 2) for size in image.shape[:2])
    return image[top : top + side, left : left + side]


def held_out_images(given: int | str | Path) -> int | tuple[str, ...]:
    """Return what is to be held out, for `ImageSet.split`: a number as it is, and the names in a text file.

    Parameters
    ----------
    given : int, str or Path
        Number of images, or the path of a text file with the file name of one image a line.

    Raises
    ------
    TrainingFailed
        If there is no such file, it cannot be read, or it names no image.
    """
    if not isinstance(given, str | Path):
        return int(given)
    path = Path(given)
    advice = "Give a number of images, or a text file with the file name of one image a line."
    if not path.is_file():
        raise TrainingFailed(f"There is no list of held-out images {path}. {advice}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise TrainingFailed(f"The list of held-out images {path} cannot be read ({error}). {advice}") from error
    names = tuple(dict.fromkeys(filter(None, map(str.strip, lines))))
    if not names:
        raise TrainingFailed(f"The list of held-out images {path} is empty. {advice}")
    if wrong := next((name for name in names if Path(name).name != name), None):
        raise TrainingFailed(f"{path} names {wrong!r}, which is no file name: leave folders out.")
    return names


def load_images(sources: Sequence[str | Path], bands: int = 3) -> ImageSet:
    """Read all images in folders (searched recursively) and in packed archives.

    Parameters
    ----------
    sources : sequence of paths
        Folders, or archives written by `ImageSet.pack`.
    bands : int
        3 for colour, 1 for grey (the luminance of colour images).

    Returns
    -------
    ImageSet

    Raises
    ------
    TrainingFailed
        If a source is missing or empty, an image cannot be decoded, is not of 8 bits or has transparent pixels, or
        colour images include grey ones.
    """
    if bands not in (1, 3):
        raise TrainingFailed(f"Images have 3 bands (colour) or 1 (grey), not {bands}.")
    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    grey: list[str] = []
    for source in map(Path, sources):
        if source.suffix == ".npz" and source.is_file():
            packed = _read_archive(source)
            names += packed.names
            images += packed.images
            continue
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if source.is_dir() else []
        if not files:
            raise TrainingFailed(
                f"There are no images in {source}: give a folder with images, or a packed .npz archive."
            )
        for file in files:
            name, pixels = f"{source.name}/{file.relative_to(source)}", _read_image(file)
            if bands == 3 and pixels.shape[2] == 1:
                grey.append(name)
                pixels = pixels.repeat(3, 2)
            names.append(name)
            images.append(_luma(pixels) if bands == 1 else pixels)
    grey += [name for name, image in zip(names, images, strict=True) if image.shape[2] != bands]
    if grey:
        raise TrainingFailed(
            f"{len(grey)} of {len(names)} images do not have {bands} band(s): {abbreviated(grey)}. Take them out or "
            "convert them; for grey images train with bands=1."
        )
    return ImageSet(tuple(names), tuple(images))


def _read_image(file: Path) -> NDArray[np.uint8]:
    """Read an image of 8 bits as `y x x x band`.

    Raises
    ------
    TrainingFailed
        If the file cannot be decoded, has other than 8 bits, or has missing pixels.
    """
    from bayesr import images  # slow to import, and packed images need no reader

    try:
        image = images.read(file)
    except BayesrError as error:
        raise TrainingFailed(f"{file} cannot be used ({error}): repair it or take it out.") from error
    if image.bounds != images.bounds_of(np.dtype(np.uint8)):
        raise TrainingFailed(f"{file} is not of 8 bits: scale it to 0..255 first, or take it out.")
    if image.missing is not None:
        raise TrainingFailed(f"{file} has missing or transparent pixels: crop it to its data, or take it out.")
    pixels: NDArray[np.uint8] = image.data.to_numpy().transpose(1, 2, 0).astype(np.uint8)
    return pixels


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of colours as Pillow and JPEG compute it (Rec. 601), `y x x x 1`; grey images as they are."""
    if pixels.shape[2] != 3:
        return pixels
    weights = np.array([19595, 38470, 7471], np.uint32)  # 0.299, 0.587 and 0.114 times 2**16
    return ((pixels @ weights + 2**15) >> 16).astype(np.uint8)[..., None]


def _read_archive(path: Path) -> ImageSet:
    """Read an archive that `ImageSet.pack` wrote."""
    archive = checkpoint.arrays_of(path, "was not written by ImageSet.pack")
    names = tuple(map(str, np.ravel(archive.get("names", np.array([])))))
    lacking = [f"image{i}" for i in range(len(names)) if f"image{i}" not in archive]
    if lacking:
        raise TrainingFailed(f"{path} was not written by ImageSet.pack, or is damaged: it lacks {lacking[0]}.")
    images = tuple(archive[f"image{i}"] for i in range(len(names)))
    if not images:
        raise TrainingFailed(f"There are no images in {path}: pack at least one.")
    if any(image.ndim != 3 or image.dtype != np.uint8 or not image.size for image in images):
        raise TrainingFailed(f"{path} holds images that are not 8-bit arrays (y, x, band): pack them again.")
    return ImageSet(names, images)
