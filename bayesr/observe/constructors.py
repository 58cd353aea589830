"""Functions that make each forward operator."""

from __future__ import annotations

import reprlib

import numpy as np
import torch
from numpy.typing import ArrayLike

from bayesr.errors import InvalidForwardOperator
from bayesr.observe.fourier import REGULARISATION
from bayesr.observe.point_spread import Airy, Measured
from bayesr.observe.separable import Separable


def bicubic(scale: int = 4, *, regularisation: float = 0.0) -> Separable:
    """Return the antialiased bicubic operator of the super-resolution literature.

    See `bayesr.observe.Separable` for the regularisation.
    """
    return Separable("bicubic", scale, regularisation=regularisation)


def gaussian(scale: int = 4, *, sigma: float, regularisation: float = 0.0) -> Separable:
    """Return Gaussian blur of standard deviation `sigma` (high-resolution pixels), followed by decimation.

    See `bayesr.observe.Separable` for the regularisation.
    """
    return Separable("gaussian", scale, sigma, regularisation)


def box(scale: int = 4, *, regularisation: float = 0.0) -> Separable:
    """Return the mean over `scale x scale` pixels, as of an ideal square detector.

    See `bayesr.observe.Separable` for the regularisation.
    """
    return Separable("box", scale, regularisation=regularisation)


def airy(
    scale: int = 4,
    *,
    na: float,
    wavelength: float,
    pixel: float,
    sharp_na: float | None = None,
    regularisation: float = REGULARISATION,
) -> Airy:
    """Return incoherent imaging through a circular aperture, followed by the mean over `scale x scale` pixels.

    Parameters
    ----------
    scale : int
        Scale factor; 1 only blurs.
    na : float
        Numerical aperture.
    wavelength, pixel : float
        Wavelength, and side of a high-resolution pixel in the object, in the same unit. Pixels above
        ``wavelength / (4 na)`` undersample the aperture's image; the transfer function below their Nyquist frequency is
        used.
    sharp_na : float, optional
        Numerical aperture, above `na`, at which the high-resolution image was itself recorded. The operator then leads
        from one aperture to the other, such as from NA 0.7 to 0.3. By default that image is the scene.
    regularisation : float
        Ratio of the variance of noise to that of the image; see `bayesr.observe.Airy`.

    Raises
    ------
    InvalidForwardOperator
        For an invalid aperture, wavelength or pixel, and for a point-spread function of too many pixels.
    """
    given = {"na": na, "wavelength": wavelength, "pixel": pixel, "sharp_na": sharp_na, "regularisation": regularisation}
    numbers = {name: None if value is None else _number(name, value) for name, value in given.items()}
    return Airy(scale, *numbers.values())  # type: ignore[arg-type]


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InvalidForwardOperator(f"{name} must be a number, not {reprlib.repr(value)}.") from None


def measured(psf: ArrayLike, scale: int = 4, *, regularisation: float = REGULARISATION) -> Measured:
    """Return blur with a measured point-spread function, followed by the mean over `scale x scale` pixels.

    Parameters
    ----------
    psf : array
        Values at high-resolution pixels, `rows x columns`, both odd and at most 65; the origin is the central pixel.
        They are normalised to sum to one.
    scale : int
        Scale factor.
    regularisation : float
        Ratio of the variance of noise to that of the image; see `bayesr.observe.Measured`.

    Raises
    ------
    InvalidForwardOperator
        For an array that is not a point-spread function.
    """
    psf = psf.detach().cpu() if isinstance(psf, torch.Tensor) else psf
    try:
        rows = np.asarray(psf, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidForwardOperator(
            f"A measured point-spread function must be an array of numbers: {error}."
        ) from error
    if rows.ndim != 2:
        raise InvalidForwardOperator(
            f"A measured point-spread function must be an array of two dimensions, not of shape {rows.shape}."
        )
    return Measured(tuple(map(tuple, rows.tolist())), scale, float(regularisation))
