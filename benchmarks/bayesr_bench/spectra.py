"""Power spectra of images in bands of spatial frequency, compared with those of the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.scoring.diagnostics import spectrum

Array = NDArray[Any]

EDGES = np.linspace(0, 0.5, 21)
"""Edges of the frequency bands, in cycles per pixel."""
WHOLE = 0.4
"""The highest frequency, in cycles per pixel, at which deviations count."""


def rounded(images: Array) -> NDArray[np.uint8]:
    """Return images in grey levels rounded to 8 bits, as files hold them."""
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def powers(images: Array) -> Array:
    """Return the mean power in each frequency band, averaged over images and their bands.

    Parameters
    ----------
    images : ndarray
        Of shape ``n x band x y x x``.

    Returns
    -------
    ndarray
        One value for each of the ``len(EDGES) - 1`` frequency bands, in squared units of the images; NaN where an
        image is too small to have the frequency.
    """
    total: Any = 0
    for plane in images.reshape(-1, *images.shape[-2:]).astype(np.float64):
        frequency, power = spectrum(plane, np.ones(plane.shape, bool))
        where = np.minimum(np.searchsorted(EDGES, frequency, side="right") - 1, len(EDGES) - 2)
        count = np.bincount(where, minlength=len(EDGES) - 1)
        with np.errstate(invalid="ignore"):
            total = total + np.bincount(where, power, len(EDGES) - 1) / count
    found: Array = total / np.prod(images.shape[:2])
    return found


def decades(images: Array, truth: Array) -> Array:
    """Return ``log10`` of the power of images over the power of the truth, in each frequency band.

    Parameters
    ----------
    images : ndarray
        Of shape ``n x band x y x x``.
    truth : ndarray
        Of shape ``band x y x x``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.log10(powers(images) / powers(truth[None]))
    return found
