"""Separable operators: blur along each axis followed by decimation, with an exact pseudo-inverse.

``A x = R_h x R_w^T`` with banded matrices has the exact, differentiable pseudo-inverse ``A+ y = R_h^+ y R_w^+^T``,
``R+ = R^T (R R^T)^-1``: a few matrix products. For noisy images, ``R+ = R^T (R R^T + m)^-1`` regularises it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidForwardOperator
from bayesr.isolation import isolated
from bayesr.observe.base import ForwardOperator, check_number, check_scale
from bayesr.observe.registry import register
from bayesr.resampling import Banded

# Beyond this condition number of R R^T the inverse amplifies float32 rounding past 1e-4.
_WORST_CONDITION = 1e3
_WIDEST = 2.0
"""Standard deviation over the scale from which on no Gaussian has a usable inverse, whatever the size of the image."""

# Measured for all kernels with scale factors 2 to 8: three passes change pixels beyond `reach` by less than 1e-6 of
# the range, and beyond 8 pixels more by less than 1e-8. Halos in model files include it: it must not change.
_CLIPPING_REACH = 8


def _bicubic(t: NDArray[np.float64], scale: int, sigma: float) -> NDArray[np.float64]:
    """Evaluate Keys' cubic (a = -1/2) stretched by the scale."""
    u = np.abs(t) / scale
    near = 1.5 * u**3 - 2.5 * u**2 + 1
    far = -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    return np.where(u < 1, near, np.where(u < 2, far, 0.0))


def _gaussian(t: NDArray[np.float64], scale: int, sigma: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * (t / sigma) ** 2)


def _box(t: NDArray[np.float64], scale: int, sigma: float) -> NDArray[np.float64]:
    return np.where(np.abs(t) <= scale / 2, 1.0, 0.0)


_KERNELS: dict[str, Callable[[NDArray[np.float64], int, float], NDArray[np.float64]]] = {
    "bicubic": _bicubic,
    "gaussian": _gaussian,
    "box": _box,
}


@lru_cache(maxsize=64)
def _matrices(
    kernel: str, scale: int, sigma: float, regularisation: float, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return ``R``, ``R+`` and ``(R R^T + m)^-1``."""
    big = size * scale
    radius = math.ceil({"bicubic": 2 * scale, "gaussian": 5 * sigma, "box": scale / 2}[kernel])
    rows = np.arange(size)[:, None]
    centre = (rows + 0.5) * scale - 0.5
    columns = np.floor(centre).astype(int) + np.arange(-radius, radius + 2)[None]
    weights = _KERNELS[kernel](columns - centre, scale, sigma)
    # Borders are mirrored with the edge pixel repeated; tiny images more than once.
    mirrored = columns % (2 * big)
    mirrored = np.where(mirrored < big, mirrored, 2 * big - 1 - mirrored)
    matrix = np.zeros((size, big))
    np.add.at(matrix, (np.broadcast_to(rows, columns.shape), mirrored), weights)
    matrix /= matrix.sum(1, keepdims=True)
    # Of constant images, R R^T keeps 1 / s. Both axes together shrink them by the regularisation.
    gram = matrix @ matrix.T + (math.sqrt(1 + regularisation) - 1) / scale * np.eye(size)
    if np.linalg.cond(gram) > _WORST_CONDITION:
        raise _not_invertible(kernel, scale, sigma)
    inverse: NDArray[Any] = np.linalg.solve(gram, matrix).T
    normal: NDArray[Any] = np.linalg.inv(gram)
    return matrix, inverse, normal


def _not_invertible(kernel: str, scale: int, sigma: float) -> InvalidForwardOperator:
    return InvalidForwardOperator(
        f"The {kernel} operator (scale {scale}, sigma {sigma:g}) has no usable exact pseudo-inverse: "
        f"the condition number of R R^T exceeds {_WORST_CONDITION:g}. Use a narrower kernel; for a Gaussian, sigma of "
        f"at most about {0.6 * scale:g} high-resolution pixels, or of up to {_WIDEST * scale:g} with a regularisation, "
        "such as 0.01."
    )


@register("bicubic", "gaussian", "box")
@dataclass(frozen=True)
class Separable(ForwardOperator):
    """A separable forward operator: blur with a 1-D kernel along each axis, then decimation.

    ``A x = R_h x R_w^T``; rows of ``R`` sum to one, and borders are mirrored.

    Parameters
    ----------
    kernel : {"bicubic", "gaussian", "box"}
        ``bicubic`` is Keys' cubic (a = -1/2) stretched by the scale, as in MATLAB's ``imresize``; ``gaussian`` has
        standard deviation `sigma`; ``box`` averages `scale x scale` pixels.
    scale : int
        Scale factor, at least 1.
    sigma : float
        Standard deviation of the Gaussian in high-resolution pixels.
    regularisation : float
        0 for the exact pseudo-inverse. Else the ratio of the variance of noise to that of the image, and ``A+``
        shrinks constants by about this fraction: ``R+ = R^T (R R^T + m)^-1``, ``m = (sqrt(1 + regularisation) - 1) /
        s``. Members then reproduce `y` approximately, and Gaussians may be wider.

    Raises
    ------
    InvalidForwardOperator
        For an unknown kernel, a scale below 1, a Gaussian without positive `sigma`, and an ill-conditioned ``R R^T``.

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", 1981, doi:10.1109/TASSP.1981.1163711.
    """

    kernel: str = "bicubic"
    scale: int = 4
    sigma: float = 0.0
    regularisation: float = 0.0

    def __post_init__(self) -> None:
        if self.kernel not in _KERNELS:
            raise InvalidForwardOperator(f"Unknown kernel {self.kernel!r}: use one of {', '.join(_KERNELS)}.")
        check_scale(self.scale)
        check_number("sigma", self.sigma)
        check_number("regularisation", self.regularisation)
        if self.kernel == "gaussian" and not self.sigma > 0:
            raise InvalidForwardOperator("A gaussian operator needs sigma > 0, in high-resolution pixels.")
        if self.kernel == "gaussian" and self.sigma > _WIDEST * self.scale:
            raise _not_invertible(self.kernel, self.scale, self.sigma)
        self.matrices(16)  # refuses an unusable operator before any work

    def matrices(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``R``, `size x scale*size`, and ``R+``, `scale*size x size`, in double precision."""
        return self._matrices(size)[:2]

    def normal(self, size: int) -> NDArray[np.float64]:
        """Return ``(R R^T + m)^-1``, `size x size`, in double precision."""
        return self._matrices(size)[2]

    def _matrices(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        return _matrices(self.kernel, self.scale, self.sigma, self.regularisation, size)

    def observe(self, x: Tensor) -> Tensor:
        """Compute ``A x``."""
        rows, columns = self._axes(x, self.scale)
        return rows.forward.down(columns.forward.across(x))

    def invert(self, y: Tensor) -> Tensor:
        """Compute ``A+ y``: without regularisation, the consistent image of least norm."""
        rows, columns = self._axes(y)
        return rows.back.down(columns.back.across(self._normalised(y)))

    def project_onto_data_(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute ``A+ y + P x``: without regularisation the nearest consistent image, in the memory of `x`."""
        return self._add_inverse_(x, y - self.observe(x))

    def _axes(self, image: Tensor, scale: int = 1) -> tuple[_Axis, _Axis]:
        """Return the operator along both axes of an image with `scale` times smaller pixels."""
        height, width = (size // scale for size in image.shape[-2:])
        return tuple(_axis(self, size, image.device, image.dtype) for size in (height, width))  # type: ignore[return-value]

    def _normalised(self, y: Tensor) -> Tensor:
        """Compute ``(A A^T)^-1 y``, or its regularised form."""
        rows, columns = self._axes(y)
        return rows.normal.down(columns.normal.across(y))

    def _add_inverse_(self, x: Tensor, y: Tensor, to: Tensor | None = None) -> Tensor:
        """Compute ``x + A+ y`` into `to` or `x`; memory traffic dominates the time of sampling."""
        rows, columns = self._axes(y)
        across = columns.back.across(self._normalised(y)).reshape(-1, y.shape[-2], x.shape[-1])
        to = x if to is None else to
        rows.back.add_down(x.view(-1, *x.shape[-2:]), across, to.view(-1, *x.shape[-2:]))
        return to

    def clip_consistently_(self, x: Tensor, y: Tensor, low: float, high: float, passes: int = 3) -> Tensor:
        """Clip consistent images to bounds and keep them consistent.

        Search for `u` at low resolution such that ``x' = clip(x + A+ u)`` has ``A x' = y``: then ``x'`` is the nearest
        image inside [`low`, `high`], and `u` its dual variable. Every pass adds ``2.1 e + 0.2 (u - u_before)`` to `u`,
        with ``e = y - A x'``. So three passes are as accurate as seven alternations of clipping and projection. Where
        `y` is saturated the truth may lie out of bounds, so only errors that point back inside count. Images inside the
        bounds are returned unchanged; the memory of others is overwritten.

        Parameters
        ----------
        x, y : Tensor
            Images `n x band x sh x sw` with ``A x = y``, and the low-resolution image, `band x h x w`.
        low, high : float
            The bounds.
        passes : int
            Number of passes, fixed so that a pixel's influence has a fixed reach; `clipping_reach` holds for three.
        """
        if not self.exact:
            return super().clip_consistently_(x, y, low, high, passes)
        least, most = torch.aminmax(x)
        if least >= low and most <= high:
            return x
        at_top, at_bottom = y >= high, y <= low
        inside = x.clamp(low, high)
        u = before = torch.zeros((), dtype=x.dtype, device=x.device)
        for _ in range(passes):
            error = y - self.observe(inside)
            error = torch.where(at_top, error.clamp(min=0), torch.where(at_bottom, error.clamp(max=0), error))
            u, before = (u + 0.2 * (u - before)).add(error, alpha=2.1), u
            inside = self._add_inverse_(x, u, inside).clamp_(low, high)
        return inside

    def null_space_variance(self, height: int, width: int) -> Tensor:
        """Return ``diag(P)``, `s*height x s*width`."""
        rows, columns = (
            torch.from_numpy(np.einsum("ij,ji->i", inverse, matrix))
            for matrix, inverse in (self.matrices(height), self.matrices(width))
        )
        return (1 - rows[:, None] * columns[None]).float()

    @property
    def exact(self) -> bool:
        """Whether every member satisfies ``A x = y``: without regularisation."""
        return not self.regularisation

    @property
    def reach(self) -> int:
        """Low-resolution pixels beyond which the weights of ``A+ A`` are below 1e-7."""
        return _reach(self)

    @property
    def clipping_reach(self) -> int:
        """What the three passes of `clip_consistently_` add to `reach`; 0 with a regularisation."""
        return _CLIPPING_REACH if self.exact else 0

    def describe(self) -> dict[str, Any]:
        """Return plain values for a model file."""
        unused = [] if self.kernel == "gaussian" else ["sigma"]
        unused += [] if self.regularisation else ["regularisation"]
        return {name: value for name, value in super().describe().items() if name not in unused}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Make the operator from `describe`'s values."""
        return cls(**plain)  # the kernel is a parameter


class _Axis(NamedTuple):
    """``R``, ``R^T`` and ``(R R^T + m)^-1`` along one axis."""

    forward: Banded
    back: Banded
    normal: Banded


_STEP = 16
"""Low-resolution pixels in a block of rows."""


@lru_cache(maxsize=64)
@isolated  # matrices cached while sampling must serve training later
def _axis(operator: Separable, size: int, device: torch.device, dtype: torch.dtype) -> _Axis:
    matrix, _ = operator.matrices(size)
    return _Axis(
        Banded(matrix, _STEP, device, dtype),
        Banded(matrix.T, _STEP * operator.scale, device, dtype),
        Banded(operator.normal(size), _STEP, device, dtype),
    )


@lru_cache(maxsize=64)
def _reach(operator: Separable) -> int:
    # Cached: NumPy's threads keep spinning after a product and would slow down torch's.
    matrix, inverse = operator.matrices(96)
    weights = np.abs(inverse @ matrix)[48 * operator.scale]
    farthest = int(np.abs(np.nonzero(weights > 1e-7)[0] - 48 * operator.scale).max())
    return math.ceil(farthest / operator.scale)
