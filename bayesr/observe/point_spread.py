"""Forward operators with the point-spread function of a circular aperture, or a measured one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidForwardOperator
from bayesr.observe.aperture import RADIUS, TAPER, tapered_airy
from bayesr.observe.base import check_number
from bayesr.observe.fourier import REGULARISATION, Fourier
from bayesr.observe.registry import register

Doubles = NDArray[np.float64]

_WIDEST = 96
"""Largest radius of an Airy function in high-resolution pixels; beyond it, units are probably mixed up."""
_LARGEST = 65
"""Largest side of a measured point-spread function in pixels; a model file stores it as plain numbers."""


@register("airy")
@dataclass(frozen=True)
class Airy(Fourier):
    """Incoherent imaging through a circular aperture: a diffraction-limited microscope or telescope.

    The transfer function is ``T(v) = 2/pi (arccos v - v sqrt(1 - v^2))`` with ``v = f wavelength / (2 NA)``. With
    `sharp_na` it is the quotient of those of the two apertures. To allow tiles, the infinite Airy function is tapered
    to zero by ``cos^2`` between 2 and 4 Airy radii (``0.61 wavelength / NA``), which contain 91% and 96% of its light.
    The taper changes the transfer function by at most 0.06, at the lowest frequencies.

    Parameters
    ----------
    scale, na, wavelength, pixel, sharp_na, regularisation
        See `bayesr.observe.airy`.

    References
    ----------
    J. W. Goodman, "Introduction to Fourier Optics", section 6.3. H. H. Hopkins, "The frequency response of a defocused
    optical system", 1955, doi:10.1098/rspa.1955.0158.
    """

    scale: int
    na: float
    wavelength: float
    pixel: float
    sharp_na: float | None = None
    regularisation: float = REGULARISATION

    def __post_init__(self) -> None:
        for name in ("na", "wavelength", "pixel"):
            check_number(name, getattr(self, name))
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidForwardOperator(
                    f"{name} must be above 0, not {getattr(self, name)!r}. Give the numerical aperture, and give the "
                    "wavelength and the side of a high-resolution pixel in the same unit."
                )
        if self.sharp_na is not None:
            check_number("sharp_na", self.sharp_na)
        if self.sharp_na is not None and not self.na < self.sharp_na < math.inf:
            raise InvalidForwardOperator(
                f"sharp_na={self.sharp_na:g} must exceed na={self.na:g}: it is the aperture of the sharper image. Swap "
                "the two, or omit sharp_na if the high-resolution image is the scene itself."
            )
        radius = TAPER[1] * self.radius if self.na * self.pixel else math.inf
        if radius > _WIDEST:
            raise InvalidForwardOperator(
                f"The point-spread function extends {radius:.0f} high-resolution pixels, more than {_WIDEST}: check "
                f"that the wavelength ({self.wavelength:g}) and the pixel ({self.pixel:g}) are in the same unit."
            )
        self._check()

    @property
    def radius(self) -> float:
        """Airy radius, ``0.61 wavelength / NA``, in high-resolution pixels."""
        return RADIUS * self.wavelength / (self.na * self.pixel)

    def kernel(self) -> Doubles:
        """Return the tapered point-spread function, `odd x odd`, with sum one."""
        return tapered_airy(self.na, self.wavelength, self.pixel, self.sharp_na)

    def describe(self) -> dict[str, Any]:
        """Return plain values for a model file."""
        return {"kernel": "airy"} | super().describe()


@register("measured")
@dataclass(frozen=True)
class Measured(Fourier):
    """Blur with a measured point-spread function, for example from beads or slanted edges.

    Parameters
    ----------
    psf : tuple of tuples of float
        Rows of values, as in `bayesr.observe.measured`.
    scale, regularisation
        See `bayesr.observe.measured`.
    """

    psf: tuple[tuple[float, ...], ...]
    scale: int
    regularisation: float = REGULARISATION

    def __post_init__(self) -> None:
        sides = len(self.psf), len(self.psf[0]) if self.psf else 0
        if any(len(row) != sides[1] for row in self.psf) or not all(side % 2 for side in sides):
            raise InvalidForwardOperator(
                f"A measured point-spread function must have odd sides, so that its centre is a pixel, not "
                f"{sides[0]}x{sides[1]}: crop a row or a column."
            )
        if max(sides) > _LARGEST:
            raise InvalidForwardOperator(
                f"A measured point-spread function of {sides[0]}x{sides[1]} pixels is too large for a model file: crop "
                f"it to {_LARGEST}x{_LARGEST} about its centre."
            )
        values = np.array(self.psf)
        if values.ndim != 2 or values.dtype.kind not in "fiu" or not np.isfinite(values).all() or not values.sum() > 0:
            raise InvalidForwardOperator(
                "A measured point-spread function must have finite values with a positive sum: subtract no more than "
                "its background, and fill missing values."
            )
        self._check()

    def kernel(self) -> Doubles:
        """Return the point-spread function, normalised to sum to one."""
        return _normalised(self.psf)

    def describe(self) -> dict[str, Any]:
        """Return plain values for a model file."""
        return {"kernel": "measured"} | super().describe() | {"psf": [list(row) for row in self.psf]}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Make the operator from `describe`'s values."""
        values = {name: value for name, value in plain.items() if name != "kernel"}
        return cls(**values | {"psf": tuple(map(tuple, values["psf"]))})  # JSON turns tuples into lists


@lru_cache(maxsize=64)
def _normalised(psf: tuple[tuple[float, ...], ...]) -> Doubles:
    values = np.array(psf)
    kernel: Doubles = values / values.sum()
    return kernel
