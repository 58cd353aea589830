"""Quality on Set5, Set14 and BSD100 at x4: fidelity of the mean, and whether the spread is right.

    bayesr bench quality --data FOLDER

FOLDER holds ``set5``, ``set14`` and ``bsd100`` (or ``bsd100_jpg``). Low-resolution images are made
with the antialiased bicubic operator and rounded to 8 bits. PSNR and SSIM are of the Y channel, 4
pixels shaved, of 8-bit images; everything else is over all bands, in grey levels, members as drawn.
The evaluator first reproduces the published figures of bicubic upsampling within 0.02 dB and
0.001 of SSIM, or refuses to print anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

import bayesr
from bayesr.card import store_scores
from bayesr.catalogue import locate
from bayesr.errors import InvalidArgument
from bayesr.observe import bicubic
from bayesr.scoring.diagnostics import activity
from bayesr.scoring.figures import fair_crps
from bayesr_bench.options import budget_option, data_option, models_option, out_option
from bayesr_bench.protocol import ESTIMATORS, PUBLISHED, check_protocol, psnr_ssim, upsample
from bayesr_bench.record import record
from bayesr_bench.sets import SCALE, Picture, labels, observe, read_set

ACTIVITY_BINS = 40
N = 32
"""Members."""
STORED = ("PSNR", "SSIM", "fair CRPS", "covered")
"""Figures that a model file may keep."""

Array = NDArray[Any]
Sets = dict[str, dict[str, Picture]]


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


def evaluate(model: bayesr.Model, images: dict[str, Picture], many: int, seed: int = 0) -> dict[str, float]:
    figures: dict[str, list[float]] = {}
    errors, activities = [], []
    operator = bicubic(SCALE)
    for high, grey in images.values():
        low, truth = observe(high), high.astype(np.float32)
        ds = model.sample(low, N, seed=seed, dims=("y", "x", "band"), progress=False)
        mean = ds["mean"].values.transpose(1, 2, 0)
        members = ds["samples"].values.transpose(0, 2, 3, 1)
        row: dict[str, float] = {}
        row["bicubic PSNR"], row["bicubic SSIM"] = psnr_ssim(upsample(low), truth, grey)
        pinv = operator.invert(torch.from_numpy(low.astype(np.float32)).permute(2, 0, 1)).permute(1, 2, 0).numpy()
        row["A+ y PSNR"], _ = psnr_ssim(pinv, truth, grey)
        row["PSNR"], row["SSIM"] = psnr_ssim(mean, truth, grey)
        if many:
            more = model.sample(low, many, seed=seed, dims=("y", "x", "band"), keep_samples=False, progress=False)
            row[f"PSNR n={many}"], _ = psnr_ssim(more["mean"].values.transpose(1, 2, 0), truth, grey)
        row["member PSNR"] = float(np.mean([psnr_ssim(member, truth, grey)[0] for member in members[:4]]))
        lower, upper = (ds[name].values.transpose(1, 2, 0) for name in ("lower", "upper"))
        row["covered"] = float(np.mean((truth >= lower) & (truth <= upper)))
        row["width"] = float(np.mean(upper - lower))
        row["fair CRPS"] = fair_crps(members, truth)
        row["MAE of mean"] = float(np.mean(np.abs(truth - mean)))
        row["spread/skill"] = float(np.sqrt(members.var(0, ddof=1).mean() * (N + 1) / N / np.mean((truth - mean) ** 2)))
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


def table(model: bayesr.Model, sets: Sets, many: int, seed: int) -> list[dict[str, Any]]:
    """A row a figure, a column a set."""
    rows: dict[str, dict[str, Any]] = {}
    for name, images in sets.items():
        for figure, value in evaluate(model, images, many, seed).items():
            rows.setdefault(figure, {"figure": figure})[f"{name} ({len(images)})"] = round(value, 4)
        click.echo(f"{model.name} on {name} done", err=True)
    return list(rows.values())


def scores_of(rows: list[dict[str, Any]], sets: Sets, seed: int) -> dict[str, dict[str, Any]]:
    """What a model file says of its scores, by set."""
    about = {"n": N, "seed": seed, "estimators": ESTIMATORS}
    return {
        name: {"images": len(images)} | about
        | {row["figure"]: row[f"{name} ({len(images)})"] for row in rows if row["figure"] in STORED}
        for name, images in sets.items()
    }  # fmt: skip


@click.command()
@data_option
@models_option("natural-x4")
@budget_option(limit=5, many=0)
@click.option("--sets", multiple=True, type=click.Choice(list(PUBLISHED)), default=list(PUBLISHED), show_default=True)
@click.option("--many", default=128, show_default=True, help="A second number of members for the mean; 0 for none.")
@click.option("--limit", type=click.IntRange(min=1), help="Images per set, for a quick look.")
@click.option("--seed", default=0, show_default=True, help="Of the members.")
@click.option("--write-scores", is_flag=True, help="Into the model files.")
@out_option
def command(
    data: Path,
    models: tuple[str, ...],
    budget: str,
    sets: tuple[str, ...],
    many: int,
    limit: int | None,
    seed: int,
    write_scores: bool,
    out: Path,
) -> None:
    """Fidelity of the mean and quality of the spread on Set5, Set14 and BSD100."""
    files = list(dict.fromkeys(models))
    networks = [bayesr.load(file) for file in files]
    for network in networks:
        if network.bands != 3 or network.scale != SCALE:
            raise InvalidArgument(
                f"{network.name} takes {network.bands} band(s) to x{network.scale}: this table is of colour images "
                f"and x{SCALE}; see `bayesr bench domains`."
            )
    check_protocol(data, sets)
    pictures = {name: dict(list(read_set(data, name).items())[:limit]) for name in sets}
    names = labels(networks)
    rows: list[dict[str, Any]] = []
    for label, file, network in zip(names, files, networks, strict=True):
        own = table(network, pictures, many, seed)
        rows += own if len(files) == 1 else [{"model": label} | row for row in own]
        if write_scores:
            store_scores(locate(file), scores_of(own, pictures, seed))
    notes = {
        "model": ", ".join(f"{name}, {m.sha256[:12]}" for name, m in zip(names, networks, strict=True)),
        "members": "averages over images, LR-PSNR the worst member of the worst image",
        "protocol": "bicubic x4 reproduced within 0.02 dB and 0.001 SSIM of the published figures before anything else",
    }
    estimators = (
        "fair CRPS (scoringrules); climatology: fair CRPS of errors pooled in 40 bins of local activity, the set's "
        "own; spread/skill with its (n+1)/n factor"
    )
    record("quality", rows, notes, out, seed=seed, n=N, estimators=estimators)
