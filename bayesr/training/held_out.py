"""Held-out image pairs: reading, checking, and the errors of a model on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr.errors import BandMismatch, BayesrError, InvalidArgument
from bayesr.files import IMAGE_SUFFIXES
from bayesr.images import Image, read
from bayesr.model.model import Model, load
from bayesr.observe import ForwardOperator
from bayesr.training.data import ImageSet, abbreviated, held_out_images, load_images
from bayesr.training.degradation import Degradation


@dataclass(frozen=True)
class HeldOutPair:
    """A low-resolution image and its high-resolution truth.

    Attributes
    ----------
    low, high : Image
        Images `band x y x x` in the same units; `high` has `scale` times as many pixels along each axis.
    """

    low: Image
    high: Image

    def errors(self, model: Model, n: int, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating], float]:
        """Compare the mean of sampled members with the truth.

        Returns
        -------
        error, std : ndarray
            ``truth - mean`` and the standard deviation in network units, `band x y x x`; NaN without data.
        quantisation_step : float
            In network units, 0 for inputs that are not integers. Intervals are widened by half a step on either side.
        """
        least, most = self.low.value_range
        ds = model.sample(self.low.data, n, seed=seed, value_range=(least, most), keep_samples=False, progress=False)
        width = most - least
        truth = self.high.data.to_numpy().astype(np.float64)
        if self.high.missing is not None:
            truth[self.high.missing] = np.nan
        quantisation_step = 0.0 if self.low.bounds is None else 1 / width
        return (truth - ds["mean"].values) / width, ds["std"].values / width, quantisation_step


@contextmanager
def errors_about(name: str) -> Iterator[None]:
    """Begin the messages of errors with the name of the image that they are about."""
    try:
        yield
    except BayesrError as error:
        raise type(error)(f"{name}: {error}") from error


def read_pairs(
    model: Model,
    pairs: Iterable[tuple[Any, Any]],
    dims: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
) -> list[HeldOutPair]:
    """Read (low, high) pairs of images, and check that they fit the model.

    Parameters
    ----------
    model : Model
    pairs : iterable of (low, high)
        Images that `bayesr.sample` takes.
    dims, value_range
        As in `bayesr.sample`, for every image.

    Returns
    -------
    list of HeldOutPair

    Raises
    ------
    InvalidArgument, BandMismatch
        If a pair does not fit. The message gives its number, counted from 0.
    BayesrError
        One of its subclasses, if an input cannot be read as an image.
    """
    held_out = []
    for i, (low, high) in enumerate(pairs):
        with errors_about(f"Pair {i}"):
            pair = HeldOutPair(*(read(image, dims=dims, value_range=value_range) for image in (low, high)))
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
        held_out.append(pair)
    return held_out


def gather(
    model: str | Path | Model,
    data: Sequence[str | Path],
    low: str | Path | None = None,
    held_out: int | str | Path | None = None,
    limit: int | None = None,
) -> list[tuple[Any, Any]]:
    """Return the (low, high) pairs of the images in folders.

    Parameters
    ----------
    model : str, Path or Model
        Its forward operator makes the low-resolution images, unless `low` is given.
    data : sequence of paths
        Folders of high-resolution images, or archives written by `ImageSet.pack`.
    low : path, optional
        Folder of the low-resolution images, with the names of the high-resolution ones up to the suffix.
    held_out : int, str or Path, optional
        Take only the images that `bayesr.train` holds out of the same `data` with this number, or this list of names.
    limit : int, optional
        Largest number of images, chosen by their hashed names.

    Raises
    ------
    InvalidArgument
        If both `low` and `held_out` are given, or names do not match.
    TrainingFailed
        If the images cannot be read, or one to be held out is not among them.
    """
    model = load(model)
    if low is not None:
        if held_out is not None:
            raise InvalidArgument("held_out applies only to low-resolution images that are made here: leave out low.")
        return match_files(data, low)[:limit]
    held_out_names = None if held_out is None else held_out_images(held_out)
    images = load_images(data, model.bands)
    if held_out_names is not None:
        images = images.split(held_out_names)[1]
    if limit is not None and limit < len(images.names):
        images = images.split(limit)[1]
    return make_pairs(images, model.forward_operator)


def files_of(data: Sequence[Path]) -> list[Path]:
    """Return files, and the images in folders, sorted by path.

    Raises
    ------
    InvalidArgument
        If there is no such file or folder.
    """
    files: list[Path] = []
    for path in data:
        if not path.exists():
            raise InvalidArgument(f"There is no file or folder {path}.")
        inside = path.rglob("*") if path.is_dir() else [path]
        files += sorted(p for p in inside if not path.is_dir() or p.suffix.lower() in IMAGE_SUFFIXES)
    return files


def make_pairs(images: ImageSet, operator: ForwardOperator) -> list[tuple[Any, Any]]:
    """Return `make_pair` of every image."""
    return [make_pair(image, operator) for image in images.images]


def make_pair(image: NDArray[np.uint8], operator: ForwardOperator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the 8-bit (low, high) pair of an 8-bit image `y x x x band`, cropped to a multiple of the scale."""
    # In float64, since values near halves of grey levels are rounded to other ones in float32, a few in a million.
    return Degradation().pair(image, operator, torch.Generator(), np.float64)


def match_files(high: Sequence[str | Path], low: str | Path) -> list[tuple[Path, Path]]:
    """Return the (low, high) files of folders whose names are equal up to the suffix, sorted by name.

    Raises
    ------
    InvalidArgument
        If a file has no counterpart, or two files have the same name.
    """

    def files(folder: Path) -> dict[str, Path]:
        if not folder.is_dir():
            raise InvalidArgument(f"There is no folder {folder}.")
        named: dict[str, Path] = {}
        for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
            if named.setdefault(file.stem, file) != file:
                raise InvalidArgument(
                    f"{named[file.stem]} and {file} have the same name, by which pairs are found: rename one."
                )
        return named

    lows = files(Path(low))
    highs: dict[str, Path] = {}
    for folder in high:
        highs |= files(Path(folder))
    unmatched = sorted(lows.keys() ^ highs.keys())
    if unmatched or not lows:
        raise InvalidArgument(
            f"Every image needs a counterpart of the same name. There are {len(lows)} low- and {len(highs)} "
            f"high-resolution images, and these names occur on one side only: {abbreviated(unmatched) or 'none'}."
        )
    return [(lows[name], highs[name]) for name in sorted(lows)]


def checksum(pairs: Sequence[HeldOutPair]) -> str:
    """Return the SHA-256 of types, shapes and pixels of all pairs, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update((pair.low.sha256 + pair.high.sha256).encode())
    return digest.hexdigest()
