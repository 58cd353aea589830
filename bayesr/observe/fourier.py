"""Operators of any point-spread function: convolution through the FFT, with a Tikhonov inverse.

``A = D H``: ``H`` convolves with the point-spread function under mirrored borders, ``D`` takes the mean over
`s x s` pixels, as a detector's pixels gather light. ``A^T (A A^T + l)^-1`` needs the inverse at low resolution
alone. There, in the Fourier basis of the mirrored image, ``A A^T`` is diagonal: with ``g = h * d`` of the point
spread and the pixel, its eigenvalues are the transform of g's autocorrelation at multiples of `s` pixels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidObservation
from bayesr.observe.base import ForwardOperator

Doubles = NDArray[np.float64]

REGULARISATION = 1e-2
"""Where ``A A^T`` of well-sampled images is hardly changed, and influence dies off within some twenty pixels."""
_TAIL = 1e-5
"""The sum of all weights beyond an operator's reach."""


class Fourier(ForwardOperator):
    """``A = D H`` with ``A+ = A^T (A A^T + l)^-1``, ``l = regularisation / s^2``.

    The eigenvalue of ``A A^T`` that belongs to constants is ``1 / s^2``, and the largest; so the regularisation
    is the share by which ``A+`` shrinks them: the variance of the noise over that of the image, if it is to be
    the best linear estimate of a white scene. A member that is made to explain `y` comes near it and no nearer:
    the operator is not exact.

    The inverse is that of the mirrored image. It equals ``A^T (A A^T + l)^-1`` of the image itself where the
    point-spread function is symmetric under both reflections, and differs from it beside borders, as far as
    the point-spread function reaches, where it is not.

    References
    ----------
    J. W. Goodman, "Introduction to Fourier Optics", chapter 6. A. N. Tikhonov, "Solution of incorrectly formulated
    problems and the regularization method", 1963. N. Zhao et al., "Fast single image super-resolution using a new
    analytical solution for l2-l2 problems", 2016, doi:10.1109/TIP.2016.2567075, for aliases in the Fourier domain.
    """

    regularisation: float

    @abstractmethod
    def kernel(self) -> Doubles:
        """The point-spread function at high-resolution pixels, `odd x odd`, of sum one."""

    def observe(self, x: Tensor) -> Tensor:
        """``A x``: from `... x sh x sw` to `... x h x w`."""
        s = self.scale
        seen: Tensor = self._convolve(_floating(x)).unflatten(-1, (-1, s)).unflatten(-3, (-1, s)).mean((-3, -1))
        return seen

    def invert(self, y: Tensor) -> Tensor:
        """``A^T (A A^T + l)^-1 y``: of all images, the one with the least ``|y - A x|^2 + l |x|^2``."""
        s, y = self.scale, _floating(y)
        height, width = y.shape[-2:]
        mirrored = _mirrored(y, (0, 0), (2 * height, 2 * width))
        normal = _normal(self, height, width, y.device, y.dtype)
        u = torch.fft.irfft2(torch.fft.rfft2(mirrored) * normal, mirrored.shape[-2:])[..., :height, :width]
        return self._convolve(u.repeat_interleave(s, -2).repeat_interleave(s, -1) / s**2, transposed=True)

    def _convolve(self, x: Tensor, transposed: bool = False) -> Tensor:
        """``H x`` or ``H^T x``; mirrored as far as the kernel reaches, which costs less than the whole mirror image."""
        height, width = x.shape[-2:]
        margins = tuple(size // 2 for size in self.kernel().shape)
        whole = tuple(_fast(size + 2 * margin) for size, margin in zip((height, width), margins, strict=True))
        transfer = _transfer(self, whole, x.device, x.dtype)
        transfer = transfer.conj() if transposed else transfer
        found: Tensor = torch.fft.irfft2(torch.fft.rfft2(_mirrored(x, margins, whole)) * transfer, whole)
        return found[..., margins[0] : margins[0] + height, margins[1] : margins[1] + width]

    @property
    def reach(self) -> int:
        """Low-resolution pixels beyond which the weights of ``A+`` and of ``A+ A`` sum to less than 1e-5."""
        return _reach(self)

    def _check(self) -> None:
        """Refuse what no such operator can have; here, not in the middle of work."""
        if self.scale < 1:
            raise InvalidObservation(f"The scale must be at least 1, not {self.scale}.")
        if not 0 < self.regularisation < math.inf:
            raise InvalidObservation(
                f"The regularisation must be above 0, not {self.regularisation:g}: it is the variance of the noise "
                f"over that of the image, {REGULARISATION:g} by default."
            )
        _reach(self)


def _floating(image: Tensor) -> Tensor:
    """The image in a precision that has an FFT."""
    return image if image.dtype == torch.float64 else image.float()


def _fast(size: int) -> int:
    """The least number from `size` on whose prime factors are 2, 3 and 5."""
    rest = size
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return size if rest == 1 else _fast(size + 1)


def _mirrored(x: Tensor, before: tuple[int, ...], whole: tuple[int, ...]) -> Tensor:
    """An image of `whole` pixels that `before` pixels of its mirror image come before; the edge pixel is repeated."""
    for axis, start, length in zip((-2, -1), before, whole, strict=True):
        size = x.shape[axis]
        index = torch.arange(-start, length - start, device=x.device) % (2 * size)
        x = x.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
    return x


def _wrapped(kernel: Doubles, shape: tuple[int, ...]) -> Tensor:
    """The kernel about the first pixel of a periodic image, wrapped as often as a tiny image needs."""
    found = np.zeros(shape)
    rows, columns = (np.arange(side) - side // 2 for side in kernel.shape)
    np.add.at(found, (rows[:, None] % shape[0], columns[None] % shape[1]), kernel)
    return torch.from_numpy(found)


@lru_cache(maxsize=64)
def _transfer(operator: Fourier, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # or what sampling caches could not be trained with
        found: Tensor = torch.fft.rfft2(_wrapped(operator.kernel(), shape))
        return found.to(device, torch.complex128 if dtype == torch.float64 else torch.complex64)


@lru_cache(maxsize=64)
def _normal(operator: Fourier, height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Eigenvalues of ``(A A^T + l)^-1``: real, for an autocorrelation is its own reflection."""
    with torch.inference_mode(False):
        eigenvalues: Tensor = torch.fft.rfft2(_wrapped(_autocorrelation(operator), (2 * height, 2 * width))).real
        return (1 / (eigenvalues + operator.regularisation / operator.scale**2)).to(device, dtype)


@lru_cache(maxsize=64)
def _autocorrelation(operator: Fourier) -> Doubles:
    """``sum_p g(p) g(p + s i)`` of ``g = h * d``, for all low-resolution offsets `i` at which it is not zero."""
    s, kernel = operator.scale, operator.kernel()
    sides = [2 * (side + s) for side in kernel.shape]
    seen = np.fft.rfft2(kernel, sides) * np.fft.rfft2(np.full((s, s), 1 / s**2), sides)
    whole = np.fft.irfft2(np.abs(seen) ** 2, sides)
    offsets = [s * np.arange(-((side + s - 2) // s), (side + s - 2) // s + 1) for side in kernel.shape]
    found: Doubles = whole[np.ix_(*offsets)]
    return found


@lru_cache(maxsize=64)
def _reach(operator: Fourier) -> int:
    s, side = operator.scale, 64
    while side == 64 or side * s <= 1024:
        y, x = torch.zeros(side, side, dtype=torch.float64), torch.zeros(side * s, side * s, dtype=torch.float64)
        y[side // 2, side // 2] = x[side * s // 2, side * s // 2] = 1
        weights = torch.maximum(operator.invert(y).abs(), operator.invert(operator.observe(x)).abs())
        steps = (torch.arange(side * s) // s - side // 2).abs()
        distance = torch.maximum(steps[:, None], steps)
        within = torch.bincount(distance.flatten(), weights.flatten(), side // 2 + 1).cumsum(0)
        beyond = within[-1] - within
        reach = int((beyond > _TAIL).sum())
        if reach < 3 * side // 8:  # else what was found may be the mirror's
            return reach
        side *= 2
    raise InvalidObservation(
        f"The influence of a pixel does not die off: a regularisation of {operator.regularisation:g} is too small for "
        f"this point-spread function at scale {s}. Use ten times as much, {10 * operator.regularisation:g}."
    )
