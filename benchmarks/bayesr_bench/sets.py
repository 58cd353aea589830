"""Sets of images on which models are measured, and the products of models for these images.

A folder of data holds ``set5``, ``set14``, ``bsd100`` (or ``bsd100_jpg``), aerial images in ``naip/hr``, and nuclei in
``dsb2018/images``. The set of nuclei has fluorescence images only, which are grey files with a dark background. The
others in that folder show stained tissue in transmitted light.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import PIL.Image
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import DataNotFound, UnfamiliarInput, UnknownData
from bayesr.files import IMAGE_SUFFIXES
from bayesr.model.model import Model
from bayesr.observe import ForwardOperator, bicubic
from bayesr.training.held_out import make_pair

SCALE = 4
"""Scale factor of the published figures, and the default of the functions below."""
PHOTOGRAPHS = ("set5", "set14", "bsd100")
SET_FOLDERS = {
    "set5": ("set5",),
    "set14": ("set14",),
    "bsd100": ("bsd100", "bsd100_jpg"),
    "aerial": ("naip/hr",),
    "nuclei": ("dsb2018/images",),
}

Item = TypeVar("Item")


class Picture(NamedTuple):
    """Pixels, ``y x x x band``, and whether the file is grey, so that PSNR is that of its values."""

    pixels: NDArray[np.uint8]
    grey: bool


class Answer(NamedTuple):
    """The product of a model for an image, and the truth, in grey levels.

    Attributes
    ----------
    low : ndarray
        The low-resolution image, ``y x x x band``, uint8.
    members : ndarray
        Of shape ``n x band x y x x``.
    mean, std, lower, upper, truth : ndarray
        Of shape ``band x y x x``.
    calibration : ndarray or None
        The factor by which the raw standard deviation was multiplied, of shape ``band x y x x``; None for samplers
        that have no map of it.
    """

    low: NDArray[np.uint8]
    members: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    truth: NDArray[np.float32]
    calibration: NDArray[np.float32] | None = None


def read_set(root: Path, name: str, scale: int = SCALE, limit: int | None = None) -> dict[str, Picture]:
    """Read the images of a set, cropped to a multiple of the scale factor: three bands, or one for nuclei.

    Parameters
    ----------
    root : Path
    name : str
        A name in `SET_FOLDERS`.
    scale : int
    limit : int, optional
        Number of images, the first ones by name. By default all.

    Raises
    ------
    UnknownData
        If there is no such set.
    DataNotFound
        If its folder does not exist, or holds no image.
    """
    if name not in SET_FOLDERS:
        raise UnknownData(f"There is no set {name!r}: the sets are {', '.join(SET_FOLDERS)}.")
    folder = next((root / f for f in SET_FOLDERS[name] if (root / f).is_dir()), None)
    pictures = read_folder(folder, scale) if folder is not None else {}
    if not pictures:
        where = f"{root} has no folder {' or '.join(SET_FOLDERS[name])}" if folder is None else f"{folder} has no image"
        raise DataNotFound(
            f"The images of {name} are missing: {where}. Name the folder that holds the sets with --data, or fetch "
            "them with `bayesr data fetch`; `bayesr data list` lists the sets that are present."
        )
    if name == "nuclei":
        pictures = {
            file: Picture(pixels[..., :1], grey)
            for file, (pixels, grey) in pictures.items()
            if grey and is_dark(pixels)
        }
    return dict(list(pictures.items())[:limit])


def is_dark(pixels: NDArray[Any]) -> bool:
    """Return whether an image has a dark background, as fluorescence has: a median in the lower half of 8 bits."""
    return bool(np.median(pixels) < 127.5)


def read_folder(folder: Path, scale: int = SCALE, count: int | None = None) -> dict[str, Picture]:
    """Read the images in a folder, with three bands, cropped to a multiple of the scale factor.

    Parameters
    ----------
    folder : Path
    scale : int
    count : int, optional
        Number of images to read, evenly spaced in the order of their names. By default all.
    """
    files = evenly(sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), count)
    pictures = {}
    for file in files:
        with PIL.Image.open(file) as picture:
            grey, pixels = picture.mode == "L", np.asarray(picture.convert("RGB"))
        height, width = (size // scale * scale for size in pixels.shape[:2])
        pictures[file.stem] = Picture(pixels[:height, :width], grey)
    return pictures


def evenly(items: Sequence[Item], count: int | None) -> list[Item]:
    """Return at most `count` items, evenly spaced, in their order; all for None."""
    count = len(items) if count is None else min(count, len(items))
    return [items[k * len(items) // count] for k in range(count)]


def observe(high: NDArray[np.uint8], operator: ForwardOperator | None = None) -> NDArray[np.uint8]:
    """Return the low-resolution image of an image, by default bicubic x4; both are ``y x x x band``."""
    return make_pair(high, operator or bicubic(SCALE))[0]


def sample(model: Model, low: NDArray[Any], n: int, *, dims: Any = "yxb", **options: Any) -> xr.Dataset:
    """Sample a low-resolution image, ``y x x x band``, with arguments of `bayesr.sample`.

    No warning says that it is out of distribution: tables measure models on images of other domains on purpose.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        return model.sample(low, n, dims=dims, progress=False, **options)


def repeated(low: NDArray[Any], model: Model) -> NDArray[Any]:
    """Return an image, ``y x x x band``, with as many bands as a model takes, if it has one."""
    return np.repeat(low, model.bands, -1) if low.shape[-1] == 1 else low


def is_unfamiliar(product: xr.Dataset) -> bool:
    """Return whether the model of a product called its image out of distribution."""
    return str(product.attrs.get("input_check", "")).startswith("unlike")


def answer(model: Model, picture: Picture, n: int, seed: int = 0, level: float = 0.9) -> Answer:
    """Downsample a picture by the model's own forward operator, and sample its low-resolution image.

    A grey image is repeated for a model of three bands. Each member is then averaged over the bands, and so are means,
    deviations and intervals, which are nearly equal in all bands.

    Parameters
    ----------
    model : Model
    picture : Picture
        The high-resolution image.
    n, seed : int
        Number of members, and their seed.
    level : float
        Level of the interval.
    """
    return answer_of_pair(model, *make_pair(picture.pixels, model.forward_operator), n, seed, level)


def answer_of_pair(
    model: Model, low: NDArray[Any], high: NDArray[Any], n: int, seed: int = 0, level: float = 0.9
) -> Answer:
    """Sample a given low-resolution image, as `answer` does; both images are ``y x x x band``, of 8 or 16 bits.

    Figures are in grey levels: values of 16 bits are divided by 257.
    """
    ends = (0, np.iinfo(low.dtype).max)  # whatever the image's own range
    ds = sample(model, repeated(low, model), n, seed=seed, level=level, value_range=ends)
    unit = np.float32(ends[1] / 255)
    maps = ("mean", "std", "lower", "upper")
    found: dict[str, NDArray[Any]] = {name: ds[name].to_numpy() / unit for name in maps}
    found["calibration"] = ds["calibration"].to_numpy()
    members = (ds["samples"].to_numpy() / unit).astype(np.float32)
    if low.shape[-1] == 1:
        members, found = members.mean(1, keepdims=True), {k: v.mean(0, keepdims=True) for k, v in found.items()}
    return Answer(low, members, **found, truth=high.transpose(2, 0, 1).astype(np.float32) / unit)


def labels(models: Sequence[Model]) -> list[str]:
    """Return the names of models in a table, with the beginning of their checksums where names are equal."""
    names = [model.name for model in models]
    return [n if names.count(n) == 1 else f"{n} {m.sha256[:6]}" for n, m in zip(names, models, strict=True)]
