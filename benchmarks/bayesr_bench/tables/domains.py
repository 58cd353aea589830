"""Score every model on every set, and compare models of a domain with that of photographs.

    bayesr bench domains --data FOLDER

FOLDER holds ``set5``, ``set14``, ``bsd100`` (or ``bsd100_jpg``), aerial images in ``naip/hr``, and nuclei in
``dsb2018/images``, where only the fluorescence images are used: grey files with a dark background. Low-resolution
images are made with the model's own forward operator and rounded to 8 bits. A grey image is repeated for a model of
three bands, and the results are averaged over bands. A model of one band samples each band of a colour image. Models
of another scale factor than 4 are measured on images reduced by that, in rows of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import click
import numpy as np

import bayesr
from bayesr.model.card import store_scores
from bayesr.model.catalogue import locate
from bayesr_bench import measures
from bayesr_bench.harness import Result, decimals, table
from bayesr_bench.measures import Scores
from bayesr_bench.models import Measured, measured
from bayesr_bench.options import Data, Limit, Members, Models, Seed, sets_of
from bayesr_bench.protocol import ESTIMATORS, PUBLISHED, check_protocol
from bayesr_bench.scores import forecast_scores
from bayesr_bench.sets import SCALE, SET_FOLDERS, Picture, answer, read_set

LEVEL = 0.9
FIGURES = ("PSNR", "fair CRPS", "covered", "spread/skill")
COMPARED = FIGURES[:2]


def takes(model: bayesr.Model, picture: Picture) -> bool:
    """Return whether a model can sample a picture."""
    bands = picture.pixels.shape[-1]
    return bands == 1 or model.bands in (1, bands)


def measure(model: bayesr.Model, pictures: Sequence[Picture], n: int, seed: int) -> Scores:
    """Return all figures of every picture, in grey levels."""
    rows = []
    for picture in pictures:
        scores = forecast_scores(answer(model, picture, n, seed, LEVEL), picture.grey, model.scale)
        rows.append({figure: scores[figure] for figure in FIGURES})
    return measures.gathered(rows)


def rows_of(
    measured: Mapping[str, Mapping[str, Scores]], against: str, scales: Mapping[str, int] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Return one row per set and model.

    Parameters
    ----------
    measured : mapping
        Scores by set, then by model.
    against : str
        The model with which others are compared.
    scales : mapping of str to int
        Scale factors of models, 4 by default. Models of different ones are not compared.
    """
    rows: list[dict[str, Any]] = []
    for name, models in measured.items():
        for model, scores in models.items():
            scale, other = (scales.get(one, SCALE) for one in (model, against))
            reference = models.get(against) if model != against and scale == other else None
            reduced = "" if scale == SCALE else f", x{scale}"
            row: dict[str, Any] = {"set": f"{name} ({len(scores['PSNR'])}{reduced})", "model": model}
            rows.append(row | measures.averages(scores) | measures.differences(scores, reference, against, COMPARED))
    return rows


@table(
    renamed=True,
    rounding=decimals(4),
    estimators=f"{ESTIMATORS}; spread/skill of uncalibrated members, with its (n+1)/n factor",
    notes={
        "members": f"as drawn; interval at level {LEVEL:g}",
        "nuclei": "grey fluorescence images, values 0..255 whatever an image's own range; a model of three bands takes "
        "them three times, and its members, means and intervals are averaged over bands",
    },
)
def command(
    data: Data,
    models: Annotated[Models, "Model to measure, by name or file; may be repeated.  [default: all bundled]"] = (),
    against: Annotated[str, "Model with which the others are compared."] = "natural-x4",
    sets: Annotated[tuple[str, ...], sets_of(SET_FOLDERS)] = tuple(SET_FOLDERS),
    n: Members = 32,
    seed: Seed = 0,
    limit: Limit = None,
    write_scores: Annotated[bool, "Write the scores to the model files."] = False,
) -> Result:
    """Return one row per set and model."""
    files = models or tuple(info.name for info in bayesr.models())
    found = measured(files if against in files else (against, *files))
    (other,) = [one.label for one in found if one.file == against]
    check_protocol(data, [name for name in sets if name in PUBLISHED])
    scores = {name: _of_set(name, found, data, n, seed, limit) for name in sets}
    if write_scores:
        for one in found:
            if one.file in files:
                store_scores(locate(one.file), _stored(one.label, scores, n, seed))
    notes = {
        "models": ", ".join(f"{one.label} {one.model.sha256[:12]}" for one in found),
        "differences": f"image by image, then averaged: better models than {against} have higher PSNR and lower CRPS",
    }
    return Result(rows_of(scores, other, {one.label: one.model.scale for one in found}), notes)


def _of_set(
    name: str, models: Sequence[Measured], data: Path, n: int, seed: int, limit: int | None
) -> dict[str, Scores]:
    """Return the scores of all models that can sample the images of a set."""
    found = {}
    for one in models:
        pictures = list(read_set(data, name, one.model.scale, limit).values())
        if all(takes(one.model, picture) for picture in pictures):
            found[one.label] = measure(one.model, pictures, n, seed)
            click.echo(f"{name}: {one.label} done", err=True)
    return found


def _stored(label: str, scores: Mapping[str, Mapping[str, Scores]], n: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return the scores that a model file stores, by set."""
    about = {"n": n, "seed": seed, "estimators": ESTIMATORS}
    return {
        name: {"images": len(of_set[label]["PSNR"])} | about
        | {k: round(v, 4) for k, v in measures.averages(of_set[label]).items() if np.isfinite(v)}
        for name, of_set in scores.items()
        if label in of_set
    }  # fmt: skip
