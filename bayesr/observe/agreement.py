"""Images that imply one blur, moved by as little as needed to imply another.

For an image ``x`` that explains a noisy ``y`` by a wrong width of the blur, ``y - A x`` is noise plus what the error of
the width leaves. With ``g = A (Laplacian x) / 2``, the derivative of ``A x`` with respect to the squared width, that is
``g d``, where ``d`` is the error of the squared width. So ``d`` is estimated in a window around every low-resolution
pixel, by least squares with a normal prior,

    d = sum g (y - A x) / (sum g^2 + noise^2 / spread^2)

and ``x + A+ (g d)`` implies the width of ``A``, up to first order. One number is fitted to the pixels of a window, so
noise stays what it was: ``A+ (y - A x)`` instead would make the image reproduce the noise.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bayesr.observe.base import ForwardOperator, Unconstrained

_HALF = 8
"""Half the side of a window, in low-resolution pixels, without its middle."""
_SPREAD = 0.25
"""Standard deviation of the error of the squared width, in squared low-resolution pixels."""
_DERIVATIVES = 2
"""Low-resolution pixels that the Laplacian, before and after the operator, adds to the reach."""


def reach_of(operator: ForwardOperator) -> int:
    """Return the low-resolution pixels beyond which `agree_` has no visible influence."""
    return operator.reach + (_HALF + _DERIVATIVES if _noise(operator) else 0)


def agree_(operator: ForwardOperator, x: Tensor, y: Tensor) -> Tensor:
    """Move images by the least change with which they agree with `y` under an operator, in the memory of `x`.

    Parameters
    ----------
    operator : ForwardOperator
        An unconstrained one states the noise, relative to the value range: only the width of the blur that `x` implies
        changes. Without noise, ``A x = y`` afterwards, as exactly as `operator` allows.
    x : Tensor
        Images `n x band x sh x sw`, in network units. All bands have one blur.
    y : Tensor
        The low-resolution image, `band x h x w`.
    """
    noise = _noise(operator)
    if not noise:
        return operator.project_onto_data_(x, y)
    gradient = operator.observe(_laplacian(x)) / 2
    missed = y - operator.observe(x)
    ridge = (noise / (_SPREAD * operator.scale**2)) ** 2
    error = _sums(gradient * missed) / (_sums(gradient * gradient) + ridge)
    return x.add_(operator.invert(gradient * error))


def _noise(operator: ForwardOperator) -> float:
    return operator.noise if isinstance(operator, Unconstrained) else 0.0


def _laplacian(x: Tensor) -> Tensor:
    """Return the Laplacian of an image that is mirrored at its borders."""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    beside = wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:] + wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]
    return beside.sub_(x, alpha=4)


def _sums(values: Tensor) -> Tensor:
    """Return sums over bands and windows, `n x 1 x h x w`; windows end at the borders."""
    side = 2 * _HALF + 1
    return F.avg_pool2d(values.sum(1, keepdim=True), side, 1, _HALF) * side**2
