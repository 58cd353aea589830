"""Products as layers of napari, that lie where the image lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from napari.layers import Image, Layer
from napari.utils.transforms import CompositeAffine

from bayesr.product import SAMPLES

LayerData = tuple[Any, dict[str, Any], str]
"""Data, arguments and type of a layer, as readers return them."""

METADATA = "bayesr"
"""The key of layers' metadata with what they show, a `Shown`."""
_BRIGHTEST = 99.5
"""Percentile of the spread that has the brightest colour: few large values would darken all others."""


@dataclass(frozen=True)
class Place:
    """Where the low-resolution image lies in the viewer.

    Attributes
    ----------
    transform, affine : transforms of napari
        From the pixels of the image to the world: first scale, shear, rotation and translation, then an affine.
    units, axis_labels : tuple
        Of the axes of the image.
    index : tuple of int
        Position of the plane along the axes before ``(band, y, x)`` or ``(y, x)``.
    bands : bool
        Whether the axis before ``(y, x)`` is that of the bands.
    """

    transform: Any
    affine: Any
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]
    index: tuple[int, ...] = ()
    bands: bool = False

    @classmethod
    def of(cls, layer: Any, index: tuple[int, ...] = (), bands: bool = False) -> Place:
        """Return the place of a layer."""
        transform = CompositeAffine(
            scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
        )
        return cls(transform, layer.affine, layer.units, layer.axis_labels, index, bands)

    @classmethod
    def plain(cls, bands: bool) -> Place:
        """Return the place of an image that napari opens without a scale."""
        labels = ("band", "y", "x") if bands else ("y", "x")
        ndim = len(labels)
        plain = CompositeAffine(scale=np.ones(ndim), ndim=ndim)
        return cls(plain, plain, ("pixel",) * ndim, labels, (), bands)

    def options(self, scale: int, members: bool = False) -> dict[str, Any]:
        """Return the arguments of a layer with `scale` times as many pixels, with an axis of members in front or not.

        The corners of both images coincide: the centre of the first pixel moves by half a pixel of either size.
        """
        ndim = len(self.transform.scale)
        corner = np.zeros(ndim)
        corner[: len(self.index)] = self.index
        corner[-2:] = (1 / scale - 1) / 2
        finer = self.transform.scale.copy()
        finer[-2:] /= scale
        placed = CompositeAffine(
            scale=finer,
            translate=self.transform(corner),
            rotate=self.transform.rotate,
            shear=self.transform.shear,
            ndim=ndim,
        )
        affine, units, labels = self.affine, self.units, self.axis_labels
        if members:
            placed, affine = placed.expand_dims([0]), affine.expand_dims([0])
            units, labels = ("pixel", *units), ("realization", *labels)
        return {
            "scale": placed.scale, "translate": placed.translate, "rotate": placed.rotate, "shear": placed.shear,
            "affine": affine, "units": units, "axis_labels": labels,
        }  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What a layer shows: a variable of a product, whose image lies in a place."""

    ds: xr.Dataset
    place: Place
    variable: str


def layers_of(
    ds: xr.Dataset,
    place: Place,
    name: str,
    *,
    colours: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> list[LayerData]:
    """Return the layers of a product, the topmost last: interval width, std, mean, and the members where it has them.

    Parameters
    ----------
    ds : Dataset
        A product of `bayesr.sample`, over ``(band, y, x)``.
    place : Place
        Where its image lies.
    name : str
        Name of the image, with which the names of layers begin.
    colours : (float, float), optional
        The values that are shown as black and white, for a product of red, green and blue: its mean and its members
        then have colours, and its spread is averaged over them.
    limits : (float, float), optional
        The same for other products, by default its value range.
    """
    scale = int(ds.attrs["scale"])
    image: dict[str, Any] = {"contrast_limits": limits or tuple(map(float, ds.attrs["value_range"]))}
    if colours is not None:
        image = {"rgb": True}
    found = []

    def add(title: str, values: xr.DataArray, options: dict[str, Any]) -> None:
        spread = "colormap" in options
        data = _shaped(values, place, None if spread else colours)
        arguments = place.options(scale, "realization" in values.dims) | options
        metadata = {METADATA: Shown(ds, place, title)}
        found.append((data, arguments | {"name": f"{name}: {title}", "metadata": metadata}, "image"))

    for title, values in (("interval width", _width(ds)), ("std", ds.get("std"))):
        if values is not None:
            values = values if colours is None else values.mean("band", keepdims=True)
            brightest = float(np.nanpercentile(values, _BRIGHTEST)) if bool(values.notnull().any()) else 0.0
            limits_of_spread = (0.0, brightest or 1.0)
            add(title, values, {"colormap": "viridis", "contrast_limits": limits_of_spread, "visible": False})
    add("mean", ds["mean"], image)
    if SAMPLES in ds:
        add("members", ds[SAMPLES], image)
    return found


def labels_of(segmentation: xr.Dataset, shown: Shown, name: str) -> LayerData:
    """Return the layer of the objects of `bayesr.segment`, whose table has one row for each object.

    Parameters
    ----------
    segmentation : Dataset
        With ``labels``, and with ``existence`` and ``area`` by object.
    shown : Shown
        The product that was segmented.
    name : str
    """
    options = shown.place.options(int(shown.ds.attrs["scale"]))
    known = ("existence", "area", "area_lower", "area_upper")
    columns = {"index": segmentation["object"].to_numpy()}
    columns |= {key: segmentation[key].to_numpy() for key in known if key in segmentation}
    data = segmentation["labels"].to_numpy()
    return (
        data[(None,) * (len(shown.place.axis_labels) - 2)],
        options | {"name": name, "features": columns, "opacity": 0.5},
        "labels",
    )


def add_layers(viewer: Any, layers: list[LayerData]) -> list[Any]:
    """Add layers to a viewer, and show the first member."""
    added = [viewer.add_layer(Layer.create(*one)) for one in layers]
    viewer.dims.set_current_step(range(viewer.dims.ndim - 2), _shown_planes(viewer))
    return added


def images_in(viewer: Any) -> list[Any]:
    """Return the layers of a viewer that are images, and show no product."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and METADATA not in layer.metadata]


def products_in(viewer: Any) -> list[Any]:
    """Return the layers of a viewer that show the mean of a product, and stand for it."""
    return [
        layer for layer in viewer.layers if METADATA in layer.metadata and layer.metadata[METADATA].variable == "mean"
    ]


def _shown_planes(viewer: Any) -> list[int]:
    steps = list(viewer.dims.current_step[: viewer.dims.ndim - 2])
    if steps and viewer.dims.axis_labels[0] == "realization":
        steps[0] = 0
    return steps


def _width(ds: xr.Dataset) -> xr.DataArray | None:
    return ds["upper"] - ds["lower"] if {"lower", "upper"} <= set(ds.data_vars) else None


def _shaped(values: xr.DataArray, place: Place, colours: tuple[float, float] | None) -> Any:
    """Return values in the order of the viewer's axes, with colours last, lazy where they are."""
    leading = (None,) * len(place.index)
    members = "realization" in values.dims
    if colours is not None:
        pixels = _coloured(values, *colours)
    elif place.bands:
        pixels = values.data
    else:
        pixels = values.isel(band=0).data
    return pixels[(slice(None), *leading)] if members else pixels[leading]


def _coloured(values: xr.DataArray, low: float, high: float) -> Any:
    """Return values as 8-bit colours, with an alpha channel where pixels are missing."""
    scaled = ((values - low) / (high - low) * 255).clip(0, 255).round()
    pixels = scaled.fillna(0).astype(np.uint8)
    first = values.isel(realization=0) if "realization" in values.dims else values
    if bool(first.isnull().any()):
        alpha = values.notnull().any("band").astype(np.uint8) * np.uint8(255)
        pixels = xr.concat([pixels.drop_vars("band", errors="ignore"), alpha.expand_dims("band")], "band")
    lead = ("realization",) if "realization" in values.dims else ()
    return pixels.transpose(*lead, "y", "x", "band").data
