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
from bayesr.training.held_out import HeldOut, numbered

_LEAST = 4
"""Side of the smallest reduced image, in pixels."""
ASSUMPTION = "assuming that errors are alike at both scales (Wald's protocol)"


def reduced_pairs(
    model: Model,
    images: Iterable[Any],
    seed: int = 0,
    dims: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
) -> list[HeldOut]:
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
    list of HeldOut
        The reduced images, and the images as their truth, cropped to a multiple of the scale factor.

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
    operator, degradation = _of(model)
    random = torch.Generator().manual_seed(seed)
    pairs = []
    for i, img in enumerate(images):
        with numbered(f"Image {i}"):
            image = read(img, dims=dims, value_range=value_range, per_band=model.bands == 1)
            _check(image, model)
            pairs.append(_reduced(image, operator, degradation, random))
    return pairs


def _of(model: Model) -> tuple[ForwardOperator, Degradation]:
    """Return the forward operator itself, and the degradation that the model was trained for."""
    operator = getattr(model.forward_operator, "of", model.forward_operator)
    ranges = model.card.get("degradation") or {}
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in ranges.items()}
    return operator, Degradation(**plain)


def _check(image: Image, model: Model) -> None:
    bands, height, width = image.data.shape
    least = _LEAST * model.scale
    if min(height, width) < least:
        raise InvalidArgument(
            f"{height} x {width} pixels are too few to reduce by {model.scale}: give {least} or more."
        )
    if image.nodata is not None:
        raise InvalidArgument("pixels are missing, and cannot be reduced: crop the image to where it has data.")
    if model.bands not in (1, bands):
        raise BandMismatch(f"{model.name} takes {model.bands} bands at once, the image has {bands}.")


def _reduced(image: Image, operator: ForwardOperator, degradation: Degradation, random: torch.Generator) -> HeldOut:
    """Reduce an image, and round it to its own type."""
    _, height, width = (size // operator.scale * operator.scale for size in image.data.shape)
    data = image.data[:, :height, :width].load()
    pixels, _ = image.window(0, height, 0, width)
    kind = data.dtype
    how = degradation if kind == np.uint8 else replace(degradation, rounded=False, bits=(8, 8), jpeg=(0.0, 0.0))
    low, _ = how.observe(operator, torch.from_numpy(pixels)[None], random)
    values = image.to_units(low[0].numpy())
    values = values.round().astype(kind) if image.bounds is not None else values.astype(kind, copy=False)
    array = xr.DataArray(values, dims=data.dims)
    same: dict[str, Any] = {"dims": tuple(map(str, data.dims)), "value_range": image.value_range}
    plain = xr.DataArray(data.to_numpy(), dims=data.dims)
    return HeldOut(read(array, **same), read(plain, **same))
