"""Score models on images of real instruments, beside better images of the same scenes.

    bayesr bench instruments --data FOLDER

FOLDER holds, in a folder ``pairs`` in it or beside it, ``city100`` (two cameras, each at two focal lengths),
``confocal_sted`` and ``sim`` (two microscopes each), ``worldstrat`` (two satellites, on different days, so that
changes of the scene count as errors). The better image is shifted to the interpolated input by phase
correlation, and its values are fitted to the input's by a gain and an offset per band. Cameras and microscopes sample
finely: their images are first reduced by the scale factor, as their spectrum allows.

Intervals are measured as the model has them, and after calibration without a truth (`bayesr.calibrate(images=...)`) on
parts of the inputs themselves. Noise of the better image counts as error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import click
import numpy as np
import PIL.Image
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

import bayesr
from bayesr.errors import DataNotFound
from bayesr.networks.features.lpips import Lpips
from bayesr.observe import bicubic
from bayesr.scoring.rules import fair_crps
from bayesr_bench import lpips, measures
from bayesr_bench.harness import Result, decimals, option, table
from bayesr_bench.lpips import Judge
from bayesr_bench.models import Measured, checksums, measured
from bayesr_bench.options import Data, Limit, Members, Seed
from bayesr_bench.protocol import upsample
from bayesr_bench.sets import is_unfamiliar, repeated, sample
from bayesr_bench.spectra import rounded

LEVEL = 0.9
NEEDED = 18
"""Images that calibration of the 90% interval needs."""
MARGIN = 16
"""High-resolution pixels at borders that are left out, where the shifted image is made up."""
PEAK = 255.0
BICUBIC = "bicubic"

Array = NDArray[Any]


class Pair(NamedTuple):
    """An input and the better image of its scene, ``y x x x band``; both range about from 0 to 255."""

    low: Array
    high: Array


@dataclass(frozen=True)
class Instrument:
    """Where the pairs of an instrument are, and the models that sample its images."""

    read: Callable[[Path], Iterator[Pair]]
    models: tuple[str, ...]
    scale: int = 4


# -- reading -------------------------------------------------------------------------------------


def _picture(path: Path) -> Array:
    with PIL.Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def reduced(image: Array, scale: int = 4) -> Array:
    """Downsample an image ``y x x x band`` by the antialiased bicubic."""
    height, width = (size // scale * scale for size in image.shape[:2])
    x = torch.from_numpy(image[:height, :width].astype(np.float64)).permute(2, 0, 1)
    found: Array = bicubic(scale).observe(x).permute(1, 2, 0).numpy()
    return found


def _cameras(camera: str) -> Callable[[Path], Iterator[Pair]]:
    def read(root: Path) -> Iterator[Pair]:
        for file in sorted(_folder(root, "city100").glob(f"{camera}_*_lr.png")):
            high = _picture(file.with_name(file.name.replace("_lr", "_hr")))
            yield Pair(rounded(reduced(_picture(file))), high)

    return read


def _micrographs(planes: Array) -> Pair:
    """Return the pair of a coarse and a fine micrograph on one grid; the input's values are scaled to 0 .. 255."""
    height, width = (size // 4 * 4 for size in planes.shape[1:])
    coarse, fine = planes[:, :height, :width, None].astype(np.float64)
    low = reduced(coarse)
    return Pair((PEAK * (low - low.min()) / np.ptp(low)).astype(np.float32), fine)


def _confocal(root: Path) -> Iterator[Pair]:
    for file in sorted(_folder(root, "confocal_sted").glob("*.tif")):
        planes = np.squeeze(tifffile.imread(file))
        if planes.ndim == 3:  # others are of one microscope
            for first in (0, 3) if len(planes) == 6 else (0,):  # confocal, STED and a mask for each of two dyes
                if (planes[first + 1] > 0).mean() > 0.5 * (planes[first] > 0).mean() and not _mask(planes[first + 1]):
                    yield _micrographs(planes[first : first + 2])


def _mask(plane: Array) -> bool:
    return len(np.unique(plane)) <= 2


def _sim(root: Path) -> Iterator[Pair]:
    folder = _folder(root, "sim")
    for light in ("HE", "LE"):
        frames = [folder / f"{light}_X2_Sample_1_{light}_00.tif", folder / f"{light}R_Sample_1.tif"]
        if all(frame.is_file() for frame in frames):
            yield _micrographs(np.stack([tifffile.imread(frame) for frame in frames]))


def _satellites(root: Path) -> Iterator[Pair]:
    folder = _folder(root, "worldstrat")
    yield Pair(_picture(folder / "L1.png"), _picture(folder / "HR.png"))


def _folder(root: Path, name: str) -> Path:
    for place in (root / "pairs", root.parent / "pairs", root):
        if (place / name).is_dir():
            return place / name
    raise DataNotFound(f"There is no folder pairs/{name} in {root} or beside it: name another folder with --data.")


INSTRUMENTS = {
    "nikon": Instrument(_cameras("nikon"), ("camera-x4", "natural-x4")),
    "iphone": Instrument(_cameras("iphone"), ("camera-x4", "natural-x4")),
    "confocal-sted": Instrument(_confocal, ("microscopy-x4", "fluorescence-x4", "natural-x4")),
    "sim": Instrument(_sim, ("microscopy-x4", "fluorescence-x4", "natural-x4")),
    "satellites": Instrument(_satellites, ("natural-x2",), scale=2),
}

# -- registration --------------------------------------------------------------------------------


def registered(pair: Pair, scale: int) -> Pair:
    """Return the pair with the better image shifted and scaled to the input; see the module."""
    low, high = pair.low.astype(np.float64), pair.high.astype(np.float64)
    high = high[: low.shape[0] * scale, : low.shape[1] * scale]
    near = upsample(pair.low, scale).mean(-1)
    shift, *_ = phase_cross_correlation(near, high.mean(-1), upsample_factor=20, normalization=None)
    high = ndimage.shift(high, (*shift, 0), order=3, mode="nearest")
    coarse = reduced(high, scale)
    inner = (slice(MARGIN // scale, -MARGIN // scale),) * 2
    for band in range(high.shape[-1]):
        given, seen = (image[(*inner, band)].ravel() for image in (low, coarse))
        gain, offset = np.polyfit(seen, given, 1)
        high[..., band] = gain * high[..., band] + offset
    return Pair(pair.low, high)


# -- figures -------------------------------------------------------------------------------------


def parts(images: Sequence[Array], least: int = NEEDED) -> list[Array]:
    """Return equal parts of images, at least `least` in all, for calibration."""
    across = math.ceil(math.sqrt(least / len(images)))
    return [
        part for image in images for rows in np.array_split(image, across) for part in np.array_split(rows, across, 1)
    ]


def _options(low: Array) -> dict[str, Any]:
    return {"dims": ("y", "x", "band")} | ({} if low.dtype == np.uint8 else {"value_range": (0.0, PEAK)})


def _inner(image: Array) -> Array:
    """Cut the margin off an image ``... x y x x``."""
    return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def figures_of(
    model: bayesr.Model | None, calibrated: bayesr.Model | None, pair: Pair, scale: int, judge: Lpips | None, n: int,
    seed: int,
) -> dict[str, float]:  # fmt: skip
    """Return the figures of a model, or of bicubic interpolation, for a registered pair."""
    truth = _inner(pair.high.transpose(2, 0, 1))
    row: dict[str, float] = {}
    if model is None or calibrated is None:
        mean = _inner(upsample(pair.low, scale).transpose(2, 0, 1))
        members = mean[None]
    else:
        given, options = repeated(pair.low, model), _options(pair.low)
        ds = sample(model, given, n, seed=seed, level=LEVEL, **options)
        again = sample(calibrated, given, n, seed=seed, level=LEVEL, keep_samples=False, **options)
        row["unfamiliar"] = float(is_unfamiliar(ds))
        bands = slice(0, len(truth))  # repeated bands are nearly equal
        members, mean = (_inner(ds[name].to_numpy()[..., bands, :, :]) for name in ("samples", "mean"))
        for name, found in (("covered", ds), ("covered, calibrated", again)):
            lower, upper = (_inner(found[bound].to_numpy()[bands]) for bound in ("lower", "upper"))
            row[name] = measures.coverage(truth, lower, upper)
            row[name.replace("covered", "width")] = measures.width(lower, upper)
    row = {
        "PSNR": float(10 * np.log10(PEAK**2 / np.mean((mean - truth) ** 2))),
        "fair CRPS": fair_crps(members, truth),
        **row,
    }
    if judge is not None:
        images = {"LPIPS of mean": mean[None], "LPIPS": members[:1]}
        for name, shown in images.items():
            both = [np.repeat(x, 3, -3) if x.shape[-3] == 1 else x for x in (shown, truth)]
            row[name] = float(judge.distances(*(x.clip(0, PEAK).astype(np.float32) for x in both)).mean())
    return row


@table(
    renamed=True,
    rounding=decimals(4),
    small={"limit": 1, "n": 8, "instruments": ("nikon",)},
    estimators="PSNR of the mean, peak 255; fair CRPS, of bicubic the absolute error; coverage of the 90% interval; "
    "over all bands, in grey levels, the input's range being 0 to 255; averages over images, +- their standard error",
    notes={
        "truth": f"the better image, registered; {MARGIN} pixels at the border left out; its own noise counts as error",
        "calibrated": "without a truth, on equal parts of the inputs themselves (Wald's protocol)",
        "unfamiliar": "share of inputs that the out-of-distribution check warns about",
    },
)
def command(
    data: Data,
    instruments: Annotated[
        tuple[str, ...], option(type=click.Choice(list(INSTRUMENTS)), help="Instrument; may be repeated.")
    ] = tuple(INSTRUMENTS),
    judge: Judge = "alexnet",
    n: Members = 32,
    seed: Seed = 0,
    limit: Limit = None,
) -> Result:
    """Return one row per instrument and model."""
    network, about = lpips.checked(judge, data, 1)
    rows: list[dict[str, Any]] = []
    used: dict[str, Measured] = {}
    for name in instruments:
        instrument = INSTRUMENTS[name]
        pairs = [registered(pair, instrument.scale) for pair in instrument.read(data)][:limit]
        models = measured(instrument.models, scale=instrument.scale)
        used |= {one.label: one for one in models}
        for one in (*models, None):
            calibrated = None
            if one is not None:
                images = [repeated(part, one.model) for part in parts([pair.low for pair in pairs])]
                options = _options(pairs[0].low)
                calibrated = bayesr.calibrate(
                    one.model, images=images, levels=(LEVEL,), seed=seed, progress=False, **options
                )
            model = None if one is None else one.model
            found = [figures_of(model, calibrated, pair, instrument.scale, network, n, seed) for pair in pairs]
            label = BICUBIC if one is None else one.label
            row = {"instrument": f"{name} ({len(pairs)})", "model": label}
            rows.append(row | measures.averages(measures.gathered(found)))
            click.echo(f"{name}: {label} done", err=True)
    return Result(rows, {"models": checksums(list(used.values())), "level": f"{LEVEL}", "LPIPS": about})
