"""Photographs as training pairs: decoded once, kept on the device, cropped and observed there."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import TrainingFailed
from bayesr.observe import ForwardOperator
from bayesr.training.degradation import Degradation, observation
from bayesr.training.labels import labels_of
from bayesr.training.recipe import Recipe

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

    def as_large_as(self, side: int) -> ImageSet:
        """The images of at least `side` pixels along both axes; a warning names those that are left out.

        Raises
        ------
        TrainingFailed
            When no image is left.
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
        """Write the set as one NumPy archive, for machines that have torch and numpy alone."""
        arrays: dict[str, Any] = {f"image{i}": image for i, image in enumerate(self.images)}
        np.savez(path, names=np.array(self.names), **arrays)


def load_images(sources: Sequence[str | Path], bands: int = 3) -> ImageSet:
    """Every image in folders (searched recursively) and packed archives.

    Parameters
    ----------
    sources : sequence of paths
    bands : int
        3 for colour; 1 for grey, when colour images count by their luminance.

    Raises
    ------
    TrainingFailed
        When a source is missing or holds no image, an image cannot be decoded or is not of 8 bits, or
        grey images lie among colour ones.
    """
    if bands not in (1, 3):
        raise TrainingFailed(f"Images are read with 3 bands (colour) or 1 (grey), not {bands}.")
    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    grey: list[str] = []
    for source in map(Path, sources):
        if source.suffix == ".npz" and source.is_file():
            packed = _packed(source)
            names += packed.names
            images += packed.images
            continue
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES) if source.is_dir() else []
        if not files:
            raise TrainingFailed(f"No images in {source}: give a folder with images, or a packed .npz archive.")
        from PIL import Image, UnidentifiedImageError

        for file in files:
            try:
                with Image.open(file) as picture:
                    if picture.mode.startswith(("I", "F")):
                        raise TrainingFailed(f"{file} is not of 8 bits: scale it to 0..255 first, or take it out.")
                    if bands == 3 and picture.mode in ("1", "L", "LA"):
                        grey.append(f"{source.name}/{file.relative_to(source)}")
                    pixels = np.asarray(picture.convert("RGB" if bands == 3 else "L"))
            except (UnidentifiedImageError, OSError) as error:
                raise TrainingFailed(f"{file} cannot be decoded ({error}): repair it or take it out.") from error
            names.append(f"{source.name}/{file.relative_to(source)}")
            images.append(pixels.reshape(*pixels.shape[:2], -1))
    grey += [name for name, image in zip(names, images, strict=True) if image.shape[2] != bands]
    if grey:
        raise TrainingFailed(
            f"{len(grey)} of {len(names)} images do not have {bands} band(s): {', '.join(grey[:5])}"
            f"{', ...' if len(grey) > 5 else ''}. Take them out or convert them; for grey images train with bands=1."
        )
    return ImageSet(tuple(names), tuple(images))


def _packed(path: Path) -> ImageSet:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = tuple(archive["names"].tolist())
            images = tuple(archive[f"image{i}"] for i in range(len(names)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise TrainingFailed(f"{path} was not written by ImageSet.pack, or is damaged ({error}).") from error
    if not images:
        raise TrainingFailed(f"No images in {path}: pack some.")
    if any(image.ndim != 3 or image.dtype != np.uint8 for image in images):
        raise TrainingFailed(f"{path} holds images that are not 8-bit arrays (y, x, band): pack them again.")
    return ImageSet(names, images)


class PairSource:
    """What a trainer draws from."""

    operator: ForwardOperator
    bands: int
    low_pixels: float
    classes: int = 1
    degradation: Degradation | None = None

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(low, high) of shapes `size x bands x h x w` and `size x bands x sh x sw`, in about [0, 1]."""
        raise NotImplementedError

    def labels(self) -> Tensor:
        """The class of each image of the last batch."""
        return torch.zeros(4096, dtype=torch.long)

    def origin(self) -> str:
        """Where the last batch came from."""
        return ""


class Pairs(PairSource):
    """Random (low, high) patch pairs: crop, flip, rotate, observe, round as users' files are rounded.

    The pixels lie in one flat buffer on the device; a batch is one gather, whatever the images' sizes.

    Parameters
    ----------
    images : ImageSet
        Those smaller than a patch are left out, with a warning.
    operator : Observation
    patch : int
        Low-resolution pixels along a side.
    device : str
    degradation : Degradation
        What else happens to an observation; rounding to 8 bits alone by default.

    Raises
    ------
    TrainingFailed
        When no image is as large as a patch.
    """

    def __init__(
        self,
        images: ImageSet,
        operator: ForwardOperator,
        patch: int,
        device: str = "cpu",
        degradation: Degradation = Degradation(),  # noqa: B008
    ) -> None:
        self.operator, self.degradation = observation(operator, degradation), degradation
        self.size, self.bands = patch * operator.scale, images.bands
        used = images.as_large_as(self.size)
        self.names, fit = used.names, used.images
        self.device = torch.device(device)
        self.pixels = torch.from_numpy(np.concatenate([image.reshape(-1, self.bands) for image in fit])).to(device)
        shapes = torch.tensor([image.shape[:2] for image in fit])
        self.heights, self.widths = shapes.unbind(1)
        self.starts = torch.cat([torch.zeros(1, dtype=torch.long), (self.heights * self.widths).cumsum(0)[:-1]])
        self._last: tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]
        of_images, self.class_names = labels_of(self.names, [image.shape[:2] for image in fit])
        self._labels = torch.from_numpy(of_images)
        self.classes = len(self.class_names)
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
        low, drawn = self.degradation.observe(self.operator, high, random)
        self._last = which, top, left, drawn
        return low, high

    def labels(self) -> Tensor:
        """The class of each image of the last batch."""
        return self._labels[self._last[0]]

    def origin(self) -> str:
        """Where the last batch came from: image, crop in high-resolution pixels, what it was degraded by."""
        which, top, left, drawn = self._last
        parts = []
        for i, image in enumerate(which.tolist()):
            crop = ", ".join(f"{int(edge[i])}:{int(edge[i]) + self.size}" for edge in (top, left))
            how = "".join(f", {name} {float(drawn[name][i]):.3g}" for name in self.degradation.describe())
            parts.append(f"{self.names[image]} [{crop}]{how}")
        return "; ".join(parts)


class Unpaired(PairSource):
    """Low-resolution patches of one half of the images, and high-resolution ones of the other: no pair among them.

    Parameters are those of `Pairs`; at least two images are needed.

    Raises
    ------
    TrainingFailed
        When there are too few images, or none is as large as a patch.
    """

    def __init__(
        self,
        images: ImageSet,
        operator: ForwardOperator,
        patch: int,
        device: str = "cpu",
        degradation: Degradation = Degradation(),  # noqa: B008
    ) -> None:
        used = images.as_large_as(patch * operator.scale)
        if len(used.names) < 2:
            raise TrainingFailed("Training without pairs needs two images or more, each for one side.")
        second, first = used.split(len(used.names) // 2)
        self.low, self.high = (Pairs(half, operator, patch, device, degradation) for half in (first, second))
        self.operator, self.bands, self.degradation = self.low.operator, self.low.bands, degradation
        self.low_pixels = self.low.low_pixels

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(low, high) as of `Pairs`, but of different images."""
        return self.low.batch(size, random)[0], self.high.batch(size, random)[1]

    def origin(self) -> str:
        """Where the last batch came from."""
        return f"low: {self.low.origin()}; high: {self.high.origin()}"


def source(
    recipe: Recipe, images: ImageSet, operator: ForwardOperator, device: str, degradation: Degradation
) -> Pairs | Unpaired:
    """What a recipe is trained on: pairs, or none for those that need none."""
    return (Unpaired if recipe.unpaired else Pairs)(images, operator, recipe.patch, device, degradation)
