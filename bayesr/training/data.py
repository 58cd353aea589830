"""Photographs as training pairs: decoded once, kept on the device, cropped and observed there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import TrainingFailed
from bayesr.observe import Separable

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


@dataclass(frozen=True)
class ImageSet:
    """Named 8-bit images, each an array of shape `y x x x band`."""

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]

    @property
    def bands(self) -> int:
        return int(self.images[0].shape[2])

    def split(self, held_out: int) -> tuple[ImageSet, ImageSet]:
        """(training, held out): the images whose hashed names come first are held out.

        The choice depends on names alone, so the same image is held out whatever else is there.
        """
        if held_out >= len(self.names):
            raise TrainingFailed(
                f"{held_out} images to be held out of {len(self.names)}: give more images, or a smaller number."
            )
        order = sorted(range(len(self.names)), key=lambda i: hashlib.sha256(Path(self.names[i]).name.encode()).digest())
        return self._take(sorted(order[held_out:])), self._take(sorted(order[:held_out]))

    def _take(self, indices: Sequence[int]) -> ImageSet:
        return ImageSet(tuple(self.names[i] for i in indices), tuple(self.images[i] for i in indices))

    def pack(self, path: str | Path) -> None:
        """Write the set as one NumPy archive, for machines that have torch and numpy alone."""
        arrays: dict[str, Any] = {f"image{i}": image for i, image in enumerate(self.images)}
        np.savez(path, names=np.array(self.names), **arrays)


def load_images(sources: Sequence[str | Path], bands: int = 3) -> ImageSet:
    """Every image in folders (searched recursively) and packed archives.

    Raises
    ------
    TrainingFailed
        When a source is missing or holds no image, or an image cannot be decoded.
    """
    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for source in map(Path, sources):
        if source.suffix == ".npz" and source.is_file():
            with np.load(source, allow_pickle=False) as archive:
                names += archive["names"].tolist()
                images += [archive[f"image{i}"] for i in range(len(archive["names"]))]
            continue
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES) if source.is_dir() else []
        if not files:
            raise TrainingFailed(f"No images in {source}: give a folder with images, or a packed .npz archive.")
        from PIL import Image, UnidentifiedImageError

        for file in files:
            try:
                with Image.open(file) as picture:
                    pixels = np.asarray(picture.convert("RGB" if bands == 3 else "L"))
            except (UnidentifiedImageError, OSError) as error:
                raise TrainingFailed(f"{file} cannot be decoded ({error}): repair it or take it out.") from error
            names.append(f"{source.name}/{file.relative_to(source)}")
            images.append(pixels.reshape(*pixels.shape[:2], -1))
    if any(image.shape[2] != bands for image in images):
        raise TrainingFailed(f"All images must have {bands} band(s): pack or convert them again.")
    return ImageSet(tuple(names), tuple(images))


class PairSource(Protocol):
    """What a trainer draws from."""

    @property
    def operator(self) -> Separable:
        """How low-resolution images come from high-resolution ones."""

    @property
    def bands(self) -> int:
        """Bands of an image."""

    @property
    def low_pixels(self) -> float:
        """Low-resolution pixels there are in all, infinite where scenes never repeat: dropout contracts with it."""

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(low, high) of shapes `size x bands x h x w` and `size x bands x sh x sw`, in about [0, 1]."""


class Pairs:
    """Random (low, high) patch pairs: crop, flip, rotate, observe, round as users' files are rounded.

    The pixels lie in one flat buffer on the device; a batch is one gather, whatever the images' sizes.
    """

    def __init__(self, images: ImageSet, operator: Separable, patch: int, device: str = "cpu") -> None:
        self.operator, self.size, self.bands = operator, patch * operator.scale, images.bands
        fit = [image for image in images.images if min(image.shape[:2]) >= self.size]
        if not fit:
            raise TrainingFailed(f"No image is as large as a {self.size}x{self.size} patch: use a smaller patch.")
        self.device = torch.device(device)
        self.pixels = torch.from_numpy(np.concatenate([image.reshape(-1, self.bands) for image in fit])).to(device)
        shapes = torch.tensor([image.shape[:2] for image in fit])
        self.heights, self.widths = shapes.unbind(1)
        self.starts = torch.cat([torch.zeros(1, dtype=torch.long), (self.heights * self.widths).cumsum(0)[:-1]])
        self.low_pixels = float((self.heights * self.widths).sum()) / operator.scale**2

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(low, high) of shapes `size x bands x p x p` and `size x bands x sp x sp`, in [0, 1]."""

        def draw(limit: Tensor) -> Tensor:
            return (torch.rand(size, generator=random, dtype=torch.float64) * limit).long()

        which = draw(torch.full((size,), len(self.starts)))
        top, left = draw(self.heights[which] - self.size + 1), draw(self.widths[which] - self.size + 1)
        flips = torch.rand(3, size, generator=random) < 0.5
        steps = torch.arange(self.size)
        rows = torch.where(flips[0][:, None], steps.flip(0), steps) + top[:, None]
        columns = torch.where(flips[1][:, None], steps.flip(0), steps) + left[:, None]
        index = rows[:, :, None] * self.widths[which][:, None, None] + columns[:, None, :]
        index = torch.where(flips[2][:, None, None], index.mT, index) + self.starts[which][:, None, None]
        high = self.pixels[index.to(self.device)].permute(0, 3, 1, 2).float() / 255
        low = (self.operator.observe(high).clamp(0, 1) * 255).round() / 255
        return low, high
