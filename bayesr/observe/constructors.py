"""Functions that make each forward operator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from bayesr.errors import InvalidObservation
from bayesr.observe.fourier import REGULARISATION
from bayesr.observe.point_spread import Airy, Measured
from bayesr.observe.separable import Separable


def bicubic(scale: int = 4) -> Separable:
    """The antialiased bicubic operator of the super-resolution literature."""
    return Separable("bicubic", scale)


def gaussian(scale: int = 4, *, sigma: float) -> Separable:
    """Gaussian blur of standard deviation `sigma` (high-resolution pixels), then decimation."""
    return Separable("gaussian", scale, sigma)


def box(scale: int = 4) -> Separable:
    """The mean of `scale x scale` pixels: an ideal square detector."""
    return Separable("box", scale)


def airy(
    scale: int = 4,
    *,
    na: float,
    wavelength: float,
    pixel: float,
    sharp_na: float | None = None,
    regularisation: float = REGULARISATION,
) -> Airy:
    """Incoherent imaging through a circular aperture, then the mean over `scale x scale` pixels.

    Parameters
    ----------
    scale : int
        High-resolution pixels per low-resolution pixel along each axis; 1 keeps the pixels and blurs alone.
    na : float
        Numerical aperture.
    wavelength, pixel : float
        Wavelength of the light, and side of a high-resolution pixel in the object, in the same unit. Pixels
        above ``wavelength / (4 na)`` undersample what the aperture passes; the part of the transfer function
        that they can hold is used.
    sharp_na : float, optional
        Numerical aperture that the high-resolution image was itself seen at, above `na`: the operator then
        leads from the one to the other, NA 0.7 to NA 0.3 say. By default the high-resolution image is the scene.
    regularisation : float
        Variance of the noise over that of the image; see `bayesr.observe.Airy`.

    Raises
    ------
    InvalidObservation
        For values that are no aperture, wavelength or pixel, and for a point-spread function of too many pixels.
    """
    return Airy(scale, float(na), float(wavelength), float(pixel), sharp_na and float(sharp_na), float(regularisation))


def measured(psf: ArrayLike, scale: int = 4, *, regularisation: float = REGULARISATION) -> Measured:
    """Blur with a measured point-spread function, then the mean over `scale x scale` pixels.

    Parameters
    ----------
    psf : array
        The point-spread function at high-resolution pixels, `rows x columns`, both odd and at most 65, its origin
        in the central pixel. It is normalised to sum to one.
    scale : int
        High-resolution pixels per low-resolution pixel along each axis.
    regularisation : float
        Variance of the noise over that of the image; see `bayesr.observe.Measured`.

    Raises
    ------
    InvalidObservation
        For an array that is no such function.
    """
    psf = psf.detach().cpu() if isinstance(psf, torch.Tensor) else psf
    try:
        rows = np.asarray(psf, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidObservation(f"A measured point-spread function is an array of numbers: {error}.") from error
    if rows.ndim != 2:
        raise InvalidObservation(
            f"A measured point-spread function is an array of two dimensions, not of shape {rows.shape}."
        )
    return Measured(tuple(map(tuple, rows.tolist())), scale, float(regularisation))
