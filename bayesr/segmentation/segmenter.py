"""Segmenter: a network with what it needs to segment an image. One safetensors file, never a pickle."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bayesr.errors import BandMismatch, InvalidArgument, InvalidModel, InvalidPixels, UnknownModel
from bayesr.model.catalogue import SEGMENTERS
from bayesr.model.file import read_weights, write
from bayesr.model.header import read_header

SCALINGS = ("range", "percentiles", "roots")
_PERCENTILES = (1.0, 99.8)
_SIDE = 768
"""Pixels along a side that a network is given at once, where it keeps what it promises in windows."""

NETWORKS = {
    "unet": "bayesr.networks.segmenters.mobile_unet:MobileUNet",
    "probabilistic-unet": "bayesr.networks.segmenters.probabilistic_unet:ProbabilisticUNet",
    "annotators": "bayesr.networks.segmenters.annotators:AnnotatorEnsemble",
}
"""Networks by the kind that segmenter files know them by, and where they live: each is imported when it is needed."""


class Segmentation(NamedTuple):
    """What a segmenter says of an image.

    Attributes
    ----------
    probability : ndarray
        `y x x`, float32 in [0, 1]: of the foreground. Or `class x y x x`, summing to 1.
    labels : ndarray or None
        `y x x`, int32: 0 is background, every object has a number of its own; None where objects are not told apart.
    """

    probability: NDArray[np.float32]
    labels: NDArray[np.int32] | None


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network, how it sees values, and how its maps become objects.

    A network with one output gives the probability of the foreground, and objects are the connected parts of what
    reaches `threshold` (pixels that touch at a corner belong together). One with two outputs gives borders beside it:
    objects grow, by watershed, from the parts where the foreground exceeds the borders by `threshold`.

    Attributes
    ----------
    name : str
    network : nn.Module
        In evaluation mode; see `NETWORKS`.
    inputs : tuple of str
        ``("member",)``: it takes images. ``("mean", "std")``: it takes these variables of a product as bands.
    scaling : {"range", "percentiles", "roots"}
        What it sees as 0 and 1: the ends of the value range; or percentiles 1 and 99.8 of the whole image, band by
        band; or these, and square roots in between, which let dim objects be seen beside bright ones.
    threshold : float
        In (0, 1): see above.
    smallest : int
        Objects of fewer pixels are dropped.
    card : dict
        Provenance: data, steps, seed, scores.
    sha256 : str
        Checksum of the weights as stored.

    Raises
    ------
    InvalidArgument
        For an unknown scaling, a threshold outside (0, 1), or inputs that do not make the network's bands.
    """

    name: str
    network: nn.Module
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
        """Bands that the network takes."""
        return int(_architecture(self.network)["bands"])

    def __call__(self, image: NDArray[np.floating], value_range: tuple[float, float] = (0.0, 1.0)) -> Segmentation:
        """Segment an image `band x y x x`, whose `value_range` is seen as [0, 1].

        Raises
        ------
        BandMismatch
            When the network takes another number of bands.
        InvalidPixels
            For values that are not finite.
        """
        image = np.asarray(image, np.float32)
        if image.ndim != 3 or image.shape[0] != self.bands:
            raise BandMismatch(
                f"The segmenter {self.name!r} takes {self.bands} band(s), (band, y, x), which are "
                f"{' and '.join(self.inputs)}; this has the shape {image.shape}."
            )
        if not np.isfinite(image).all():
            raise InvalidPixels("The image to segment has values that are NaN or infinite: fill them first.")
        maps = self._maps(scaled(image, value_range, self.scaling, self.inputs))
        labels = objects(maps, self.threshold, self.smallest)
        return Segmentation(maps[0].copy() if len(maps) > 1 else maps[0], labels)  # or the others stay in memory

    @torch.no_grad()
    def _maps(self, x: NDArray[np.float32], side: int = _SIDE) -> NDArray[np.float32]:
        """Probability maps `outputs x y x x`, window by window where the image is large."""
        device = next(self.network.parameters()).device
        outputs = int(_architecture(self.network)["outputs"])
        maps = np.empty((outputs, *x.shape[1:]), np.float32)
        for window, core in windows(x.shape[1:], self.network, side):
            inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
            given = torch.from_numpy(np.ascontiguousarray(x[:, *window]))[None].to(device)
            probability: torch.Tensor = self.network.probability(given)  # type: ignore[operator]
            maps[:, *core] = probability[0][:, *inner].float().cpu().numpy()
        return maps

    def save(self, path: str | Path) -> Path:
        """Write the segmenter's file, weights as fp16, replacing it whole or not at all."""
        return write(
            path,
            self.network,
            {
                "segmenter": _architecture(self.network),
                "inputs": list(self.inputs),
                "scaling": self.scaling,
                "threshold": self.threshold,
                "smallest": self.smallest,
                "card": dict(self.card),
            },
        )


def scaled(
    image: NDArray[np.float32],
    value_range: tuple[float, float],
    scaling: str,
    inputs: tuple[str, ...] = ("member",),
) -> NDArray[np.float32]:
    """An image `band x y x x` as networks see it, about [0, 1]; nothing is clipped.

    Under ``"range"`` the bands of the input ``"std"`` are divided by the width of the range: no spread is 0. Under
    ``"percentiles"`` and ``"roots"`` constant bands become 0: they hold nothing to stretch. Roots keep the sign.
    """
    if scaling == "range":
        low, high = value_range
        lowest = np.repeat([0.0 if name == "std" else low for name in inputs], len(image) // len(inputs))
        return (image - lowest.astype(np.float32)[:, None, None]) / np.float32(high - low)
    ends = np.percentile(image, _PERCENTILES, axis=(1, 2)).astype(np.float32)[..., None, None]
    contrast = ends[1] - ends[0]
    x: NDArray[np.float32] = image - ends[0]
    x *= np.where(contrast > 0, 1 / np.where(contrast > 0, contrast, 1), 0).astype(np.float32)
    if scaling == "roots":
        np.copysign(np.sqrt(np.abs(x)), x, out=x)
    return x


def objects(maps: NDArray[np.float32], threshold: float = 0.5, smallest: int = 0) -> NDArray[np.int32]:
    """Labels `y x x` of probability maps `outputs x y x x`: foreground, or foreground and borders.

    Parts of the foreground that are border all over keep one label: what is too small to have an inside is an object.
    """
    from scipy.ndimage import find_objects, label
    from skimage.segmentation import watershed

    foreground = maps[0] >= threshold
    parts, count = label(foreground, structure=np.ones((3, 3)))
    if len(maps) > 1:
        inside = maps[0] - maps[1]
        seeds, most = label(foreground & (inside >= threshold))
        seeded = seeds > 0
        owner = np.zeros(most + 1, np.int64)
        owner[seeds[seeded]] = parts[seeded]
        boxes = find_objects(parts)
        # Part by part, for a watershed of all of a large image would take many times its memory.
        for part in np.flatnonzero(np.bincount(owner[1:], minlength=count + 1) > 1).tolist():
            box = boxes[part - 1]
            mask = parts[box] == part
            flooded = watershed(-inside[box], np.where(mask, seeds[box], 0), mask=mask, connectivity=2)
            numbers, order = np.unique(flooded[mask], return_inverse=True)
            parts[box][mask] = count + 1 + order
            count += len(numbers)
        del inside, seeds, seeded
    sizes = np.bincount(parts.ravel(), minlength=1)
    kept = sizes >= max(smallest, 1)
    kept[0] = False
    labels: NDArray[np.int32] = np.where(kept, np.cumsum(kept), 0).astype(np.int32)[parts]
    return labels


def windows(
    shape: tuple[int, ...], network: nn.Module, side: int
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """(window, core) of an image `y x x`: what the network is given at once, and the part of it that is exact then.

    Windows have `side` pixels along an axis at most, or a little more where `reach` leaves hardly any core.
    Cores tile the image. A window holds its core and `reach` pixels around it, as far as the image goes, and begins
    at a multiple of `multiple`. A network that sees all of an image (`reach` is None) is given all of it.
    """
    reach: int | None = network.reach  # type: ignore[assignment]
    multiple: int = network.multiple  # type: ignore[assignment]
    if reach is None or max(shape) <= side:
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        yield whole, whole
        return
    halo = -(-reach // multiple) * multiple
    step = max((side - 2 * halo) // multiple, 4) * multiple
    for top in range(0, shape[0], step):
        for left in range(0, shape[1], step):
            core = (slice(top, min(top + step, shape[0])), slice(left, min(left + step, shape[1])))
            window = tuple(
                slice(max(c.start - halo, 0), min(c.stop + halo, n)) for c, n in zip(core, shape, strict=True)
            )
            yield (window[0], window[1]), core


def load(name_or_path: str | Path | Segmenter) -> Segmenter:
    """Load a segmenter: the name of a bundled one, or a file.

    Raises
    ------
    UnknownModel
        When there is no such segmenter; the message names those that are bundled.
    InvalidModel
        When the file is damaged, a pickle, no segmenter, or of another version.
    """
    if isinstance(name_or_path, Segmenter):
        return name_or_path
    path = Path(name_or_path)
    bundled = SEGMENTERS / f"{name_or_path}.safetensors"
    if path.suffix == "" and bundled.is_file():
        path = bundled
    if not path.is_file():
        names = [p.stem for p in sorted(SEGMENTERS.glob("*.safetensors"))]
        near = difflib.get_close_matches(str(name_or_path), names, n=3, cutoff=0.4) or names
        raise UnknownModel(
            f"No segmenter {str(name_or_path)!r}: neither a bundled name nor a file. Nearest: "
            f"{', '.join(near) or 'none is bundled'}."
        )
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> Segmenter:
    from safetensors import SafetensorError

    header = read_header(path)
    if "segmenter" not in header:
        raise InvalidModel(f"{path} is a model for sampling, no segmenter: give it as model=, or another file here.")
    try:
        weights = read_weights(path, header)
        network = build(header["segmenter"])
        network.load_state_dict(weights)  # which makes float32 of fp16
        return Segmenter(
            path.stem,
            network.eval().requires_grad_(False).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            tuple(header["inputs"]),
            header["scaling"],
            header["threshold"],
            header["smallest"],
            header["card"],
            header["sha256"],
        )
    except (SafetensorError, KeyError, TypeError, RuntimeError, InvalidArgument) as error:
        raise InvalidModel(f"The segmenter's file {path} cannot be used: {error}.") from error


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """The network that an `architecture` describes.

    Raises
    ------
    InvalidModel
        For a kind that is not known here.
    """
    kind = architecture["kind"]
    if kind not in NETWORKS:
        raise InvalidModel(f"A segmentation network of kind {kind!r} is not known here: {', '.join(NETWORKS)} are.")
    module, _, name = NETWORKS[kind].partition(":")
    network: nn.Module = getattr(import_module(module), name)(**{k: v for k, v in architecture.items() if k != "kind"})
    return network


def _architecture(network: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = network.architecture  # type: ignore[assignment]
    return found
