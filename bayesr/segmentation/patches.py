"""Training patches of cases: random crops with augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.segmentation import expand_labels, find_boundaries
from torch import Tensor

from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.segmentation.cases import Case
from bayesr.segmentation.scaling import scaled

_GAIN, _OFFSET, _GAMMA = 0.25, 0.08, 0.2
"""Largest changes of log contrast, level and log gamma."""
_GAP_DISTANCE = 2
"""Largest distance in pixels from a gap to the two objects that it separates."""
_GAP_WEIGHT = 4.0
"""Weight in the loss of the few pixels that separate two objects."""


class Patches:
    """Random patches of cases, rotated by multiples of 90 degrees, mirrored, and changed in contrast, level and gamma.

    Parameters
    ----------
    cases : sequence of Case
        All with the same number of bands and of annotators.
    outputs : int
        1 for the foreground, 2 for the foreground and the `borders`.
    side : int
        Pixels along a side. Smaller images are extended by reflection.
    scaling, inputs : str, tuple of str
        See `Segmenter`.
    blur, noise : float
        Largest standard deviations, in pixels and relative to the value range. A third of the patches get neither.

    Raises
    ------
    InvalidArgument, BandMismatch
        If there are no cases, or their shapes or values do not agree.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        outputs: int,
        side: int,
        scaling: str,
        inputs: tuple[str, ...] = ("member",),
        blur: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        _check(cases)
        if outputs not in (1, 2):
            raise InvalidArgument(f"Networks are trained with 1 output (foreground) or 2 (and borders), not {outputs}.")
        self.side, self.blur, self.noise = side, blur, noise
        self.images = [torch.from_numpy(scaled(c.image, c.value_range, scaling, inputs)) for c in cases]
        self.targets, self.weights = [], []
        for case in cases:
            drawn = [_targets(mask, outputs) for mask in case.masks]
            weight = np.ones(case.masks.shape[1:], np.float32) if case.weight is None else case.weight
            if outputs == 2:
                between = np.mean([gap for _, gap in drawn], axis=0)
                weight = weight * (1 + (_GAP_WEIGHT - 1) * between)
            self.targets.append(torch.from_numpy(np.stack([target for target, _ in drawn])))  # a x outputs x y x x
            self.weights.append(torch.from_numpy(weight.astype(np.float32))[None])

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a batch of patches.

        Returns
        -------
        images : Tensor
            `n x bands x h x w`.
        targets : Tensor
            `n x annotator x outputs x h x w`, in {0, 1}.
        weights : Tensor
            `n x 1 x h x w`.
        """
        drawn = [self._patch(int(i), generator) for i in torch.randint(len(self.images), (count,), generator=generator)]
        x, targets, weight = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return x, targets.float(), weight

    def _patch(self, i: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        image, targets, weight = self.images[i], self.targets[i], self.weights[i]
        rows, columns = (_crop_indices(size, self.side, generator) for size in image.shape[-2:])
        rotations, mirrored = torch.randint(4, (), generator=generator), torch.rand((), generator=generator) < 0.5
        parts = []
        for part in (image, targets, weight):
            cut = part.index_select(-2, rows).index_select(-1, columns).rot90(int(rotations), (-2, -1))
            parts.append(cut.flip(-1) if mirrored else cut)
        return self._augmented(parts[0], generator), parts[1], parts[2]

    def _augmented(self, x: Tensor, generator: torch.Generator) -> Tensor:
        u = torch.rand((6, len(x), 1, 1), generator=generator) * 2 - 1
        gamma = torch.exp(_GAMMA * u[0])
        x = torch.where(x > 0, x.clamp_min(1e-6) ** gamma, x)
        x = x * torch.exp(_GAIN * u[1]) + _OFFSET * u[2]
        plain = float(u[3, 0]) < -1 / 3
        if self.blur and not plain:
            x = _blurred(x, self.blur * float(u[4, 0].abs()))
        if self.noise and not plain:
            x = x + self.noise * u[5, :1].abs() * torch.randn(x.shape, generator=generator)
        return x


def borders(labels: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the borders of objects and the gaps between them.

    Borders are the outermost pixels of objects, background pixels that touch them, and gaps: pixels with two objects
    within 2 pixels.

    Parameters
    ----------
    labels : ndarray
        `y x x`.

    Returns
    -------
    borders, gaps : ndarray
        `y x x`, boolean.
    """
    expanded = expand_labels(labels, _GAP_DISTANCE)
    # A boundary of the expanded labels but not of their union lies between two objects.
    inside = (expanded > 0) & ~find_boundaries(expanded > 0, mode="inner")
    gaps = binary_dilation(find_boundaries(expanded, mode="inner") & inside)
    return find_boundaries(labels, mode="thick") | gaps, gaps


def _targets(mask: NDArray[np.int32], outputs: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    if outputs == 1:
        return (mask > 0).astype(np.uint8)[None], np.zeros(mask.shape, bool)
    border, gaps = borders(mask)
    return np.stack([mask > 0, border]).astype(np.uint8), gaps


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise InvalidArgument("There are no cases to train on.")
    first = cases[0]
    for case in cases:
        if case.image.ndim != 3 or case.masks.ndim != 3 or case.image.shape[1:] != case.masks.shape[1:]:
            raise InvalidArgument(
                f"{case.name}: the image {case.image.shape} must be (band, y, x), its masks {case.masks.shape} "
                "(annotator, y, x) of the same size."
            )
        if case.weight is not None and case.weight.shape != case.image.shape[1:]:
            raise InvalidArgument(f"{case.name}: the weight {case.weight.shape} must be (y, x), as large as the image.")
        if len(case.image) != len(first.image):
            raise BandMismatch(
                f"{case.name} has {len(case.image)} band(s), {first.name} has {len(first.image)}: train on cases of "
                "equally many."
            )
        if len(case.masks) != len(first.masks):
            raise InvalidArgument(
                f"{case.name} has {len(case.masks)} annotator(s), {first.name} has {len(first.masks)}: train on cases "
                "of equally many."
            )
        if not np.isfinite(case.image).all():
            raise InvalidArgument(f"{case.name} has values that are NaN or infinite: fill them, or take it out.")


def _crop_indices(size: int, side: int, generator: torch.Generator) -> Tensor:
    """Random indices of a patch along an axis, reflected if the image is smaller."""
    first = int(torch.randint(max(size - side, 0) + 1, (), generator=generator))
    folded = torch.arange(first, first + side) % (2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Blur `band x y x x` by a Gaussian, with reflection at the edges."""
    radius = min(int(3 * sigma + 0.5), min(x.shape[-2:]) - 1)
    if radius < 1:
        return x
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float32) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(len(x), 1, 1, -1)
    padded = F.pad(x[None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=len(x)), kernel.mT, groups=len(x))[0]
