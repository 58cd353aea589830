"""The segmenter: a network with all that it needs to segment an image, stored as one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from bayesr.errors import BandMismatch, InvalidArgument, InvalidModel, InvalidPixels
from bayesr.files import locate
from bayesr.isolation import isolated
from bayesr.model.architecture import check_architecture
from bayesr.model.catalogue import SEGMENTERS
from bayesr.model.file import load_network, write
from bayesr.model.header import read_header
from bayesr.model.sections import segmenter_values, unusable
from bayesr.segmentation.labels import label_objects
from bayesr.segmentation.protocol import SegmentationNetwork, as_module
from bayesr.segmentation.registry import build
from bayesr.segmentation.scaling import SCALINGS, scaled
from bayesr.segmentation.windowing import probability_maps


class Segmentation(NamedTuple):
    """The segmentation of an image.

    Attributes
    ----------
    probability : ndarray
        Of the foreground, `y x x`, float32 in [0, 1]; or of classes, `class x y x x`, which sum to 1.
    labels : ndarray or None
        `y x x`, int32: 0 is background, every object has its own number. None if objects are not separated.
    """

    probability: NDArray[np.float32]
    labels: NDArray[np.int32] | None


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network, the scaling of its inputs, and the rule that turns its maps into objects.

    A network with one output gives the foreground: objects are the connected components of pixels that reach
    `threshold`, in which corners connect. With a second output, the borders, objects grow by a watershed from the parts
    where the foreground exceeds the borders by `threshold`.

    Attributes
    ----------
    name : str
    network : SegmentationNetwork
        In evaluation mode, of a kind in `bayesr.segmentation.registry.NETWORKS`.
    inputs : tuple of str
        ``("member",)`` for images, or variables of a product as bands, such as ``("mean", "std")``.
    scaling : {"range", "percentiles", "roots"}
        Values that become 0 and 1: the ends of the value range; percentiles 1 and 99.8 of the whole image, band by
        band; or these percentiles, then a square root, which shows dim objects beside bright ones.
    threshold : float
        In (0, 1), see above.
    smallest : int
        Objects with fewer pixels are dropped.
    card : dict
        Provenance: data, steps, seed, scores.
    sha256 : str
        Checksum of the stored weights.

    Raises
    ------
    InvalidArgument
        If the scaling is unknown, the threshold lies outside (0, 1), or the network's bands cannot be divided among the
        inputs.
    """

    name: str
    network: SegmentationNetwork
    inputs: tuple[str, ...] = ("member",)
    scaling: str = "range"
    threshold: float = 0.5
    smallest: int = 0
    card: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.scaling not in SCALINGS:
            raise InvalidArgument(f"scaling must be one of {', '.join(SCALINGS)}, not {self.scaling!r}.")
        if not 0 < self.threshold < 1:
            raise InvalidArgument(f"threshold must lie between 0 and 1, not {self.threshold!r}.")
        if not self.inputs or self.bands % len(self.inputs):
            raise InvalidArgument(f"A network of {self.bands} band(s) cannot take the inputs {self.inputs}.")

    @property
    def bands(self) -> int:
        """Number of bands that the network takes."""
        return int(self.network.architecture["bands"])

    @isolated
    def __call__(self, image: NDArray[np.floating], value_range: tuple[float, float] = (0.0, 1.0)) -> Segmentation:
        """Segment an image.

        Parameters
        ----------
        image : ndarray
            `band x y x x`.
        value_range : tuple of float
            Values that the scaling ``"range"`` maps to 0 and 1.

        Returns
        -------
        Segmentation

        Raises
        ------
        BandMismatch
            If the network takes another number of bands.
        InvalidPixels
            If values are not finite.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[0] != self.bands:
            raise BandMismatch(
                f"The segmenter {self.name!r} takes {self.bands} band(s), (band, y, x), which are "
                f"{' and '.join(self.inputs)}; this has the shape {image.shape}."
            )
        if not np.isfinite(image).all():
            raise InvalidPixels("The image to segment has values that are NaN or infinite: fill them first.")
        maps = probability_maps(self.network, scaled(image, value_range, self.scaling, self.inputs))
        labels = label_objects(maps, self.threshold, self.smallest)
        # A view of one map would keep all in memory.
        return Segmentation(maps[0].copy() if len(maps) > 1 else maps[0], labels)

    def save(self, path: str | Path) -> Path:
        """Write the segmenter to a file, with weights as fp16, replacing an older one atomically."""
        return write(
            path,
            as_module(self.network),
            {
                "segmenter": dict(self.network.architecture),
                "inputs": list(self.inputs),
                "scaling": self.scaling,
                "threshold": self.threshold,
                "smallest": self.smallest,
                "card": dict(self.card),
            },
        )


@isolated  # a segmenter stays loaded for later calls
def load(name_or_path: str | Path | Segmenter) -> Segmenter:
    """Load a segmenter.

    Parameters
    ----------
    name_or_path : str, Path or Segmenter
        Name of a bundled segmenter, a file, or a `Segmenter`, which is returned.

    Returns
    -------
    Segmenter

    Raises
    ------
    UnknownModel
        If there is no such segmenter; the message names the bundled ones.
    InvalidModel
        If the file is damaged, a pickle, not a segmenter, or of another version.
    """
    if isinstance(name_or_path, Segmenter):
        return name_or_path
    path = locate(name_or_path, SEGMENTERS, "segmenter")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> Segmenter:
    header = read_header(path)
    if "segmenter" not in header:
        raise InvalidModel(f"{path} is a model for sampling, no segmenter: give it as model=, or another file here.")
    try:
        architecture, values = check_architecture(header["segmenter"]), segmenter_values(header)
        network: Any = load_network(path, header, lambda: as_module(build(architecture)))
        return Segmenter(path.stem, network, **values)
    except (SafetensorError, InvalidModel, InvalidArgument, TypeError, RuntimeError) as error:
        raise unusable(path, error) from error
