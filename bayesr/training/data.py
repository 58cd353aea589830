"""Sets of training images, read from folders or packed archives."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import BayesrError, TrainingFailed
from bayesr.files import IMAGE_SUFFIXES, write_atomically


@dataclass(frozen=True)
class ImageSet:
    """A set of named 8-bit images, each an array of shape `y x x x band`."""

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]

    @property
    def bands(self) -> int:
        return int(self.images[0].shape[2])

    def split(self, held_out: int) -> tuple[ImageSet, ImageSet]:
        """Split into training and held-out images.

        Images are held out in the order of their hashed names, whatever other images the set has.

        Parameters
        ----------
        held_out : int

        Returns
        -------
        training, held_out : ImageSet

        Raises
        ------
        TrainingFailed
            If no image would be left for training.
        """
        if held_out >= len(self.names):
            raise TrainingFailed(
                f"{held_out} images to be held out of {len(self.names)}: give more images, or a smaller number."
            )
        order = sorted(range(len(self.names)), key=lambda i: hashlib.sha256(Path(self.names[i]).name.encode()).digest())
        return self._take(sorted(order[held_out:])), self._take(sorted(order[:held_out]))

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
            named = ", ".join(
                f"{self.names[i]} ({self.images[i].shape[0]}x{self.images[i].shape[1]})" for i in small[:5]
            )
            warnings.warn(
                f"{len(small)} of {len(self.names)} images are smaller than a {side}x{side} patch and left out: "
                f"{named}{', ...' if len(small) > 5 else ''}.",
                stacklevel=2,
            )
        return self._take(fit)

    def _take(self, indices: Sequence[int]) -> ImageSet:
        return ImageSet(tuple(self.names[i] for i in indices), tuple(self.images[i] for i in indices))

    def pack(self, path: str | Path) -> None:
        """Write one NumPy archive, for machines with only torch and numpy."""
        arrays: dict[str, Any] = {f"image{i}": image for i, image in enumerate(self.images)}
        packed = io.BytesIO()
        np.savez(packed, names=np.array(self.names), **arrays)
        path = Path(path)  # as np.savez names it
        write_atomically(path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz"), packed.getbuffer())


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
            packed = _packed(source)
            names += packed.names
            images += packed.images
            continue
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if source.is_dir() else []
        if not files:
            raise TrainingFailed(f"No images in {source}: give a folder with images, or a packed .npz archive.")
        for file in files:
            name, pixels = f"{source.name}/{file.relative_to(source)}", _decoded(file)
            if bands == 3 and pixels.shape[2] == 1:
                grey.append(name)
                pixels = pixels.repeat(3, 2)
            names.append(name)
            images.append(_luma(pixels) if bands == 1 else pixels)
    grey += [name for name, image in zip(names, images, strict=True) if image.shape[2] != bands]
    if grey:
        raise TrainingFailed(
            f"{len(grey)} of {len(names)} images do not have {bands} band(s): {', '.join(grey[:5])}"
            f"{', ...' if len(grey) > 5 else ''}. Take them out or convert them; for grey images train with bands=1."
        )
    return ImageSet(tuple(names), tuple(images))


def _decoded(file: Path) -> NDArray[np.uint8]:
    """Read an image of 8 bits as `y x x x band`.

    Raises
    ------
    TrainingFailed
        If it is none.
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


def _packed(path: Path) -> ImageSet:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = tuple(archive["names"].tolist())
            images = tuple(archive[f"image{i}"] for i in range(len(names)))
    except Exception as error:  # damaged archives raise errors of many kinds
        raise TrainingFailed(f"{path} was not written by ImageSet.pack, or is damaged ({error}).") from error
    if not images:
        raise TrainingFailed(f"No images in {path}: pack at least one.")
    if any(image.ndim != 3 or image.dtype != np.uint8 for image in images):
        raise TrainingFailed(f"{path} holds images that are not 8-bit arrays (y, x, band): pack them again.")
    return ImageSet(names, images)
