"""The interface of segmentation networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bayesr.segmentation.losses import PixelLoss


class SegmentationNetwork(Protocol):
    """A `torch.nn.Module` that predicts probability maps of an image.

    Images are `n x bands x h x w`, in about [0, 1]. Probability maps are `n x outputs x h x w`: the foreground, and
    with two outputs the borders of objects.
    """

    @property
    def architecture(self) -> Mapping[str, Any]:
        """The description, which can be written as JSON, for `bayesr.segmentation.registry.build`.

        ``kind`` is a key of `bayesr.segmentation.registry.NETWORKS`, ``bands`` and ``outputs`` are the numbers of bands
        and maps, and the rest are further arguments of the class.
        """

    @property
    def reach(self) -> int | None:
        """Distance in pixels within which an output pixel depends on the image; None if on all of it."""

    @property
    def multiple(self) -> int:
        """Windows that begin at multiples of this number of pixels give the same maps as the image."""

    def probability(self, x: Tensor, /) -> Tensor:
        """Return the probability maps of images, `n x outputs x h x w`."""

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None, /) -> Tensor:
        """Return plausible probability maps of each image, `n x count x outputs x h x w`."""

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator, /
    ) -> Tensor:
        """Return the training loss, a scalar.

        Parameters
        ----------
        x : Tensor
            Images, `n x bands x h x w`.
        targets : Tensor
            Masks of all annotators, `n x annotator x outputs x h x w`, in {0, 1}.
        weight : Tensor
            Of the pixels, `n x 1 x h x w`.
        pixel_loss : callable
            One of `bayesr.segmentation.losses.LOSSES`.
        generator : torch.Generator
            Source of all random numbers.
        """

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As in `torch.nn.Module`."""

    def state_dict(self) -> dict[str, Any]:
        """As in `torch.nn.Module`."""


def as_module(network: SegmentationNetwork) -> nn.Module:
    """Return the network as a module: Python has no type for a `Module` with these methods."""
    assert isinstance(network, nn.Module)
    return network
