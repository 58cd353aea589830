"""Degradation beyond the forward operator: blur, noise and rounding, drawn anew for every image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidObservation
from bayesr.observe import ForwardOperator

Range = tuple[float, float]

DRAWN = ("blur", "noise", "photon")
"""What is drawn for every image."""


@dataclass(frozen=True)
class Degradation:
    """Random degradation ``y = round(A (b * x) + sqrt(sigma^2 + k max(A (b * x), 0)) e)``.

    The blur kernel b, sigma and k are drawn for every image, and e is standard normal noise.

    Parameters
    ----------
    blur : (float, float)
        Range of the standard deviation of a Gaussian blur before the operator, in high-resolution pixels.
    noise : (float, float)
        Range of sigma, the standard deviation of noise without signal, relative to the value range.
    photon : (float, float)
        Range of k, the variance of the noise per unit of signal, both relative to the value range. A detector of N
        photons at the top of the range has k = 1 / N (Poisson noise, approximated as normal).
    rounded : bool
        Whether values are clipped to [0, 1] and rounded to 8 bits.

    Raises
    ------
    InvalidObservation
        If a range is negative, not finite, or reversed.

    References
    ----------
    A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008,
    doi:10.1109/TIP.2008.2001399.
    """

    blur: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    photon: Range = (0.0, 0.0)
    rounded: bool = True

    def __post_init__(self) -> None:
        for name in DRAWN:
            least, most = getattr(self, name)
            if not (0 <= least <= most and math.isfinite(most)):
                raise InvalidObservation(f"{name} is a range (least, most) of numbers from 0, not {(least, most)}.")

    @property
    def exact(self) -> bool:
        """Whether ``y = A x`` up to rounding."""
        return self.blur[1] == self.noise[1] == self.photon[1] == 0

    def observe(
        self, operator: ForwardOperator, high: Tensor, random: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Degrade high-resolution images.

        Parameters
        ----------
        operator : ForwardOperator
            The forward operator A.
        high : Tensor
            Images x, `n x band x sh x sw`, in about [0, 1].
        random : torch.Generator
            Random state, on the device of `high`.

        Returns
        -------
        low : Tensor
            Images y, `n x band x h x w`.
        drawn : dict of str to Tensor
            Blur, noise and photon of every image.
        """
        drawn = {name: self._draw(name, len(high), random) for name in DRAWN}
        low = operator.observe(blurred(high, drawn["blur"], self.blur[1]) if self.blur[1] else high)
        if self.noise[1] or self.photon[1]:
            sigma, k = (drawn[name].to(low).view(-1, 1, 1, 1) for name in ("noise", "photon"))
            unit = torch.randn(low.shape, generator=random, device=random.device)
            low = low + (sigma.square() + k * low.clamp(min=0)).sqrt() * unit
        if self.rounded:
            low = (low.clamp(0, 1) * 255).round() / 255
        return low, drawn

    def pair(
        self, image: NDArray[np.uint8], operator: ForwardOperator, random: torch.Generator
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the (low, high) pair of an 8-bit image `y x x x band`, cropped to a multiple of the scale.

        Both have 8 bits if `rounded`, and are floats of the value range [0, 1] otherwise.
        """
        height, width = (size // operator.scale * operator.scale for size in image.shape[:2])
        high = torch.from_numpy(image[:height, :width].astype(np.float32)).permute(2, 0, 1)[None] / 255
        low, _ = self.observe(operator, high, random)
        images = [part[0].permute(1, 2, 0).numpy() for part in (low, high)]
        if self.rounded:
            images = [(image * 255).round().astype(np.uint8) for image in images]
        return images[0], images[1]

    def _draw(self, name: str, count: int, random: torch.Generator) -> Tensor:
        least, most = getattr(self, name)
        if least == most:  # an unused option must not change the random state
            return torch.full((count,), least, device=random.device)
        drawn: Tensor = least + (most - least) * torch.rand(count, generator=random, device=random.device)
        return drawn

    def describe(self) -> dict[str, Any]:
        """Return the ranges as plain values, without those that are zero."""
        return {name: list(getattr(self, name)) for name in DRAWN if getattr(self, name)[1]}


def blurred(x: Tensor, sigma: Tensor, widest: float) -> Tensor:
    """Blur images `n x band x y x x`, each by a Gaussian of its own `sigma` in pixels, with mirrored borders.

    The kernel is sampled at pixels and normalised, and ends at four times `widest`, the largest possible `sigma`. A
    `sigma` of 0 leaves the image unchanged.
    """
    radius = math.ceil(4 * widest)
    t = torch.arange(-radius, radius + 1, dtype=torch.float32, device=sigma.device)
    kernel = torch.exp(-0.5 * (t / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(x).repeat_interleave(x.shape[1], 0)
    for axis, weights in ((-1, kernel[:, None, None, :]), (-2, kernel[:, None, :, None])):
        size = x.shape[axis]
        # Mirror with the edge pixel repeated, like the operators; more than once if the kernel is wider than the image.
        index = torch.arange(-radius, size + radius, device=x.device) % (2 * size)
        padded = x.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
        x = F.conv2d(padded.flatten(0, 1)[None], weights, groups=len(kernel))[0].unflatten(0, x.shape[:2])
    return x


def effective_operator(operator: ForwardOperator, degradation: Degradation) -> ForwardOperator:
    """Return the forward operator that a model trained under `degradation` must assume."""
    if degradation.exact:
        return operator
    return operator.unconstrained(**{name: getattr(degradation, name)[1] for name in DRAWN})
