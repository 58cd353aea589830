"""Compare intervals of regional means and sums with exact ones on Gaussian fields.

    bayesr bench aggregate
    bayesr bench aggregate --data FOLDER

On Gaussian fields the posterior is normal with a known covariance C, so that a statistic w'x has an interval of the
exact width 2 z sqrt(w'C w), z = 1.645 at 90%. Members are exact posterior samples, so this measures
`bayesr.aggregate` and no model. Few members leave the posterior uncertain, so that their interval must be wider than
the exact one to contain a new draw with its nominal probability. The column `coverage` has that probability.

With a folder of data, a second table has means of squares of fluorescence images, from low-resolution images as they
are and rounded to whole numbers, with the empirical coverage of the true means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from bayesr import product
from bayesr.aggregation.regions import find
from bayesr.aggregation.statistics import Segments
from bayesr.aggregation.workflow import aggregate
from bayesr.calibration.intervals import bounds
from bayesr.model.model import Model, load
from bayesr_bench import measures
from bayesr_bench.harness import Result, option, table
from bayesr_bench.options import FOLDER, Count, Seed, data_folder
from bayesr_bench.problems import GaussianField
from bayesr_bench.sets import Picture, read_set, sample
from bayesr_bench.spectra import rounded

LEVEL = 0.9
WIDTH = 2 * ndtri(0.5 + LEVEL / 2)
"""Exact width of an interval, in standard deviations."""
SIDES = (1, 2, 4, 8, 16)
"""Sides of square regions of Gaussian fields, in high-resolution pixels."""
MEMBERS = (32, 1024)
SQUARES = (2, 4, 8, 16, 32)
"""Sides of square regions of images."""
MODEL = "fluorescence-x4"

Array = NDArray[Any]
Row = dict[str, Any]


def product_of(members: Array, low: Array, factor: float = 1.0) -> xr.Dataset:
    """Return members as a product of one mask, in the form of `bayesr.sample`.

    Parameters
    ----------
    members : ndarray
        Of shape ``n x 1 x H x H``.
    low : ndarray
        The low-resolution image, ``1 x h x h``.
    factor : float
        Calibration factor of the standard deviation.
    """
    n, scale = len(members), members.shape[-1] // low.shape[-1]
    frame = product.frame(xr.DataArray(low, dims=product.DIMS), scale)
    x = members.astype(np.float32)
    mean, raw = x.mean(0), x.var(0, ddof=1)
    std, nan = factor * np.sqrt(raw), np.full_like(mean, np.nan)
    lower, upper = bounds(mean, std, WIDTH / 2, 0.0)
    arrays = {
        "mean": mean, "variance": std**2, "std": std, "aleatoric": nan, "epistemic": nan,
        "calibration": np.full_like(mean, factor), "lower": lower, "upper": upper, "samples": x,
    }  # fmt: skip
    return product.dataset(frame, arrays, {"n": n, "masks": 1, "scale": scale}, n, 1)


def exact_std(covariance: Tensor, side: int, kind: str) -> Array:
    """Return ``sqrt(w'C w)`` of the means or the sums of a grid's cells, row by row.

    Parameters
    ----------
    covariance : Tensor
        C, of all pixels of a square image.
    side : int
        Side of a cell, in pixels.
    kind : {"mean", "sum"}
    """
    edge = round(len(covariance) ** 0.5)
    place = torch.arange(edge) // side
    cell = (place[:, None] * -(-edge // side) + place).flatten()
    weights = torch.nn.functional.one_hot(cell).double()
    if kind == "mean":
        weights = weights / weights.sum(0)
    found: Array = torch.einsum("pr,pq,qr->r", weights, covariance, weights).clamp(min=0).sqrt().numpy()
    return found


def cells(image: Array, side: int, kind: str) -> Array:
    """Return the means or the sums of the cells of a grid that divides the image, row by row."""
    height, width = (edge // side for edge in image.shape)
    blocks = image.reshape(height, side, width, side)
    found: Array = (blocks.mean((1, 3)) if kind == "mean" else blocks.sum((1, 3))).ravel()
    return found


def field_rows(problem: GaussianField, n: int, scenes: int, seed: int) -> list[Row]:
    """Return one row per statistic and size of regions, from n exact posterior samples per scene."""
    random = torch.Generator().manual_seed(seed)
    low, _ = problem.batch(scenes, random)
    truth = problem.posterior_mean(low).numpy()
    products = [product_of(problem.posterior(y[None], n, random)[0].numpy(), y.numpy()) for y in low]
    rows = []
    for kind in ("mean", "sum"):
        for side in SIDES:
            exact = exact_std(problem.posterior_covariance, side, kind)
            found = [aggregate(ds, side, kind, level=LEVEL, progress=False).isel(band=0) for ds in products]
            lower, upper, naive = (
                np.stack([ds[name].to_numpy() for ds in found]) for name in ("lower", "upper", "naive_std")
            )
            middle = np.stack([cells(mean[0], side, kind) for mean in truth])
            rows.append(
                {
                    "statistic": kind,
                    "pixels": side**2,
                    "n": n,
                    "exact width": float(WIDTH * exact.mean()),
                    "width": measures.width(lower, upper),
                    "ratio": float(((upper - lower) / (WIDTH * exact)).mean()),
                    "naive ratio": float((naive / exact).mean()),
                    "coverage": float((ndtr((upper - middle) / exact) - ndtr((lower - middle) / exact)).mean()),
                }
            )
    return rows


def image_rows(model: Model, pictures: Sequence[Picture], n: int, seed: int) -> list[Row]:
    """Return one row per input and size of regions: means over images, of low-resolution images exact and rounded."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    for picture in pictures:
        high = picture.pixels.transpose(2, 0, 1).astype(np.float32)
        exact = model.forward_operator.observe(torch.from_numpy(high)).numpy()
        for given, low in (("float32", exact), ("uint8", rounded(exact))):
            ds = sample(model, low, n, seed=seed, dims=product.DIMS, value_range=(0, 255))
            for side in SQUARES:
                regions = aggregate(ds, side, level=LEVEL, quantisation_step=float(given == "uint8"), progress=False)
                found.setdefault((given, side), []).append(_compare(regions, true_means(high, side)))
    rows = []
    for (given, side), figures in found.items():
        errors, shares = np.split(np.mean(figures, 0), [3])
        row = {"input": given, "pixels": side**2, "images": len(figures)}
        row |= zip(("error", "std", "naive std"), np.sqrt(errors).tolist(), strict=True)
        row |= zip(("coverage", "without half a quantum"), shares.tolist(), strict=True)
        rows.append(row)
    return rows


def _compare(regions: xr.Dataset, truth: Array) -> list[float]:
    """Return mean squares of error, std and naive std, and coverage with and without half a quantisation step."""
    lower, upper, value, std, naive = (
        regions[name].to_numpy() for name in ("lower", "upper", "value", "std", "naive_std")
    )
    half = regions.attrs["quantisation_step"] / 2
    squares = [float(np.mean(v**2)) for v in (truth - value, std, naive)]
    return squares + [measures.coverage(truth, lower + inset, upper - inset) for inset in (0, half)]


def true_means(image: Array, side: int) -> Array:
    """Return the means of a grid's cells, ``region x band``; the last cells may be smaller than the others."""
    y, x = (xr.DataArray(np.arange(size), dims=dim) for dim, size in zip("yx", image.shape[1:], strict=True))
    found = find(side, y, x)
    segments = Segments(found.counts, found.starts)
    return np.stack([segments.sums(band.reshape(-1)[found.pixels]) / found.counts for band in image], -1)


@table(estimators="coverage exact, widths as means of ratios", n=", ".join(map(str, MEMBERS)))
def command(
    scenes: Annotated[int, "Low-resolution images that widths are averaged over."] = 8,
    seed: Seed = 0,
    data: Annotated[
        Path | None, option(type=FOLDER, help="Folder with the folder dsb2018: adds a table of fluorescence images.")
    ] = None,
    images: Annotated[Count, "Images of that table, evenly spaced in the set."] = 12,
) -> Iterator[Result]:
    """Yield the table of Gaussian fields, and that of images if there is a folder of data."""
    problem = GaussianField()
    notes = {
        "regions": f"all squares of a grid on {scenes} Gaussian fields of {problem.side} x {problem.side} pixels from "
        f"{problem.size} x {problem.size} (bicubic x4)",
        "members": "exact posterior samples, so that calibration is 1",
        "width": f"of the {LEVEL:.0%} interval of bayesr.aggregate, mean over regions and scenes, in network units; "
        "exact: 2 z sqrt(w'C w)",
        "ratio": "width divided by exact width, mean over regions and scenes",
        "naive ratio": "the same with pixel variances summed as if the errors of pixels were independent",
        "coverage": f"probability that the interval contains a new draw, computed exactly; nominal {LEVEL:g}, for "
        "which the interval of few members must be wider than the exact one",
    }
    yield Result([row for n in MEMBERS for row in field_rows(problem, n, scenes, seed)], notes)
    if data is None:
        return
    pictures = list(read_set(data_folder(data), "nuclei").values())
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(images, len(pictures))).round().astype(int)]
    notes = {
        "regions": "means of all squares of a grid, in grey levels, on fluorescence images of DSB 2018",
        "members": f"of {MODEL}, calibrated",
        "input": "the low-resolution image as the forward operator makes it, or rounded to whole numbers as in files",
        "error, std, naive std": "root mean square over regions and images; naive: from summed pixel variances",
        "coverage": f"share of true means inside the {LEVEL:.0%} interval, mean over images",
        "without half a quantum": "the same with intervals of rounded input that are half a grey level narrower on "
        "either side",
    }
    yield Result(
        image_rows(load(MODEL), chosen, MEMBERS[0], seed), notes, suffix="-images", n=MEMBERS[0],
        estimators="root mean squares and shares over regions, means over images",
    )  # fmt: skip
