"""Compare intervals of regional means and sums with exact ones on Gaussian fields.

    bayesr bench aggregate
    bayesr bench aggregate --data FOLDER

On Gaussian fields the posterior is normal with a known covariance C, so that a statistic w'x has an
interval of the exact width 2 z sqrt(w'C w), z = 1.645 at 90%. Members are exact posterior samples: what
is measured is `bayesr.aggregate`, not a model. With few members an interval has to be wider than the
exact one to hold a new draw as often as it says, since it does not know the posterior: coverage says that it does.

With a folder of data, a second table has means of squares of fluorescence images, from low-resolution images
as they are and rounded to whole numbers: how often the truth lies inside.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from bayesr import product
from bayesr.aggregation.regions import find
from bayesr.aggregation.statistics import Segments
from bayesr.aggregation.workflow import aggregate
from bayesr.errors import UnfamiliarInput
from bayesr.model.model import Model, load
from bayesr.training.problems import GaussianField
from bayesr_bench import measures
from bayesr_bench.options import out_option
from bayesr_bench.record import record
from bayesr_bench.sets import Picture, read_set

LEVEL = 0.9
SIDES = (1, 2, 4, 8, 16)
"""Sides of square regions, in high-resolution pixels."""
MEMBERS = (32, 1024)
SQUARES = (2, 4, 8, 16, 32)
MODEL = "fluorescence-x4"

Array = NDArray[Any]


def product_of(members: Array, low: Array, factor: float = 1.0) -> xr.Dataset:
    """Members `n x 1 x H x H` of an observation `1 x h x h` as a product of one mask, as `bayesr.sample` makes it.

    Parameters
    ----------
    members, low : ndarray
    factor : float
        The calibration: what the raw standard deviation is to be multiplied with.
    """
    n, scale = len(members), members.shape[-1] // low.shape[-1]
    frame = product.frame(xr.DataArray(low, dims=product.DIMS), scale)
    x = members.astype(np.float32)
    mean, raw = x.mean(0), x.var(0, ddof=1)
    std, nan = factor * np.sqrt(raw), np.full_like(mean, np.nan)
    arrays = {
        "mean": mean, "variance": std**2, "std": std, "aleatoric": nan, "epistemic": nan,
        "calibration": np.full_like(mean, factor), "lower": mean - 1.645 * std, "upper": mean + 1.645 * std,
        "samples": x,
    }  # fmt: skip
    return product.dataset(frame, arrays, {"n": n, "masks": 1, "scale": scale}, n, 1)


def exact_std(covariance: Tensor, side: int, kind: str) -> Array:
    """sqrt(w'C w) of the cells of a grid, row by row: of their means, or of their sums."""
    edge = round(len(covariance) ** 0.5)
    place = torch.arange(edge) // side
    cell = (place[:, None] * -(-edge // side) + place).flatten()
    weights = torch.nn.functional.one_hot(cell).double()
    if kind == "mean":
        weights = weights / weights.sum(0)
    found: Array = torch.einsum("pr,pq,qr->r", weights, covariance, weights).clamp(min=0).sqrt().numpy()
    return found


def rows(problem: GaussianField, n: int, scenes: int, seed: int) -> list[dict[str, Any]]:
    """The table for n members."""
    from scipy.special import ndtri
    from scipy.stats import norm

    random = torch.Generator().manual_seed(seed)
    low, _ = problem.batch(scenes, random)
    truth = problem.posterior_mean(low).numpy()
    table = []
    products = [product_of(problem.posterior(y[None], n, random)[0].numpy(), y.numpy()) for y in low]
    for kind in ("mean", "sum"):
        for side in SIDES:
            exact = exact_std(problem.posterior_covariance, side, kind)
            found = [aggregate(ds, side, kind, level=LEVEL, progress=False).isel(band=0) for ds in products]
            lower, upper, naive = (
                np.stack([ds[name].to_numpy() for ds in found]) for name in ("lower", "upper", "naive_std")
            )
            middle = np.stack([cells(mean[0], side, kind) for mean in truth])
            width = 2 * ndtri(0.5 + LEVEL / 2)
            table.append(
                {
                    "statistic": kind,
                    "pixels": side**2,
                    "n": n,
                    "exact width": float(width * exact.mean()),
                    "width": float((upper - lower).mean()),
                    "ratio": float(((upper - lower) / (width * exact)).mean()),
                    "naive ratio": float((naive / exact).mean()),
                    "coverage": float((norm.cdf((upper - middle) / exact) - norm.cdf((lower - middle) / exact)).mean()),
                }
            )
    return table


def cells(image: Array, side: int, kind: str) -> Array:
    """Means or sums of the cells of a grid that divides the image, row by row."""
    height, width = (edge // side for edge in image.shape)
    blocks = image.reshape(height, side, width, side)
    found: Array = (blocks.mean((1, 3)) if kind == "mean" else blocks.sum((1, 3))).ravel()
    return found


def image_rows(model: Model, pictures: Sequence[Picture], n: int, seed: int) -> list[dict[str, Any]]:
    """Means of regions of real images, from low-resolution images as they are and rounded to whole numbers."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    for picture in pictures:
        high = picture.pixels.transpose(2, 0, 1).astype(np.float32)
        exact = model.observation.observe(torch.from_numpy(high)).numpy()
        rounded = np.clip(np.round(exact), 0, 255).astype(np.uint8)
        for given, low in (("float32", exact), ("uint8", rounded)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnfamiliarInput)
                ds = model.sample(low, n, seed=seed, dims=product.DIMS, value_range=(0, 255), progress=False)
            for side in SQUARES:
                regions = aggregate(ds, side, level=LEVEL, quantum=float(given == "uint8"), progress=False)
                truth = true_means(high, side)
                lower, upper, value, std, naive = (
                    regions[name].to_numpy() for name in ("lower", "upper", "value", "std", "naive_std")
                )
                half = regions.attrs["quantum"] / 2
                inside = [measures.coverage(truth, lower + r, upper - r) for r in (0, half)]
                squares = [np.mean(v**2) for v in (truth - value, std, naive)]
                found.setdefault((given, side), []).append([float(v) for v in (*inside, *squares)])
    table = []
    for (given, side), figures in found.items():
        shares, errors = np.split(np.mean(figures, 0), [2])
        row = {"input": given, "pixels": side**2, "images": len(figures)}
        row |= zip(("error", "std", "naive std"), np.sqrt(errors).tolist(), strict=True)
        row |= zip(("coverage", "without half a quantum"), shares.tolist(), strict=True)
        table.append(row)
    return table


def true_means(image: Array, side: int) -> Array:
    """Means of a grid's cells, `region x band`, the last ones smaller where it does not divide the image."""
    y, x = (xr.DataArray(np.arange(size), dims=dim) for dim, size in zip("yx", image.shape[1:], strict=True))
    found = find(side, y, x)
    segments = Segments(found.counts, found.starts)
    return np.stack([segments.sums(band.reshape(-1)[found.pixels]) / found.counts for band in image], -1)


@click.command()
@click.option("--scenes", default=8, show_default=True, help="Observations that widths are averaged over.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the folder dsb2018: adds a table of fluorescence images.",
)
@click.option("--images", default=12, show_default=True, help="Images of that table, evenly spaced in the set.")
@out_option
def command(scenes: int, seed: int, data: Path | None, images: int, out: Path) -> None:
    """Intervals of region means and sums as ratios to exact ones, and what summed pixel variances say."""
    problem = GaussianField()
    table = [row for n in MEMBERS for row in rows(problem, n, scenes, seed)]
    notes = {
        "regions": f"all squares of a grid on {scenes} Gaussian fields of {problem.side} x {problem.side} pixels from "
        f"{problem.size} x {problem.size} (bicubic x4)",
        "members": "exact posterior samples, so that calibration is 1",
        "width": f"of the {LEVEL:.0%} interval of bayesr.aggregate, mean over regions and scenes, in network units; "
        "exact: 2 z sqrt(w'C w)",
        "ratio": "width over exact width, mean over regions and scenes",
        "naive ratio": "the same if pixel variances are summed as if pixels erred independently",
        "coverage": f"probability of a new draw inside the interval, exactly computed; {LEVEL:g} is promised. With few "
        "members an interval must be wider than the exact one for that",
    }
    many = ", ".join(map(str, MEMBERS))
    record("aggregate", table, notes, out, seed=seed, n=many, estimators="coverage exact, widths as means of ratios")
    if data is None:
        return
    pictures = list(read_set(data, "nuclei").values())
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(images, len(pictures))).round().astype(int)]
    notes = {
        "regions": "all squares of a grid, means, in grey levels; sets: fluorescence images of DSB 2018",
        "members": f"of {MODEL}, calibrated",
        "input": "the low-resolution image as it is observed, or rounded to whole numbers as files are",
        "error, std, naive std": "root mean square over regions and images; naive: from summed pixel variances",
        "coverage": f"share of true means inside the {LEVEL:.0%} interval, mean over images",
        "without half a quantum": "the same if intervals did not reach half a grey level further for rounded input",
    }
    table = image_rows(load(MODEL), chosen, MEMBERS[0], seed)
    estimators = "root mean squares and shares over regions, means over images"
    record("aggregate-images", table, notes, out, seed=seed, n=MEMBERS[0], estimators=estimators)
