"""Catalogue of the segmenters that have names: of bayesr, and of other distributions.

Those of bayesr are described without loading weights or torch.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesr import plugins
from bayesr.errors import BayesrError, InvalidModel, PluginNotUsed, warn
from bayesr.model import catalogue
from bayesr.model.architecture import check_architecture
from bayesr.model.header import read_header
from bayesr.model.sections import segmenter_values
from bayesr.segmentation.registry import CLASSICAL

_OURS = "bayesr"


@dataclass(frozen=True)
class SegmenterInfo:
    """What is known of a segmenter that `bayesr.segment` takes by name.

    Attributes
    ----------
    name : str
        Its name.
    source : str
        The distribution that it comes from: ``"bayesr"`` or another one.
    kind : {"network", "function"}
        A trained network, or a function of an image. Torch modules count as functions: they have no card.
    inputs : tuple of str
        ``("member",)`` for images, or the variables of a product that it takes as bands.
    bands : int or None
        Number of bands of each input of a network. None for a function, which does not state it.
    description : str
        The first line of a function's docstring, or the data that a network was trained on.
    card : mapping
        The card of a network: data, steps, number of parameters, scores on held-out images.
    """

    name: str
    source: str
    kind: str
    inputs: tuple[str, ...] = ("member",)
    bands: int | None = None
    description: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)


def segmenters() -> list[SegmenterInfo]:
    """List the segmenters that `bayesr.segment` takes by name.

    Those of other distributions (`bayesr.plugins`) are imported. What bayesr has is never replaced, so an entry point
    with the name of one of its segmenters is not listed.

    Returns
    -------
    list of SegmenterInfo
        First the trained ones of bayesr and those without training, then those of other distributions; each by name.

    Warns
    -----
    PluginNotUsed
        For every entry point that cannot be loaded, or is no segmenter. It is left out.
    """
    listed = {name: _trained(name, _OURS, header) for name, header in catalogue.segmenters().items()}
    listed |= {name: _function(name, _OURS, function) for name, function in sorted(CLASSICAL.items())}
    for point in sorted(plugins.found(plugins.SEGMENTERS), key=lambda point: point.name):
        if point.name in listed:
            continue
        try:
            listed[point.name] = _installed(point)
        except BayesrError as error:
            warn(str(error), PluginNotUsed)
    return [*listed.values()]


def _installed(point: plugins.Point) -> SegmenterInfo:
    """Describe the segmenter of an entry point.

    Raises
    ------
    PluginFailed
        When it cannot be imported, or is neither a function nor the file of a segmenter.
    """
    given = point.load()
    if isinstance(given, str | os.PathLike):
        try:
            return _trained(point.name, point.owner, read_header(Path(given)))
        except InvalidModel as error:
            raise point.failure(f"is no path of a segmenter file ({str(error).rstrip('.')})") from error
    if not callable(given):
        raise point.failure("is neither a function nor the path of a segmenter file")
    from bayesr.segmentation.segmenter import Segmenter  # imports torch

    if isinstance(given, Segmenter):
        return _network(point.name, point.owner, given.inputs, given.bands, given.card)
    return _function(point.name, point.owner, given)


def _trained(name: str, source: str, header: Mapping[str, Any]) -> SegmenterInfo:
    if "segmenter" not in header:
        raise InvalidModel("it is a model for sampling")
    values, bands = segmenter_values(header), check_architecture(header["segmenter"]).get("bands")
    if type(bands) is not int or not values["inputs"]:
        raise InvalidModel("it states no bands, or no inputs")
    return _network(name, source, values["inputs"], bands, values["card"])


def _network(name: str, source: str, inputs: tuple[str, ...], bands: int, card: Mapping[str, Any]) -> SegmenterInfo:
    data = card.get("data") or ""
    described = data if isinstance(data, str) else ", ".join(map(str, data))
    return SegmenterInfo(name, source, "network", inputs, bands // len(inputs), described, dict(card))


def _function(name: str, source: str, function: Any) -> SegmenterInfo:
    text = inspect.getdoc(function) or ""
    return SegmenterInfo(name, source, "function", description=text.partition("\n")[0])
