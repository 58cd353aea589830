"""Layers of napari as images that `bayesr.sample` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidArgument
from bayesr_napari.layers import Place

STACKS = {"the plane that is shown": False, "all planes, as channels": True}
"""What is sampled of a layer with more axes than ``(y, x)``, by its name in the widget."""


def image_of(layer: Any, point: tuple[float, ...], channels: bool) -> tuple[xr.DataArray, Place, dict[str, Any]]:
    """Return the image in a layer, its place, and the options of `bayesr.sample` and `layers_of` that suit it.

    Parameters
    ----------
    layer : napari.layers.Image
        With axes ``(..., y, x)``, and colours last where it is RGB. Of a pyramid, the finest level counts.
    point : tuple of float
        Where the sliders of the viewer stand, in its coordinates: of all axes that are not part of the image, the
        plane there is taken.
    channels : bool
        Whether the axis before ``(y, x)`` of a layer without colours is that of the bands.

    Returns
    -------
    image : DataArray
        ``(y, x)``, ``(y, x, band)`` or ``(band, y, x)``.
    place : Place
    options : dict
        ``colours`` or ``limits`` for `layers_of`, and ``value_range`` for `bayesr.sample`.

    Raises
    ------
    InvalidArgument
        When a layer of colours is partly transparent, or the position lies outside the layer.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    bands = channels and not layer.rgb and layer.ndim > 2
    leading = layer.ndim - (3 if bands else 2)
    position = np.rint(layer.world_to_data(point[-layer.ndim :]))[:leading].astype(int)
    if any(not 0 <= i < size for i, size in zip(position, data.shape, strict=False)):
        raise InvalidArgument(f"The sliders stand outside of {layer.name}: move them to a plane of it.")
    index = tuple(map(int, position))
    pixels = np.asarray(data[index])
    place = Place.of(layer, index, bands)
    if not layer.rgb:
        dims = ("band", "y", "x") if bands else ("y", "x")
        return xr.DataArray(pixels, dims=dims), place, {"limits": tuple(map(float, layer.contrast_limits))}
    if pixels.shape[-1] == 4:
        if (pixels[..., 3] != pixels[..., 3].max()).any():
            raise InvalidArgument(f"{layer.name} is partly transparent, and alpha is no colour: convert it to RGB.")
        pixels = pixels[..., :3]
    # napari shows floats from 0 to 1, and integers over the range of their type.
    white = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    return xr.DataArray(pixels, dims=("y", "x", "band")), place, {"colours": (0.0, white), "value_range": (0.0, white)}
