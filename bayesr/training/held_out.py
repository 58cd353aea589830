"""Pairs of images that nothing was trained on: found, checked, and compared with what a model makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr import images
from bayesr.errors import BandMismatch, BayesrError, InvalidArgument
from bayesr.model.model import Model, load
from bayesr.observe import ForwardOperator
from bayesr.training.data import SUFFIXES, ImageSet, load_images


@dataclass(frozen=True)
class HeldOut:
    """A low-resolution image and what it should have become.

    Attributes
    ----------
    low, high : Image
        `band x y x x`; high with `scale` times as many pixels along both axes, in the same units.
    """

    low: images.Image
    high: images.Image

    def errors(self, model: Model, n: int, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating], float]:
        """(truth - mean, std, quantisation step) in network units, `band x y x x`; NaN where there is no data.

        The quantisation step is the step of an integer input, half of which every interval includes on either side.
        """
        least, most = self.low.value_range
        ds = model.sample(self.low.data, n, seed=seed, value_range=(least, most), keep_samples=False, progress=False)
        width = most - least
        truth = self.high.data.to_numpy().astype(np.float64)
        if self.high.missing is not None:
            truth[:, self.high.missing] = np.nan
        quantisation_step = 0.0 if self.low.bounds is None else 1 / width
        return (truth - ds["mean"].values) / width, ds["std"].values / width, quantisation_step


def read_pairs(
    model: Model,
    pairs: Iterable[tuple[Any, Any]],
    dims: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
) -> list[HeldOut]:
    """(low, high) pairs of anything that is an image, checked against the model.

    Raises
    ------
    InvalidArgument, BandMismatch
        For a pair that does not fit; the message counts from 0.
    BayesrError
        One of its children, for what is no image.
    """
    found = []
    for i, (low, high) in enumerate(pairs):
        try:
            pair = HeldOut(*(images.read(image, dims=dims, value_range=value_range) for image in (low, high)))
        except BayesrError as error:
            raise type(error)(f"Pair {i}: {error}") from error
        (bands, height, width), shape = pair.low.data.shape, pair.high.data.shape
        if shape[1:] != (height * model.scale, width * model.scale):
            raise InvalidArgument(
                f"Pair {i}: a high-resolution image of {shape[1]} x {shape[2]} pixels does not fit a low-resolution "
                f"one of {height} x {width} at scale {model.scale}; crop it to {height * model.scale} x "
                f"{width * model.scale}, and give pairs as (low, high)."
            )
        if shape[0] != bands or model.bands not in (1, bands):
            raise BandMismatch(
                f"Pair {i}: the model takes {model.bands} band(s) at once, the low-resolution image has {bands} and "
                f"the high-resolution one {shape[0]}: give both {model.bands if model.bands > 1 else 'equally many'}."
            )
        found.append(pair)
    return found


def gather(
    model: str | Path | Model,
    data: Sequence[str | Path],
    low: str | Path | None = None,
    held_out: int | None = None,
    limit: int | None = None,
) -> list[tuple[Any, Any]]:
    """(low, high) pairs of the images in folders.

    Parameters
    ----------
    model : str, Path or Model
        Its observation makes the low-resolution images, where there are none.
    data : sequence of paths
        Folders of high-resolution images, or archives of `ImageSet.pack`.
    low : path, optional
        A folder with the low-resolution image of every one of them, of the same name but for the suffix.
    held_out : int, optional
        Only the images that `bayesr.train` keeps from training on the same `data`.
    limit : int, optional
        At most so many images, chosen by their hashed names.
    """
    network = load(model)
    if low is not None:
        if held_out is not None:
            raise InvalidArgument("held_out chooses among images whose low-resolution ones are made: leave out low.")
        return matched(data, low)[:limit]
    found = load_images(data, network.bands)
    if held_out is not None:
        found = found.split(held_out)[1]
    if limit is not None and limit < len(found.names):
        found = found.split(limit)[1]
    return make_pairs(found, network.observation)


def make_pairs(images: ImageSet, operator: ForwardOperator) -> list[tuple[Any, Any]]:
    """(low, high) pairs of 8-bit images, `y x x x band`, cropped to a multiple of the scale."""
    return [make_pair(image, operator) for image in images.images]


def make_pair(image: NDArray[np.uint8], operator: ForwardOperator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(low, high) of an 8-bit image, `y x x x band`, cropped to a multiple of the scale; low rounded to 8 bits."""
    height, width = (size // operator.scale * operator.scale for size in image.shape[:2])
    high = image[:height, :width]
    x = torch.from_numpy(high.astype(np.float64)).permute(2, 0, 1)
    return operator.observe(x).clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy(), high


def matched(high: Sequence[str | Path], low: str | Path) -> list[tuple[Path, Path]]:
    """(low, high) files of folders whose names are equal but for the suffix, in the order of names.

    Raises
    ------
    InvalidArgument
        When a file has no partner, or two files have one name.
    """

    def files(folder: Path) -> dict[str, Path]:
        if not folder.is_dir():
            raise InvalidArgument(f"There is no folder {folder}.")
        named: dict[str, Path] = {}
        for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            if named.setdefault(file.stem, file) != file:
                raise InvalidArgument(f"{named[file.stem]} and {file} have one name: pairs are found by it.")
        return named

    lows = files(Path(low))
    highs: dict[str, Path] = {}
    for folder in high:
        highs |= files(Path(folder))
    alone = sorted(lows.keys() ^ highs.keys())
    if alone or not lows:
        raise InvalidArgument(
            f"{len(lows)} low- and {len(highs)} high-resolution images; without a partner of the same name: "
            f"{', '.join(alone[:5]) or 'none'}{' ...' if len(alone) > 5 else ''}. Every image needs one."
        )
    return [(lows[name], highs[name]) for name in sorted(lows)]


def checksum(pairs: Sequence[HeldOut]) -> str:
    """SHA-256 over types, shapes and pixels of all pairs, in their order."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update((pair.low.sha256 + pair.high.sha256).encode())
    return digest.hexdigest()
