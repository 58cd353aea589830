"""Wald's protocol: pairs of images and their truth from images without a truth.

The images are degraded once more, as the model assumes that instruments degrade scenes. The model then restores the
images themselves, which are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from bayesr.errors import BandMismatch, InvalidArgument
from bayesr.images import Image, read
from bayesr.model.model import Model
from bayesr.observe import ForwardOperator
from bayesr.training.degradation import Degradation
from bayesr.training.held_out import HeldOutPair, errors_about

_SMALLEST_SIDE = 4
"""Shortest side of a degraded image, in pixels."""

ASSUMPTION = "assuming that errors are alike at both scales (Wald's protocol)"


def wald_pairs(
    model: Model,
    images: Iterable[Any],
    seed: int = 0,
    dims: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
) -> list[HeldOutPair]:
    """Degrade images once more by the model's forward operator and the degradation of its training.

    Parameters
    ----------
    model : Model
    images : iterable
        Images that `bayesr.sample` takes: those to be trusted, at the resolution at which they were taken.
    seed : int
        Seed of blur and noise, if the model is trained for them.
    dims, value_range
        As in `bayesr.sample`, for every image.

    Returns
    -------
    list of HeldOutPair
        The degraded images, and the images as their truth, cropped to a multiple of the scale factor.

    Raises
    ------
    InvalidArgument, BandMismatch
        If an image is too small, has missing pixels or other bands. The message gives its number, counted from 0.
    BayesrError
        One of its subclasses, if an input cannot be read as an image.

    References
    ----------
    L. Wald, T. Ranchin, M. Mangolini, "Fusion of satellite images of different spatial resolutions: assessing the
    quality of resulting images", 1997, Photogrammetric Engineering & Remote Sensing 63(6), 691-699.
    """
    operator, degradation = _degradation_of(model)
    random = torch.Generator().manual_seed(seed)
    pairs = []
    for i, img in enumerate(images):
        with errors_about(f"Image {i}"):
            image = read(img, dims=dims, value_range=value_range, per_band=model.bands == 1)
            _check_image(image, model)
            pairs.append(_degrade(image, operator, degradation, random))
    return pairs


def _degradation_of(model: Model) -> tuple[ForwardOperator, Degradation]:
    """Return the forward operator without its noise, and the degradation that the model was trained for."""
    operator = getattr(model.forward_operator, "of", model.forward_operator)
    ranges = model.card.get("degradation") or {}
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in ranges.items()
    }
    return operator, Degradation(**settings)


def _check_image(image: Image, model: Model) -> None:
    bands, height, width = image.data.shape
    shortest = _SMALLEST_SIDE * model.scale
    if min(height, width) < shortest:
        raise InvalidArgument(
            f"The image has {height} x {width} pixels, too few to be downsampled by {model.scale}: give an image of at "
            f"least {shortest} x {shortest}."
        )
    if image.nodata is not None:
        raise InvalidArgument("The image has missing pixels: crop it to where it has data.")
    if model.bands not in (1, bands):
        raise BandMismatch(f"{model.name} takes {model.bands} bands at once, the image has {bands}.")


def _degrade(image: Image, operator: ForwardOperator, degradation: Degradation, random: torch.Generator) -> HeldOutPair:
    """Degrade an image, and round the result to the image's own type."""
    _, height, width = (size // operator.scale * operator.scale for size in image.data.shape)
    data = image.data[:, :height, :width].load()
    pixels, _ = image.window(0, height, 0, width)
    if data.dtype != np.uint8:
        degradation = replace(degradation, rounded=False, bits=(8, 8), jpeg=(0.0, 0.0))
    low, _ = degradation.observe(operator, torch.from_numpy(pixels)[None], random)
    values = image.to_units(low[0].numpy())
    if image.bounds is not None:
        values = values.round()
    dims = tuple(map(str, data.dims))
    low_image, high_image = (
        read(xr.DataArray(array, dims=dims), dims=dims, value_range=image.value_range)
        for array in (values.astype(data.dtype, copy=False), data.to_numpy())
    )
    return HeldOutPair(low_image, high_image)
