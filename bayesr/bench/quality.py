"""Quality on Set5, Set14 and BSD100 at x4: fidelity of the mean, and whether the spread is right.

    bayesr bench quality --data FOLDER

FOLDER holds ``set5``, ``set14`` and ``bsd100`` (or ``bsd100_jpg``). Low-resolution images are made
with the antialiased bicubic operator and rounded to 8 bits. PSNR and SSIM are of the Y channel, 4
pixels shaved, of 8-bit images; everything else is over all bands, in grey levels, members as drawn.
The evaluator first reproduces the published figures of bicubic upsampling within 0.02 dB and
0.001 of SSIM, or refuses to print anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

import bayesr
from bayesr.bench.record import data_option, out_option, record
from bayesr.catalogue import locate
from bayesr.observe import bicubic
from bayesr.scoring.diagnostics import activity
from bayesr.scoring.figures import fair_crps

SCALE = 4
# Bicubic x4: W.-S. Lai et al., "Deep Laplacian pyramid networks", 2017, arXiv:1704.03915, Table 2, to our digits.
PUBLISHED = {"set5": (28.42, 0.8104), "set14": (26.00, 0.7027), "bsd100": (25.96, 0.6675)}
SET_FOLDERS = {"set5": ("set5",), "set14": ("set14",), "bsd100": ("bsd100", "bsd100_jpg"), "aerial": ("naip/hr",)}
ACTIVITY_BINS = 40

Array = NDArray[Any]


class Picture(NamedTuple):
    """RGB pixels, and whether the file is a grey one, whose values tables take as they are."""

    pixels: NDArray[np.uint8]
    grey: bool


def read_set(root: Path, name: str) -> dict[str, Picture]:
    """The RGB images of a set, cropped to a multiple of the scale."""
    folder = next((root / f for f in SET_FOLDERS[name] if (root / f).is_dir()), None)
    if folder is None:
        raise SystemExit(f"No folder {' or '.join(SET_FOLDERS[name])} in {root}.")
    images = {}
    for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".bmp"}):
        with PIL.Image.open(file) as picture:
            grey, pixels = picture.mode == "L", np.asarray(picture.convert("RGB"))
        pixels = pixels[: pixels.shape[0] // SCALE * SCALE, : pixels.shape[1] // SCALE * SCALE]
        images[file.stem] = Picture(pixels, grey)
    return images


def observe(high: NDArray[np.uint8]) -> NDArray[np.uint8]:
    low = bicubic(SCALE).observe(torch.from_numpy(high.astype(np.float64)).permute(2, 0, 1))
    return low.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def upsample(low: NDArray[np.uint8]) -> Array:
    """Bicubic upsampling as MATLAB's imresize does it: Keys' cubic, a = -1/2, mirrored borders."""

    def matrix(size: int) -> Array:
        centre = (np.arange(size * SCALE) + 0.5) / SCALE - 0.5
        weights = np.zeros((size * SCALE, size))
        for offset in range(-2, 4):
            index = np.floor(centre).astype(int) + offset - 1
            u = np.abs(centre - index)
            near, far = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
            value = np.where(u < 1, near, np.where(u < 2, far, 0))
            mirrored = index % (2 * size)
            np.add.at(
                weights,
                (np.arange(size * SCALE), np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)),
                value,
            )
        return weights

    x = low.astype(float)
    found: Array = np.einsum("Yy,yxb,Xx->YXb", matrix(x.shape[0]), x, matrix(x.shape[1]), optimize=True)
    return found


def luma(image: Array) -> Array:
    """Y of MATLAB's rgb2ycbcr, of an 8-bit image, shaved."""
    rounded = np.clip(np.round(image), 0, 255)
    y = 16 + rounded @ np.array([65.481, 128.553, 24.966]) / 255
    shaved: Array = y[SCALE:-SCALE, SCALE:-SCALE]
    return shaved


def psnr_ssim(image: Array, truth: Array, grey: bool) -> tuple[float, float]:
    a, b = luma(image), luma(truth)
    if grey:
        a, b = (a - 16) * 255 / 219, (b - 16) * 255 / 219
    similarity = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2))), float(similarity)


def gini(errors: Array) -> float:
    """E|e - e'| over pairs of different errors: twice the fair CRPS of a forecast that draws from them."""
    ordered = np.sort(errors.astype(np.float64))
    count = len(ordered)
    return float(2 * np.sum((2 * np.arange(count) - count + 1) * ordered) / (count * (count - 1)))


def climatology_crps(errors: Array, activity: Array) -> float:
    """Fair CRPS of the same mean with errors drawn from those of equal local activity, in 40 equal bins.

    The errors drawn from are those of the set itself, which favours the climatology.
    """
    edges = np.quantile(activity, np.linspace(0, 1, ACTIVITY_BINS + 1)[1:-1])
    where = np.searchsorted(edges, activity)
    bins = [errors[where == k] for k in range(ACTIVITY_BINS)]
    return sum(len(b) * gini(b) / 2 for b in bins if len(b) > 1) / len(errors)


def check_protocol(root: Path, sets: Sequence[str]) -> None:
    for name in sets:
        found = [psnr_ssim(upsample(observe(high)), high, grey) for high, grey in read_set(root, name).values()]
        psnr, ssim = np.mean(found, 0)
        if abs(psnr - PUBLISHED[name][0]) > 0.02 or abs(ssim - PUBLISHED[name][1]) > 0.001:
            raise SystemExit(f"Bicubic on {name} gives {psnr:.2f}/{ssim:.4f}, not {PUBLISHED[name]}: wrong images?")


def evaluate(model: bayesr.Model, images: dict[str, Picture], many: int) -> dict[str, float]:
    figures: dict[str, list[float]] = {}
    errors, activities = [], []
    operator = bicubic(SCALE)
    for high, grey in images.values():
        low, truth = observe(high), high.astype(np.float32)
        ds = model.sample(low, 32, dims=("y", "x", "band"))
        mean = ds["mean"].values.transpose(1, 2, 0)
        members = ds["samples"].values.transpose(0, 2, 3, 1)
        row: dict[str, float] = {}
        row["bicubic PSNR"], row["bicubic SSIM"] = psnr_ssim(upsample(low), truth, grey)
        pinv = operator.invert(torch.from_numpy(low.astype(np.float32)).permute(2, 0, 1)).permute(1, 2, 0).numpy()
        row["A+ y PSNR"], _ = psnr_ssim(pinv, truth, grey)
        row["PSNR"], row["SSIM"] = psnr_ssim(mean, truth, grey)
        if many:
            row[f"PSNR n={many}"], _ = psnr_ssim(
                model.sample(low, many, dims=("y", "x", "band"), keep_samples=False)["mean"].values.transpose(1, 2, 0),
                truth,
                grey,
            )
        row["member PSNR"] = float(np.mean([psnr_ssim(member, truth, grey)[0] for member in members[:4]]))
        lower, upper = (ds[name].values.transpose(1, 2, 0) for name in ("lower", "upper"))
        row["covered"] = float(np.mean((truth >= lower) & (truth <= upper)))
        row["width"] = float(np.mean(upper - lower))
        row["fair CRPS"] = fair_crps(members, truth)
        row["MAE of mean"] = float(np.mean(np.abs(truth - mean)))
        row["spread/skill"] = float(np.sqrt(members.var(0, ddof=1).mean() * 33 / 32 / np.mean((truth - mean) ** 2)))
        seen = operator.observe(torch.from_numpy(np.round(members)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
        for name, image in (("LR-PSNR", seen), ("LR-PSNR rounded", np.clip(np.round(seen), 0, 255))):
            worst = np.max(np.mean((image - low) ** 2, (1, 2, 3)))
            row[name] = float(10 * np.log10(255**2 / max(worst, 1e-12)))
        errors.append((truth - mean).ravel())
        activities.append(np.repeat(activity(ds["mean"].values), mean.shape[-1]))
        for name, value in row.items():
            figures.setdefault(name, []).append(value)
    averages = {name: float(np.mean(values)) for name, values in figures.items()}
    averages["covered, median"] = float(np.median(figures["covered"]))
    averages["covered, worst"] = float(np.min(figures["covered"]))
    averages["LR-PSNR"] = float(np.min(figures["LR-PSNR"]))
    averages["LR-PSNR rounded"] = float(np.min(figures["LR-PSNR rounded"]))
    averages["climatology CRPS"] = climatology_crps(np.concatenate(errors), np.concatenate(activities))
    pixels = np.array([len(e) for e in errors], float)
    pooled = float(np.average(figures["fair CRPS"], weights=pixels))
    averages["CRPS / climatology"] = pooled / averages["climatology CRPS"]
    return averages


@click.command()
@data_option
@click.option("--model", default="natural-x4", show_default=True)
@click.option("--sets", multiple=True, type=click.Choice(list(PUBLISHED)), default=list(PUBLISHED), show_default=True)
@click.option("--many", default=128, show_default=True, help="A second number of members for the mean; 0 for none.")
@click.option("--limit", type=int, help="Images per set, for a quick look.")
@click.option("--write-scores", is_flag=True, help="Into the model file.")
@out_option
def command(
    data: Path, model: str, sets: tuple[str, ...], many: int, limit: int | None, write_scores: bool, out: Path
) -> None:
    """Fidelity of the mean and quality of the spread on Set5, Set14 and BSD100."""
    check_protocol(data, sets)
    network = bayesr.load(model)
    rows: list[dict[str, Any]] = []
    for name in sets:
        images = dict(list(read_set(data, name).items())[:limit])
        for figure, value in evaluate(network, images, many).items():
            row = next((r for r in rows if r["figure"] == figure), None)
            if row is None:
                row = {"figure": figure}
                rows.append(row)
            row[f"{name} ({len(images)})"] = round(value, 4)
        print(f"{name} done", flush=True)
    notes = {
        "model": f"{network.name}, {network.sha256[:12]}",
        "members": "n = 32, seed 0; averages over images, LR-PSNR the worst member of the worst image",
        "estimators": "fair CRPS (scoringrules); climatology: fair CRPS of errors pooled in 40 bins of local activity, "
        "the set's own; spread/skill with its (n+1)/n factor",
        "protocol": "bicubic x4 reproduced within 0.02 dB and 0.001 SSIM of the published figures before anything else",
    }
    record("quality", rows, notes, out)
    if write_scores:
        wanted = ("PSNR", "SSIM", "fair CRPS", "covered")
        scores = {
            column.split()[0]: {str(row["figure"]): row[column] for row in rows if row["figure"] in wanted}
            for column in list(rows[0])[1:]
        }
        replace(network, card={**network.card, "scores": scores}).save(locate(model))
