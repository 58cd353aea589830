"""Sources of training pairs: random patches of images, with or without correspondence between resolutions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import TrainingFailed
from bayesr.observe import ForwardOperator
from bayesr.training.data import ImageSet
from bayesr.training.degradation import RANGES, Degradation, effective_operator
from bayesr.training.recipe import Recipe


class PairSource(ABC):
    """Base class for sources of training pairs.

    A subclass sets the attributes and implements `draw_pairs`. By default, pairs are drawn on the CPU, and images have
    one class and no recorded origin.

    Attributes
    ----------
    operator : ForwardOperator
        Forward operator that the trained model assumes.
    bands : int
        Bands of an image.
    classes : int
        Number of classes in `labels`.
    degradation : Degradation or None
        Further degradation of the low-resolution images; None if unknown.
    device : torch.device
        Device of pairs, and of the random state that draws them.
    """

    operator: ForwardOperator
    bands: int
    classes: int = 1
    degradation: Degradation | None = None
    device: torch.device = torch.device("cpu")
    _count: int

    @property
    @abstractmethod
    def low_pixels(self) -> float:
        """Number of low-resolution pixels, infinite if images never repeat; learnt dropout rates fall as it grows."""

    @abstractmethod
    def draw_pairs(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch; see `batch`."""

    @final
    def batch(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch of training pairs.

        Parameters
        ----------
        count : int
            Number of pairs.
        random : torch.Generator
            Random state, on the source's device.

        Returns
        -------
        low, high : Tensor
            Shapes `count x bands x h x w` and `count x bands x sh x sw`, values in about [0, 1].
        """
        object.__setattr__(self, "_count", count)  # a source may be a frozen dataclass
        return self.draw_pairs(count, random)

    def labels(self) -> Tensor:
        """Return the class of each image of the last batch, int64 in `range(classes)`."""
        return torch.zeros(self._count, dtype=torch.long)

    def draws(self) -> Tensor:
        """Return what was drawn for the last batch, `count x values`, from which `origin` describes it."""
        return torch.empty(self._count, 0, device=self.device)

    def origin(self, draws: Tensor) -> str:
        """Describe where a batch came from, for error messages; empty if unknown."""
        return ""


class Pairs(PairSource):
    """Random pairs of low- and high-resolution patches.

    High-resolution patches are random crops, flipped and rotated by multiples of 90 degrees. The forward operator and
    the degradation make low-resolution patches of them. All pixels are in one flat buffer on the device, which also
    draws and degrades, so that a batch is a single gather and never waits for the host.

    Parameters
    ----------
    images : ImageSet
        Images smaller than a patch are left out, with a warning.
    operator : ForwardOperator
    patch : int
        Low-resolution pixels along a side of a patch.
    device : str
    degradation : Degradation
        Further degradation of low-resolution patches, by default rounding to 8 bits.

    Raises
    ------
    TrainingFailed
        If no image is as large as a patch.
    """

    degradation: Degradation

    def __init__(
        self,
        images: ImageSet,
        operator: ForwardOperator,
        patch: int,
        device: str = "cpu",
        degradation: Degradation = Degradation(),  # noqa: B008
    ) -> None:
        self.operator, self.degradation = effective_operator(operator, degradation), degradation
        self.size, self.bands = patch * operator.scale, images.bands
        used = images.as_large_as(self.size)
        self.names = used.names
        self.device = torch.device(device)
        flat = np.concatenate([image.reshape(-1, self.bands) for image in used.images])
        self.pixels = torch.from_numpy(flat).to(device)
        shapes = torch.tensor([image.shape[:2] for image in used.images])
        self._pixels = int(shapes.prod(1).sum())
        self.heights, self.widths = shapes.to(device).unbind(1)
        self.starts = F.pad((self.heights * self.widths).cumsum(0), (1, 0))[:-1]
        self._last: tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]
        labels, self.class_names = labels_of(self.names, [image.shape[:2] for image in used.images])
        self._labels = torch.from_numpy(labels).to(device)
        self.classes = len(self.class_names)

    @property
    def low_pixels(self) -> float:
        return self._pixels / self.operator.scale**2

    def draw_pairs(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        on_device: dict[str, Any] = {"device": self.device, "generator": random}

        def draw(limit: Tensor | int) -> Tensor:
            return (torch.rand(count, dtype=torch.float64, **on_device) * limit).long()

        image = draw(len(self.starts))
        top, left = draw(self.heights[image] - self.size + 1), draw(self.widths[image] - self.size + 1)
        flips = torch.rand(3, count, **on_device) < 0.5
        steps = torch.arange(self.size, device=self.device)
        rows = torch.where(flips[0][:, None], steps.flip(0), steps) + top[:, None]
        columns = torch.where(flips[1][:, None], steps.flip(0), steps) + left[:, None]
        index = rows[:, :, None] * self.widths[image][:, None, None] + columns[:, None, :]
        index = torch.where(flips[2][:, None, None], index.mT, index) + self.starts[image][:, None, None]
        high = self.pixels[index].permute(0, 3, 1, 2).float() / 255
        low, drawn = self.degradation.observe(self.operator, high, random)
        self._last = image, top, left, drawn
        return low, high

    def labels(self) -> Tensor:
        """Return the classes that `labels_of` derives."""
        return self._labels[self._last[0]]

    def draws(self) -> Tensor:
        *places, drawn = self._last
        return torch.stack([*(place.double() for place in places), *(value.double() for value in drawn.values())], 1)

    def origin(self, draws: Tensor) -> str:
        """Describe image, crop in high-resolution pixels, and degradation of each patch."""
        used, parts = self.degradation.describe(), []
        for image, top, left, *drawn in draws.tolist():
            crop = ", ".join(f"{int(edge)}:{int(edge) + self.size}" for edge in (top, left))
            values = zip(RANGES, drawn, strict=True)
            degraded = "".join(f", {name} {value:.3g}" for name, value in values if name in used)
            parts.append(f"{self.names[int(image)]} [{crop}]{degraded}")
        return "; ".join(parts)


class Unpaired(PairSource):
    """Low-resolution patches of one half of the images and high-resolution patches of the other half.

    The parameters are those of `Pairs`.

    Raises
    ------
    TrainingFailed
        If there are fewer than two images, or none is as large as a patch.
    """

    degradation: Degradation

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
        self.device = self.low.device

    @property
    def low_pixels(self) -> float:
        return self.low.low_pixels

    def draw_pairs(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.low.batch(count, random)[0], self.high.batch(count, random)[1]

    def draws(self) -> Tensor:
        return torch.cat([self.low.draws(), self.high.draws()], 1)

    def origin(self, draws: Tensor) -> str:
        """Describe both halves of a batch."""
        low, high = draws.chunk(2, 1)
        return f"low: {self.low.origin(low)}; high: {self.high.origin(high)}"


def pair_source(
    recipe: Recipe, images: ImageSet, operator: ForwardOperator, device: str, degradation: Degradation
) -> Pairs | Unpaired:
    """Return the pair source of a recipe: `Unpaired` if it says so, else `Pairs`."""
    kind = Unpaired if recipe.unpaired else Pairs
    return kind(images, operator, recipe.patch, device, degradation)


_OTHER = "other sizes"
"""The class of images whose size occurs once."""


def labels_of(names: Sequence[str], shapes: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Derive a class for each image.

    The first of these rules that gives more than one class is used:

    1. The folder of an image: ``set/nucleus/3.png`` has the class ``set/nucleus``.
    2. The size of an image, in either orientation: many instruments write files of one size. All sizes that occur once
       form one class.
    3. Each image is its own class.

    Parameters
    ----------
    names : sequence of str
        Names with folders, as in `bayesr.training.data.ImageSet`.
    shapes : sequence of (int, int)
        Heights and widths.

    Returns
    -------
    labels : ndarray of int64
        Index of each image's class.
    classes : tuple of str
        Names of the classes, sorted.

    Raises
    ------
    TrainingFailed
        If there are no images, or the numbers of names and shapes differ.

    References
    ----------
    For the third rule: A. Dosovitskiy et al., "Discriminative unsupervised feature learning with exemplar convolutional
    neural networks", 2016, arXiv:1406.6909.
    """
    if not names or len(names) != len(shapes):
        raise TrainingFailed(f"There are {len(names)} names and {len(shapes)} sizes: give equal numbers, at least one.")
    folders = [PurePath(name).parent.as_posix() for name in names]
    sizes = [f"{min(shape)}x{max(shape)}" for shape in shapes]
    repeated = {size for size, count in Counter(sizes).items() if count > 1}
    by_size = [size if size in repeated else _OTHER for size in sizes]
    chosen = next((rule for rule in (folders, by_size) if len(set(rule)) > 1), list(names))
    classes, labels = np.unique(np.array(chosen, dtype=object), return_inverse=True)
    return labels.astype(np.int64), tuple(classes.tolist())
