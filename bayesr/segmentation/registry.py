"""The segmenters that bayesr knows by name.

To plug in a segmenter, add a function to `CLASSICAL`, which `bayesr.segment` then knows by name, or a network to
`NETWORKS`, which can then be trained, saved and loaded. Bundled trained networks are files in
`bayesr.model.catalogue.SEGMENTERS`. Other distributions add theirs by entry points (`bayesr.plugins`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesr import plugins
from bayesr.errors import InvalidModel
from bayesr.isolation import isolated
from bayesr.model.catalogue import SEGMENTERS
from bayesr.segmentation.classical import otsu, watershed

if TYPE_CHECKING:  # it imports torch, which lists of names do without
    from bayesr.segmentation.protocol import SegmentationNetwork

CLASSICAL: dict[str, Callable[[NDArray[np.float32]], Any]] = {"otsu": otsu, "watershed": watershed}
"""Methods without training by name: functions of an image `band x y x x`."""

NETWORKS = {
    "unet": "bayesr.networks.segmenters.mobile_unet:MobileUNet",
    "probabilistic-unet": "bayesr.networks.segmenters.probabilistic_unet:ProbabilisticUNet",
    "annotators": "bayesr.networks.segmenters.annotators:AnnotatorEnsemble",
}
"""Classes of networks by the kind in segmenter files, imported when needed."""


def bundled() -> list[str]:
    """Return the names of the bundled trained segmenters."""
    return [path.stem for path in sorted(SEGMENTERS.glob("*.safetensors"))]


def named(name: str) -> Any | None:
    """Return the function, or the path of the file, that a name stands for; None for bundled and unknown names.

    Raises
    ------
    PluginFailed
        When the distribution that adds the name cannot be loaded.
    """
    if name in CLASSICAL:
        return CLASSICAL[name]
    return None if name in bundled() else plugins.load(plugins.SEGMENTERS, name)


@isolated
def build(architecture: Mapping[str, Any]) -> SegmentationNetwork:
    """Build the network that an `architecture` describes, with random weights.

    Raises
    ------
    InvalidModel
        If the kind is not one of `NETWORKS`.
    """
    kind = architecture["kind"]
    if kind not in NETWORKS:
        raise InvalidModel(f"A segmentation network of kind {kind!r} is not known here: {', '.join(NETWORKS)} are.")
    module, _, name = NETWORKS[kind].partition(":")
    options = {key: value for key, value in architecture.items() if key != "kind"}
    network: SegmentationNetwork = getattr(import_module(module), name)(**options)
    return network
