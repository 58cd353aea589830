"""Score models on images that were blurred, made noisy and compressed, by kind and strength.

    bayesr bench degraded --data FOLDER

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), and nuclei in ``dsb2018/images``. Images are blurred, reduced by 4
(bicubic), and made noisy or compressed: by one kind of a given strength, or by all kinds, drawn at random. The first
model of a set, or the one that ``--model`` names, is compared image by image with the others and with bicubic
interpolation. p is that of Wilcoxon's signed-rank test that it is no better, corrected by Holm's procedure over all
rows of a set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import click
import numpy as np
import torch

from bayesr.observe import bicubic
from bayesr.training.degradation import Degradation
from bayesr_bench import measures
from bayesr_bench.harness import Result, decimals, table
from bayesr_bench.measures import Scores
from bayesr_bench.models import Measured, checksums, measured
from bayesr_bench.options import Data, Limit, Members, Seed, sets_of
from bayesr_bench.paired import holm, wilcoxon
from bayesr_bench.protocol import psnr, upsample
from bayesr_bench.scores import forecast_scores
from bayesr_bench.sets import SCALE, Picture, answer_of_pair, read_set

LEVEL = 0.9
BICUBIC = "bicubic"
GREY = 1 / 255
BLUR, NOISE, PHOTON, JPEG = 3.6, 15 * GREY, 0.02, (40, 100)
"""The strongest blur (0.9 low-resolution pixels), noise, photon noise, and the range of JPEG qualities."""


@dataclass(frozen=True)
class Study:
    """A set of images: the model that suits them best, those to compare with, and degradations by name."""

    model: str
    others: tuple[str, ...]
    cells: Mapping[str, Degradation]


def _fixed(**strengths: float) -> Degradation:
    return Degradation(**{name: (value, value) for name, value in strengths.items()})  # type: ignore[arg-type]


STUDIES = {
    "bsd100": Study(
        "camera-x4",
        ("natural-x4",),
        {
            "none": Degradation(),
            **{f"blur {sigma / SCALE:g} px": _fixed(blur=sigma) for sigma in (1.2, 2.4, BLUR)},
            **{f"noise {grey:g}/255": _fixed(noise=grey * GREY) for grey in (5, 10, 15)},
            **{f"JPEG {quality}": _fixed(jpeg=quality) for quality in (40, 70, 95)},
            "all": Degradation(blur=(0, BLUR), noise=(0, NOISE), jpeg=JPEG),
        },
    ),
    "nuclei": Study(
        "microscopy-x4",
        ("fluorescence-x4", "natural-x4"),
        {
            "none": Degradation(),
            f"blur {BLUR / SCALE:g} px": _fixed(blur=BLUR),
            "read noise 2%": _fixed(noise=0.02),
            "read noise 4%": _fixed(noise=0.04),
            "200 photons": _fixed(photon=1 / 200),
            "50 photons": _fixed(photon=PHOTON),
            "all, 8 bits": Degradation(blur=(0, BLUR), noise=(0, 0.04), photon=(0, PHOTON)),
            "all, 16 bits": Degradation(blur=(0, BLUR), noise=(0, 0.04), photon=(0, PHOTON), bits=(16, 16)),
        },
    ),
}


def pairs_of(pictures: Sequence[Picture], degradation: Degradation, seed: int) -> list[tuple[Any, Any]]:
    """Return (low, high) of every picture, of 8 bits, or of 16 where the degradation rounds to as many."""
    random = torch.Generator().manual_seed(seed)
    pairs = [degradation.pair(picture.pixels, bicubic(SCALE), random) for picture in pictures]
    if degradation.eight_bits:
        return pairs
    return [((low * 65535).round().astype(np.uint16), (high * 65535).round().astype(np.uint16)) for low, high in pairs]


def figures_of(one: Measured | None, low: Any, high: Any, grey: bool, n: int, seed: int) -> dict[str, float]:
    """Return the figures of a model, or of bicubic interpolation, for one image."""
    if one is None:
        unit = 257 if low.dtype == np.uint16 else 1
        mean, truth = upsample(low / unit), high / unit
        row = {"PSNR": psnr(mean, truth, grey), "fair CRPS": float(np.abs(mean - truth).mean())}
        return row | dict.fromkeys(("covered", "width", "spread/skill"), float("nan"))
    return forecast_scores(answer_of_pair(one.model, low, high, n, seed, LEVEL), grey)


def rows_of(scores: Mapping[tuple[str, str], Scores], best: str, label: str) -> list[dict[str, Any]]:
    """Return one row per degradation and model; p-values are of the model `best` against that of the row."""
    tests: dict[tuple[str, str, str], float] = {}
    for (cell, model), found in scores.items():
        own = scores[cell, best]
        if model != best:
            for figure, sign in (("PSNR", 1), ("fair CRPS", -1)):
                gain = sign * np.subtract(own[figure], found[figure])
                tests[cell, model, figure] = wilcoxon(gain, "greater")
    corrected = dict(zip(tests, holm(list(tests.values())).tolist(), strict=True)) if tests else {}
    rows = []
    for (cell, model), found in scores.items():
        row = {"set": label, "degradation": cell, "model": model} | measures.averages(found)
        for figure in ("PSNR", "fair CRPS"):
            row[f"p, {figure}"] = corrected.get((cell, model, figure), float("nan"))
        rows.append(row)
    return rows


@table(
    renamed=True,
    rounding=decimals(5),
    small={"limit": 2, "n": 8},
    estimators="PSNR of the mean: Y channel, of grey files the values, 4 pixels shaved; fair CRPS, of bicubic the "
    "absolute error; coverage of the 90% interval; grey levels, over all bands; averages over images, +- their "
    "standard error",
    notes={
        "p": "that the first model of a degradation is no better, one-sided Wilcoxon test, Holm over the set",
        "blur": "standard deviation of a Gaussian in low-resolution pixels, before the reduction",
        "all": f"blur up to {BLUR / SCALE:g} px; of photographs noise up to 15/255 and JPEG 40 to 100, of nuclei read "
        "noise up to 4% and 50 photons or more; uniform and independent",
    },
)
def command(
    data: Data,
    sets: Annotated[tuple[str, ...], sets_of(STUDIES)] = tuple(STUDIES),
    model: Annotated[str | None, "Model to compare with those of the set, by name or file."] = None,
    n: Members = 32,
    seed: Seed = 0,
    limit: Limit = 40,
) -> Result:
    """Return one row per set, degradation and model."""
    rows: list[dict[str, Any]] = []
    used: dict[str, Measured] = {}
    for name in sets:
        study = STUDIES[name]
        models = measured((*([model] if model else []), study.model, *study.others), scale=SCALE)
        used |= {one.label: one for one in models}
        pictures = list(read_set(data, name, limit=limit).values())
        scores: dict[tuple[str, str], Scores] = {}
        for cell, degradation in study.cells.items():
            pairs = list(zip(pairs_of(pictures, degradation, seed), pictures, strict=True))
            for one in (*models, None):
                found = [figures_of(one, low, high, picture.grey, n, seed) for (low, high), picture in pairs]
                scores[cell, BICUBIC if one is None else one.label] = measures.gathered(found)
            click.echo(f"{name}: {cell} done", err=True)
        rows += rows_of(scores, models[0].label, f"{name} ({len(pictures)})")
    return Result(rows, {"models": checksums(list(used.values())), "level": f"{LEVEL}"})
