"""Convolution with any point-spread function by the FFT, and its Tikhonov inverse.

``A = D H``: ``H`` convolves with the point-spread function under mirrored borders, and ``D`` takes the mean over
`s x s` pixels, as detectors do. ``A^T (A A^T + l)^-1`` needs an inverse at low resolution only. In the Fourier basis of
the mirrored image, the eigenvalues of ``A A^T`` are the Fourier transform of the autocorrelation of ``g = h * d``, the
point-spread function convolved with the pixel, at multiples of `s` pixels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidForwardOperator
from bayesr.isolation import isolated
from bayesr.observe.base import ForwardOperator, check_number, check_scale

Doubles = NDArray[np.float64]

REGULARISATION = 1e-2
"""Default regularisation: it hardly changes ``A A^T`` of well-sampled images, and limits reach to about 20 pixels."""
_LARGEST_SCALE = 16
"""Largest scale factor, since the reach is measured in images of 64 low-resolution pixels or more."""
_TAIL = 1e-5
"""Largest sum of the weights beyond an operator's reach."""


class Fourier(ForwardOperator):
    """``A = D H`` with ``A+ = A^T (A A^T + l)^-1``, ``l = regularisation / s^2``.

    The largest eigenvalue of ``A A^T``, that of constant images, is ``1 / s^2``. The regularisation is therefore the
    fraction by which ``A+`` shrinks constants. As ratio of the variance of noise to that of the image, it makes ``A+``
    the best linear estimator for a white scene. Members reproduce `y` approximately: the operator is not exact.

    The inverse is that of the mirrored image. Unless the point-spread function is symmetric under both reflections, it
    differs near borders, within that function's extent.

    References
    ----------
    J. W. Goodman, "Introduction to Fourier Optics", chapter 6. A. N. Tikhonov, "Solution of incorrectly formulated
    problems and the regularization method", 1963. N. Zhao et al., "Fast single image super-resolution using a new
    analytical solution for l2-l2 problems", 2016, doi:10.1109/TIP.2016.2567075(aliases).
    """

    regularisation: float

    @abstractmethod
    def kernel(self) -> Doubles:
        """Return the point-spread function at high-resolution pixels, `odd x odd`, with sum one."""

    def observe(self, x: Tensor) -> Tensor:
        """Compute ``A x``."""
        s = self.scale
        y: Tensor = self._convolve(_floating(x)).unflatten(-1, (-1, s)).unflatten(-3, (-1, s)).mean((-3, -1))
        return y

    def invert(self, y: Tensor) -> Tensor:
        """Compute ``A^T (A A^T + l)^-1 y``, the image that minimises ``|y - A x|^2 + l |x|^2``."""
        s, y = self.scale, _floating(y)
        height, width = y.shape[-2:]
        mirrored = _mirrored(y, (0, 0), (2 * height, 2 * width))
        normal = _normal(self, height, width, y.device, y.dtype)
        u = torch.fft.irfft2(torch.fft.rfft2(mirrored) * normal, mirrored.shape[-2:])[..., :height, :width]
        return self._convolve(u.repeat_interleave(s, -2).repeat_interleave(s, -1) / s**2, transposed=True)

    def _convolve(self, x: Tensor, transposed: bool = False) -> Tensor:
        """Compute ``H x`` or ``H^T x``; only the kernel's extent is mirrored, to save time."""
        height, width = x.shape[-2:]
        margins = tuple(size // 2 for size in self.kernel().shape)
        whole = tuple(_fast(size + 2 * margin) for size, margin in zip((height, width), margins, strict=True))
        transfer = _transfer(self, whole, x.device, x.dtype)
        transfer = transfer.conj() if transposed else transfer
        convolved: Tensor = torch.fft.irfft2(torch.fft.rfft2(_mirrored(x, margins, whole)) * transfer, whole)
        return convolved[..., margins[0] : margins[0] + height, margins[1] : margins[1] + width]

    @property
    def reach(self) -> int:
        """Low-resolution pixels beyond which the weights of ``A+`` and ``A+ A`` sum to less than 1e-5."""
        return _reach(self)

    def _check(self) -> None:
        """Refuse invalid parameters."""
        check_scale(self.scale, _LARGEST_SCALE)
        check_number("regularisation", self.regularisation)
        if not 0 < self.regularisation < math.inf:
            raise InvalidForwardOperator(
                f"The regularisation must be above 0, not {self.regularisation:g}: it is the ratio of the variance of "
                f"the noise to that of the image, {REGULARISATION:g} by default."
            )
        with np.errstate(all="ignore"):
            kernel = self.kernel()
        if not np.isfinite(kernel).all() or not 0 < kernel.sum() < math.inf:
            raise InvalidForwardOperator(
                "The point-spread function is not finite: check its parameters and their units."
            )
        _reach(self)


def _floating(image: Tensor) -> Tensor:
    """Convert to a type that the FFT supports."""
    return image if image.dtype == torch.float64 else image.float()


def _fast(size: int) -> int:
    """Return the smallest number from `size` on with no prime factors but 2, 3 and 5."""
    rest = size
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return size if rest == 1 else _fast(size + 1)


def _mirrored(x: Tensor, before: tuple[int, ...], whole: tuple[int, ...]) -> Tensor:
    """Pad an image to `whole` pixels by mirroring, `before` of them before it; the edge pixel is repeated."""
    for axis, start, length in zip((-2, -1), before, whole, strict=True):
        size = x.shape[axis]
        index = torch.arange(-start, length - start, device=x.device) % (2 * size)
        x = x.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
    return x


def _wrapped(kernel: Doubles, shape: tuple[int, ...]) -> Tensor:
    """Place the kernel around the first pixel of a periodic image; tiny images wrap it repeatedly."""
    wrapped = np.zeros(shape)
    rows, columns = (np.arange(side) - side // 2 for side in kernel.shape)
    np.add.at(wrapped, (rows[:, None] % shape[0], columns[None] % shape[1]), kernel)
    return torch.from_numpy(wrapped)


@lru_cache(maxsize=64)
@isolated  # tensors cached while sampling must serve training later
def _transfer(operator: Fourier, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Compute the kernel's transfer function for periodic images."""
    transfer: Tensor = torch.fft.rfft2(_wrapped(operator.kernel(), shape))
    return transfer.to(device, torch.complex128 if dtype == torch.float64 else torch.complex64)


@lru_cache(maxsize=64)
@isolated
def _normal(operator: Fourier, height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Compute the eigenvalues of ``(A A^T + l)^-1``, real because autocorrelations are symmetric."""
    eigenvalues: Tensor = torch.fft.rfft2(_wrapped(_autocorrelation(operator), (2 * height, 2 * width))).real
    return (1 / (eigenvalues + operator.regularisation / operator.scale**2)).to(device, dtype)


@lru_cache(maxsize=64)
def _autocorrelation(operator: Fourier) -> Doubles:
    """Compute ``sum_p g(p) g(p + s i)`` of ``g = h * d`` for all low-resolution offsets `i`."""
    s, kernel = operator.scale, operator.kernel()
    sides = [2 * (side + s) for side in kernel.shape]
    transfer = np.fft.rfft2(kernel, sides) * np.fft.rfft2(np.full((s, s), 1 / s**2), sides)
    whole = np.fft.irfft2(np.abs(transfer) ** 2, sides)
    offsets = [s * np.arange(-((side + s - 2) // s), (side + s - 2) // s + 1) for side in kernel.shape]
    autocorrelation: Doubles = whole[np.ix_(*offsets)]
    return autocorrelation


@lru_cache(maxsize=64)
@isolated
def _reach(operator: Fourier) -> int:
    """Measure the reach on impulses, in images that grow until it fits."""
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
        if reach < 3 * side // 8:  # a larger value may come from mirrored borders
            return reach
        side *= 2
    raise InvalidForwardOperator(
        f"The influence of a pixel does not decay: a regularisation of {operator.regularisation:g} is too small for "
        f"this point-spread function at scale {s}. Use ten times as much, {10 * operator.regularisation:g}."
    )
