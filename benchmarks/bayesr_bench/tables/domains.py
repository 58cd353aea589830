"""Every model on every set: is a model of a domain better there than one of photographs?

    bayesr bench domains --data FOLDER

FOLDER holds ``set5``, ``set14``, ``bsd100`` (or ``bsd100_jpg``), aerial images in ``naip/hr``, and nuclei in
``dsb2018/images``, of which the fluorescence images count: grey files of a dark background. Low-resolution images
are made with the model's own observation and rounded to 8 bits. A model of three bands takes a grey image
three times, and what it answers is averaged over them; a model of one band takes colour band by band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import bayesr
from bayesr.card import store_scores
from bayesr.catalogue import locate
from bayesr.scoring.figures import fair_crps
from bayesr_bench.options import data_option, models_option, out_option
from bayesr_bench.protocol import ESTIMATORS, PUBLISHED, check_protocol, psnr
from bayesr_bench.record import error_of_mean, record
from bayesr_bench.sets import SET_FOLDERS, Picture, answer, labels, read_set

LEVEL = 0.9
FIGURES = ("PSNR", "fair CRPS", "covered", "spread/skill")
COMPARED = FIGURES[:2]

Scores = dict[str, list[float]]
"""Of every figure, one value an image."""


def takes(model: bayesr.Model, picture: Picture) -> bool:
    bands = picture.pixels.shape[-1]
    return bands == 1 or model.bands in (1, bands)


def measure(model: bayesr.Model, pictures: Sequence[Picture], n: int, seed: int) -> Scores:
    """All figures of every picture, in grey levels."""
    scores: Scores = {figure: [] for figure in FIGURES}
    for picture in pictures:
        found = answer(model, picture, n, seed, LEVEL)
        image, truth = (band.transpose(1, 2, 0) for band in (found.mean, found.truth))
        scores["PSNR"].append(psnr(image, truth, picture.grey, model.scale))
        scores["fair CRPS"].append(fair_crps(found.members, found.truth))
        scores["covered"].append(float(np.mean((found.truth >= found.lower) & (found.truth <= found.upper))))
        variance = found.members.var(0, ddof=1, dtype=np.float64).mean() * (n + 1) / n
        error = np.mean((found.truth - found.mean).astype(np.float64) ** 2)
        scores["spread/skill"].append(float(np.sqrt(variance / error)) if error else float("nan"))
    return scores


def summary(scores: Scores) -> dict[str, float]:
    """Averages over images, and their standard errors."""
    row = {}
    for figure, values in scores.items():
        row[figure] = float(np.nanmean(values))
        row[f"{figure} ±"] = error_of_mean(values)
    return row


def compared(scores: Scores, reference: Scores | None, name: str) -> dict[str, float]:
    """The mean difference, image by image, from another model's scores, and its standard error."""
    row = {}
    for figure in COMPARED:
        values = np.full(1, np.nan) if reference is None else np.subtract(scores[figure], reference[figure])
        row[f"{figure} minus {name}'s"] = float(values.mean())
        row[f"{figure} minus {name}'s ±"] = error_of_mean(values)
    return row


def rows_of(measured: Mapping[str, Mapping[str, Scores]], against: str) -> list[dict[str, Any]]:
    """A row a set and model; `measured` holds scores by set, then by model."""
    rows: list[dict[str, Any]] = []
    for name, models in measured.items():
        for model, scores in models.items():
            reference = models.get(against) if model != against else None
            row: dict[str, Any] = {"set": f"{name} ({len(scores['PSNR'])})", "model": model}
            figures = summary(scores) | compared(scores, reference, against)
            rows.append(row | {k: round(v, 4) for k, v in figures.items()})
    return rows


@click.command()
@data_option
@models_option()
@click.option("--against", default="natural-x4", show_default=True, help="The model that others are compared with.")
@click.option("--sets", multiple=True, type=click.Choice(list(SET_FOLDERS)), default=list(SET_FOLDERS))
@click.option("-n", default=32, show_default=True, help="Members, at least 2.")
@click.option("--seed", default=0, show_default=True)
@click.option("--limit", type=int, help="Images per set, for a quick look.")
@click.option("--write-scores", is_flag=True, help="Into the model files.")
@out_option
def command(
    data: Path,
    models: tuple[str, ...],
    against: str,
    sets: tuple[str, ...],
    n: int,
    seed: int,
    limit: int | None,
    write_scores: bool,
    out: Path,
) -> None:
    """Every model on every set, and how models of a domain compare with that of photographs."""
    if n < 2:
        raise click.BadParameter("a spread needs at least 2 members", param_hint="-n")
    files = dict.fromkeys(models or [info.name for info in bayesr.models()])
    networks = {str(file): bayesr.load(file) for file in files}
    if against not in files:
        networks = {against: bayesr.load(against)} | networks
    names = labels(list(networks.values()))
    other = names[list(networks).index(against)]
    check_protocol(data, [name for name in sets if name in PUBLISHED])
    measured: dict[str, dict[str, Scores]] = {}
    for name in sets:
        measured[name] = {}
        for label, (file, network) in zip(names, networks.items(), strict=True):
            pictures = list(read_set(data, name, network.scale).values())[:limit]
            if not all(takes(network, picture) for picture in pictures):
                continue
            scores = measure(network, pictures, n, seed)
            measured[name][label] = scores
            if write_scores and file in files:
                about = {"images": len(pictures), "n": n, "seed": seed, "estimators": ESTIMATORS}
                figures = {k: round(v, 4) for k, v in summary(scores).items() if np.isfinite(v)}
                store_scores(locate(file), {name: about | figures})
            click.echo(f"{name}: {label} done", err=True)
    notes = {
        "models": ", ".join(f"{name} {m.sha256[:12]}" for name, m in zip(names, networks.values(), strict=True)),
        "members": f"as drawn; interval at level {LEVEL:g}",
        "differences": f"image by image, then averaged: a model better than {against} has more PSNR and less CRPS",
        "nuclei": "grey fluorescence images, values 0..255 whatever an image's own range; a model of three bands takes "
        "them three times, and its members, means and intervals are averaged over bands",
    }
    estimators = f"{ESTIMATORS}; spread/skill of uncalibrated members, with its (n+1)/n factor"
    record("domains", rows_of(measured, other), notes, out, seed=seed, n=n, estimators=estimators)
