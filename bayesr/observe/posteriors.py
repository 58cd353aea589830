"""The forward operators of an image whose point-spread function is known approximately: one for each dropout mask.

Operators with kernels of all shapes are compared by their width. It is the standard deviation of the Gaussian that
damps waves of the low-resolution Nyquist frequency, ``1 / (2 s)`` cycles per high-resolution pixel, as much as they do.
The squared widths of a Gaussian and of any other blur in succession add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bayesr.errors import InvalidForwardOperator
from bayesr.isolation import isolated
from bayesr.observe.base import ForwardOperator, Unconstrained
from bayesr.observe.fitting import fitted, of_width
from bayesr.observe.fourier import REGULARISATION

if TYPE_CHECKING:
    import xarray as xr

_SURE = 0.01
"""Share of a posterior's draws that may lie beyond either end of the range of a model."""
_TOLERANCE = 1.02
"""Factor by which kernels may lie outside that range, which is that of Gaussians."""
_SIDE = 64
"""Low-resolution pixels of the image in which a width is measured."""


@lru_cache(maxsize=256)
@isolated
def width_of(operator: ForwardOperator) -> float:
    """Return the width of an operator's kernel in high-resolution pixels; infinite where it removes the wave.

    The root of the mean square along both axes is taken.
    """
    s = operator.scale
    wave = torch.cos(math.pi * (torch.arange(s * _SIDE, dtype=torch.float64) - (s - 1) / 2) / s)
    squares = []
    for image in (wave.expand(s * _SIDE, -1), wave[:, None].expand(-1, s * _SIDE)):
        middle = operator.observe(image.contiguous()[None])[0, _SIDE // 2, _SIDE // 2]
        kept = float(middle)  # the wave is 1 there
        squares.append(-2 * (s / math.pi) ** 2 * math.log(min(kept, 1.0)) if kept > 1e-12 else math.inf)
    return math.sqrt(sum(squares) / 2)


def width_range(operator: ForwardOperator, degradation: Mapping[str, Any]) -> tuple[float, float]:
    """Return the smallest and the largest width that a model was trained with, in high-resolution pixels.

    Parameters
    ----------
    operator : ForwardOperator
        That of the model, which records the largest blur before it, if any.
    degradation : mapping
        The model's card on the range ``blur`` and its share, if it has it.
    """
    own = width_of(operator)
    if not isinstance(operator, Unconstrained):
        return own, own
    least = float(degradation.get("blur", (0.0, 0.0))[0])
    if dict(degradation.get("shares") or {}).get("blur", 1) != 1:
        least = 0.0  # some images were not blurred
    return math.hypot(own, least), math.hypot(own, operator.blur)


def require_posterior(posterior: xr.Dataset) -> None:
    """Check that a Dataset is the result of `fit` or `fit_beads`.

    Raises
    ------
    InvalidForwardOperator
        When it is not.
    """
    psf, scale = posterior.attrs.get("psf"), posterior.attrs.get("scale")
    right = psf in ("gaussian", "airy", "measured") and isinstance(scale, Integral) and int(scale) >= 1
    if right and psf == "measured":
        right = "kernel" in posterior and posterior["kernel"].dtype.kind in "fiu" and posterior["kernel"].ndim == 2
    elif right:
        right = _drawn_along("psf_width", posterior) and bool((posterior["psf_width"] > 0).all())
    if right and "noise" in posterior:
        right = _drawn_along("noise", posterior) and bool((posterior["noise"] >= 0).all())
    if not right:
        raise InvalidForwardOperator(
            "The forward operator is a Dataset that is no posterior of a point-spread function: give the unchanged "
            "result of bayesr.observe.fit or bayesr.observe.fit_beads, or an operator."
        )


def _drawn_along(name: str, posterior: xr.Dataset) -> bool:
    """Whether a variable has finite values along the draws, at least one."""
    if name not in posterior:
        return False
    found = posterior[name]
    numbers = found.dims == ("draw",) and found.dtype.kind in "fiu" and found.size > 0
    return numbers and bool(np.isfinite(found).all())


def widths(given: xr.Dataset | Sequence[ForwardOperator]) -> tuple[float, float]:
    """Return the smallest and the largest width of operators, or of a posterior but for its tails."""
    if not isinstance(given, Sequence):
        if given.attrs["psf"] == "measured":
            return (width := width_of(fitted(given)), width)
        ends = np.quantile(given["psf_width"], [_SURE, 1 - _SURE])
        given = [of_width(given.attrs["psf"], int(given.attrs["scale"]), float(end), REGULARISATION) for end in ends]
    found = [width_of(operator) for operator in given]
    return min(found), max(found)


def inside(range_of_model: tuple[float, float], range_given: tuple[float, float]) -> bool:
    """Whether a range of widths lies in that of a model, up to the accuracy with which kernels can be compared."""
    (least, most), (narrow, wide) = range_of_model, range_given
    return narrow * _TOLERANCE >= least and wide <= most * _TOLERANCE


def drawn(posterior: xr.Dataset, index: int, noise: float) -> ForwardOperator:
    """Return the operator of one draw of a posterior, which states the noise.

    Parameters
    ----------
    posterior : Dataset
        The result of `fit` or `fit_beads`.
    index : int
        The draw. A measured function, of which there is a mean and no draws, is the same for all.
    noise : float
        Standard deviation of the noise, relative to the value range of the image.
    """
    if posterior.attrs["psf"] == "measured":
        return with_noise(fitted(posterior), noise)
    width = float(posterior["psf_width"][index])
    found = of_width(posterior.attrs["psf"], int(posterior.attrs["scale"]), width, REGULARISATION)
    return with_noise(found, noise)


def with_noise(operator: ForwardOperator, noise: float) -> ForwardOperator:
    """Return an operator that states the noise, if there is any (see `bayesr.observe.agreement`)."""
    return operator.unconstrained(noise=noise) if noise else operator


def number_of_draws(posterior: xr.Dataset) -> int:
    """Return the number of kernels that a posterior has."""
    return 1 if posterior.attrs["psf"] == "measured" else int(posterior.sizes["draw"])


def noise_of(posterior: xr.Dataset, index: int, operator: ForwardOperator, width: float) -> float:
    """Return the standard deviation of the noise relative to the width of a value range.

    It is that of the draw, in the units of the image; of a posterior without it that of `recorded_noise`.
    """
    return float(posterior["noise"][index]) / width if "noise" in posterior else recorded_noise(operator)


def recorded_noise(operator: ForwardOperator) -> float:
    """Return the largest noise that the operator of a model records, in the middle of the value range."""
    if not isinstance(operator, Unconstrained):
        return 0.0
    return math.sqrt(operator.noise**2 + operator.photon / 2)
