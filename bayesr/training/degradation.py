"""Degradation beyond the forward operator: blur, noise, rounding and compression, drawn anew for every image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidForwardOperator
from bayesr.observe import ForwardOperator
from bayesr.training.jpeg import compressed

Range = tuple[float, float]

STEPS = ("blur", "defocus", "operator", "noise", "rounding", "jpeg")
"""The steps of a degradation, in their usual order."""
_RANGES_OF_STEPS: Mapping[str, tuple[str, ...]] = {
    "blur": ("blur", "anisotropy"),
    "defocus": ("defocus",),
    "noise": ("noise", "photon"),
    "rounding": ("bits",),
    "jpeg": ("jpeg",),
}
"""The ranges that each step draws from."""
RANGES = tuple(name for names in _RANGES_OF_STEPS.values() for name in names)
"""Names of all ranges."""
RECORDED = ("blur", "noise", "photon")
"""Ranges whose largest values the forward operator of a model records."""
CHROMA = ("full", "half", "either")


@dataclass(frozen=True)
class Degradation:
    """Random degradation of images, each by parameters of its own: by default rounding to 8 bits alone.

    In the usual order of steps, ``y = jpeg(round(u + sqrt(sigma^2 + k max(u, 0)) e))`` with ``u = A (d * b * x)``: the
    blur kernel b, the defocus kernel d, sigma, k, the number of bits and the quality of the JPEG are drawn for every
    image, and e is standard normal noise.

    Parameters
    ----------
    blur : (float, float)
        Range of the standard deviation of a Gaussian blur in high-resolution pixels, along the narrower axis of its
        kernel.
    anisotropy : (float, float)
        Range of the kernel's wider standard deviation over the narrower one, at least 1; its direction is random.
    defocus : (float, float)
        Range of the radius of a uniform disc, in high-resolution pixels.
    noise : (float, float)
        Range of sigma, the standard deviation of noise without signal, relative to the value range.
    photon : (float, float)
        Range of k, the variance of the noise per unit of signal, both relative to the value range. A detector of N
        photons at the top of the range has k = 1 / N (Poisson noise, approximated as normal).
    rounded : bool
        Whether values are clipped to [0, 1] and rounded to whole multiples of ``1 / (2^bits - 1)``.
    bits : (float, float)
        Range of the number of bits, 1 to 16; fractions are dropped.
    jpeg : (float, float)
        Range of the quality of a JPEG file, 1 to 100 (see `bayesr.training.jpeg`); (0, 0) for none.
    chroma : {"full", "half", "either"}
        Resolution of its chroma; ``"either"`` draws one.
    shares : mapping of str to float
        Probability of each step, of `STEPS`, 1 by default: ``{"jpeg": 0.4}`` compresses 40% of images.
    order : tuple of str
        The steps in another order; all of `STEPS`. Widths are in high-resolution pixels also after the operator.

    Raises
    ------
    InvalidForwardOperator
        If a range is not one of finite numbers, or is reversed; if a share is no probability, or `order` lacks a step.

    References
    ----------
    A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008,
    doi:10.1109/TIP.2008.2001399.
    """

    blur: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    photon: Range = (0.0, 0.0)
    rounded: bool = True
    anisotropy: Range = (1.0, 1.0)
    defocus: Range = (0.0, 0.0)
    bits: Range = (8, 8)
    jpeg: Range = (0, 0)
    chroma: str = "either"
    shares: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    order: tuple[str, ...] = STEPS

    def __post_init__(self) -> None:
        for name in RANGES:
            lowest, highest = {"anisotropy": (1, math.inf), "bits": (1, 16), "jpeg": (0, 100)}.get(name, (0, math.inf))
            least, most = getattr(self, name)
            if not (lowest <= least <= most <= highest and math.isfinite(most)):
                limits = f"from {lowest}" + (f" to {highest}" if math.isfinite(highest) else "")
                raise InvalidForwardOperator(f"{name} is a range (least, most) of numbers {limits}, not {least, most}.")
        if self.jpeg[1] and self.jpeg[0] < 1:
            raise InvalidForwardOperator(f"jpeg is a range of qualities from 1 to 100, not {self.jpeg}.")
        if self.jpeg[1] and not self.rounded:
            raise InvalidForwardOperator("A JPEG file has 8 bits: leave rounded=False out.")
        if self.chroma not in CHROMA:
            raise InvalidForwardOperator(f"chroma must be one of {', '.join(map(repr, CHROMA))}, not {self.chroma!r}.")
        for name, share in self.shares.items():
            if name not in _RANGES_OF_STEPS or not 0 <= share <= 1:
                raise InvalidForwardOperator(
                    f"shares are probabilities of {', '.join(_RANGES_OF_STEPS)}, not {name!r}: {share}."
                )
        if sorted(self.order) != sorted(STEPS):
            raise InvalidForwardOperator(f"order must name each of {', '.join(STEPS)} once, not {self.order}.")

    def __hash__(self) -> int:
        return hash(str(self.describe()))

    @property
    def exact(self) -> bool:
        """Whether ``y = A x`` up to rounding."""
        return not any(self._used(step) for step in STEPS if step not in ("operator", "rounding"))

    @property
    def eight_bits(self) -> bool:
        """Whether degraded images have values of 8 bits."""
        return self.rounded and (
            self.bits[0] == self.bits[1] == 8 or bool(self.jpeg[1] and self.shares.get("jpeg", 1) == 1)
        )

    def _used(self, step: str) -> bool:
        """Whether a step may change images."""
        if step == "rounding":
            return self.rounded
        return any(getattr(self, name)[1] for name in _RANGES_OF_STEPS[step] if name != "anisotropy")

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
        parameters : dict of str to Tensor
            The parameters of every image, by the names of `RANGES`; 0 where a step was left out.
        """
        parameters = {name: values for step in STEPS for name, values in self._draw(step, len(high), random)}
        image, pixel = high, 1.0
        for step in self.order:
            if step == "operator":
                image, pixel = operator.observe(image), 1.0 / operator.scale
            elif self._used(step):
                image = getattr(self, f"_{step}")(image, parameters, pixel, random)
        return image, parameters

    def _blur(self, x: Tensor, parameters: Mapping[str, Tensor], pixel: float, random: torch.Generator) -> Tensor:
        if self.anisotropy[1] == 1:
            return blurred(x, parameters["blur"] * pixel, self.blur[1] * pixel)
        narrow, wide = parameters["blur"] * pixel, parameters["blur"] * parameters["anisotropy"] * pixel
        turned = math.pi * torch.rand(len(x), generator=random, device=random.device)
        return filtered(x, _gaussians(narrow, wide, turned, self.blur[1] * self.anisotropy[1] * pixel))

    def _defocus(self, x: Tensor, parameters: Mapping[str, Tensor], pixel: float, random: torch.Generator) -> Tensor:
        return filtered(x, _discs(parameters["defocus"] * pixel, self.defocus[1] * pixel))

    def _noise(self, x: Tensor, parameters: Mapping[str, Tensor], pixel: float, random: torch.Generator) -> Tensor:
        sigma, k = (parameters[name].to(x).view(-1, 1, 1, 1) for name in ("noise", "photon"))
        unit = torch.randn(x.shape, generator=random, device=random.device)
        return x + (sigma.square() + k * x.clamp(min=0)).sqrt() * unit

    def _rounding(self, x: Tensor, parameters: Mapping[str, Tensor], pixel: float, random: torch.Generator) -> Tensor:
        if self.bits[0] == self.bits[1] == 8:
            return (x.clamp(0, 1) * 255).round() / 255
        largest = (2 ** parameters["bits"].floor() - 1).to(x).view(-1, 1, 1, 1)
        return torch.where(largest > 0, (x.clamp(0, 1) * largest).round() / largest.clamp(min=1), x)

    def _jpeg(self, x: Tensor, parameters: Mapping[str, Tensor], pixel: float, random: torch.Generator) -> Tensor:
        if self.chroma == "either":
            halved = torch.rand(len(x), generator=random, device=random.device) < 0.5
        else:
            halved = torch.full((len(x),), self.chroma == "half", device=random.device)
        quality = parameters["jpeg"]
        return torch.where((quality > 0)[:, None, None, None], compressed(x, quality, halved), x)

    def pair(
        self,
        image: NDArray[np.uint8],
        operator: ForwardOperator,
        random: torch.Generator,
        dtype: type[np.floating] = np.float32,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the (low, high) pair of an 8-bit image `y x x x band`, cropped to a multiple of the scale.

        Both have 8 bits if low-resolution images have, and are floats of the value range [0, 1] otherwise. They are
        computed with numbers of type `dtype`.
        """
        height, width = (size // operator.scale * operator.scale for size in image.shape[:2])
        high = torch.from_numpy(image[:height, :width].astype(dtype)).permute(2, 0, 1)[None] / 255
        low, _ = self.observe(operator, high, random)
        images = [part[0].permute(1, 2, 0).numpy() for part in (low, high)]
        if self.eight_bits:
            images = [(image * 255).round().astype(np.uint8) for image in images]
        return images[0], images[1]

    def _draw(self, step: str, count: int, random: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of a step; what is not used must not change the random state."""
        if step == "operator":
            return
        share = self.shares.get(step, 1.0) if self._used(step) else 1.0
        applied = None
        if share < 1:
            applied = torch.rand(count, generator=random, device=random.device) < share
        for name in _RANGES_OF_STEPS[step]:
            least, most = getattr(self, name)
            values = torch.full((count,), float(least), device=random.device)
            if least < most:
                values = least + (most - least) * torch.rand(count, generator=random, device=random.device)
            yield name, values if applied is None else torch.where(applied, values, 0.0)

    def describe(self) -> dict[str, Any]:
        """Return what is not as by default, as plain values."""
        settings: dict[str, Any] = {name: list(getattr(self, name)) for name in (*RANGES, "order")}
        settings |= {"rounded": self.rounded, "chroma": self.chroma, "shares": dict(self.shares)}
        defaults: dict[str, Any] = {name: [0, 0] for name in RANGES} | {"anisotropy": [1, 1], "bits": [8, 8]}
        defaults |= {"order": list(STEPS), "rounded": True, "shares": {}}
        defaults["chroma"] = "either" if self.jpeg[1] else self.chroma
        return {name: value for name, value in settings.items() if value != defaults[name]}


def blurred(x: Tensor, sigma: Tensor, widest: float) -> Tensor:
    """Blur images `n x band x y x x`, each by a Gaussian of its own `sigma` in pixels, with mirrored borders.

    The kernel is sampled at pixels and normalised, and ends at four times `widest`, the largest possible `sigma`. A
    `sigma` of 0 leaves the image unchanged.
    """
    radius = math.ceil(4 * widest)
    t = torch.arange(-radius, radius + 1, dtype=torch.float32, device=sigma.device)
    kernel = torch.exp(-0.5 * (t / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(x)
    return filtered(filtered(x, kernel[:, None, :]), kernel[:, :, None])


def filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolve images `n x band x y x x`, each with its own kernel of odd sides, `n x k x l`; borders are mirrored.

    The edge pixel is repeated, as by the operators, and narrow images are mirrored more than once.
    """
    for axis, taps in ((-2, kernels.shape[1]), (-1, kernels.shape[2])):
        size, radius = x.shape[axis], taps // 2
        index = torch.arange(-radius, size + radius, device=x.device) % (2 * size)
        x = x.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index)) if radius else x
    weights = kernels.to(x).repeat_interleave(x.shape[1], 0)[:, None]
    convolved: Tensor = F.conv2d(x.flatten(0, 1)[None], weights, groups=len(weights))[0].unflatten(0, x.shape[:2])
    return convolved


def _grid(radius: int, device: torch.device) -> tuple[Tensor, Tensor]:
    t = torch.arange(-radius, radius + 1, dtype=torch.float32, device=device)
    return t[:, None], t[None]


def _gaussians(narrow: Tensor, wide: Tensor, angle: Tensor, widest: float) -> Tensor:
    """Return normalised Gaussian kernels, `n x k x k`, with their wider axis at an angle from that of columns."""
    y, x = _grid(math.ceil(4 * widest), narrow.device)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = cosine * x + sine * y, cosine * y - sine * x
    kernels = torch.exp(-0.5 * ((along / _positive(wide)) ** 2 + (across / _positive(narrow)) ** 2))
    return kernels / kernels.sum((1, 2), keepdim=True)


def _positive(widths: Tensor) -> Tensor:
    return widths.clamp(min=1e-3)[:, None, None]


def _discs(radius: Tensor, widest: float) -> Tensor:
    """Return normalised discs, `n x k x k`, whose border falls linearly within a pixel."""
    y, x = _grid(math.ceil(widest + 0.5), radius.device)
    kernels = (radius[:, None, None] + 0.5 - torch.hypot(x, y)).clamp(0, 1)
    return kernels / kernels.sum((1, 2), keepdim=True)


def effective_operator(operator: ForwardOperator, degradation: Degradation) -> ForwardOperator:
    """Return the forward operator that a model trained under `degradation` must assume."""
    if degradation.exact:
        return operator
    return operator.unconstrained(**{name: getattr(degradation, name)[1] for name in RECORDED})
