"""Score the nuclei that are found in super-resolved images.

    bayesr bench segmentation --data FOLDER --srgan MODEL --also "mean + std" SEGMENTER

Low-resolution images of nuclei are super-resolved in several ways, and one segmenter, trained on high-resolution
images, segments each result: the truth (an upper bound), an interpolation, the image of a trained SRGAN, and the
mean, one member, and all members of a stochastic model. Other segmenters take means and standard deviations, on which
they were trained. Figures are means over images, and tests are paired over images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.model.model import Model
from bayesr.segmentation.segmenter import Segmenter
from bayesr.segmentation.segmenter import load as load_segmenter
from bayesr_bench.harness import Result, option, significant, table
from bayesr_bench.models import by_model, measured
from bayesr_bench.nuclei import ALL, Found, Systems, about, study
from bayesr_bench.nuclei_figure import draw
from bayesr_bench.options import SRGAN, Data, Limit, Members, Models, Seed
from bayesr_bench.paired import compare, holm
from bayesr_bench.processes import run_code
from bayesr_bench.record import error_of_mean

FIGURES = {"Dice": 1, "F1 at 0.5": 1, "F1, mean": 1, "count error": -1, "Brier": -1, "ECE": -1}
"""Figures with a standard error, and the sign of their direction: 1 where larger values are better."""
TESTED = ("Dice", "F1, mean", "count error", "Brier")

Row = dict[str, Any]


def rows_of(found: Found) -> list[Row]:
    """Return one row per system: means over images, and their standard errors."""
    rows = []
    for system, figures in found.figures.items():
        row: Row = {"segmentation of": system}
        for name, values in figures.items():
            row[name] = round(float(np.mean(values)), 5)
            if name in FIGURES:
                row[f"{name} ±"] = round(error_of_mean(values), 5)
        rows.append(row)
    return rows


def comparisons(found: Found, seed: int) -> list[Row]:
    """Compare all members with every other system, with p-values corrected for all these comparisons together."""
    pairs = [(ALL, other) for other in found.figures if other != ALL]
    rows: list[Row] = []
    for figure in TESTED:
        for one in compare({name: figures[figure] for name, figures in found.figures.items()}, pairs, seed=seed):
            verdict = "better" if one.difference * FIGURES[figure] > 0 else "worse"
            rows.append(
                {
                    "figure": figure, "all members against": one.second, "difference": one.difference, "from": one.low,
                    "to": one.high, "effect": one.effect, "p": one.p, "all members are": verdict,
                }
            )  # fmt: skip
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p, Holm"] = float(p)
    rounded = significant(4)
    return [{k: rounded(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


_PEAK = """
import numpy as np, PIL.Image, bayesr
tile = np.asarray(PIL.Image.open(given["tile"]))
side, times = given["side"], -(-given["side"] // min(tile.shape))
image = np.tile(tile, (times, times))[:side, :side]
begun = time.perf_counter()
bayesr.segment(image, given["segmenter"], model=given["model"], n=given["n"], store="s.zarr", progress=True)
print(json.dumps((peak(), time.perf_counter() - begun)))
"""


def peak(side: int, model: str, segmenter: str, n: int) -> tuple[float, float]:
    """Return peak MiB and seconds of a process that samples and segments an image of side x side pixels."""
    tile = str(Path(bayesr.__file__).parent / "examples" / "nuclei-x4.png")
    with tempfile.TemporaryDirectory() as folder:
        size, taken = run_code(_PEAK, Path(folder), tile=tile, side=side, model=model, segmenter=segmenter, n=n)
    return size, taken


def facts_of(finder: Segmenter, srgan: Model | None, others: dict[str, Segmenter]) -> dict[str, str]:
    """Return the facts about the segmenters and the SRGAN."""
    seconds = None if srgan is None else srgan.card.get("processor_seconds")
    return {
        "segmenter": f"{finder.name} {finder.sha256[:12]}, trained on {finder.card.get('data')}",
        "srgan": "not given" if srgan is None else f"{seconds} processor seconds of training",
        "others": "; ".join(f"{k}: {v.name} {v.sha256[:12]}, takes {', '.join(v.inputs)}" for k, v in others.items()),
    }


@table(
    renamed=True,
    small={"limit": 8, "n": 8},
    estimators="means over images, ± their standard errors; F1 of objects matched at an overlap (intersection over "
    "union) of 0.5 to 0.9; count error absolute; Brier and ECE (15 bins) of the probability at every pixel; of "
    f"{ALL} the mean probability, objects that half of the members have, mean count",
)
def command(
    name: str,
    out: Path,
    data: Data,
    models: Models = ("fluorescence-x4",),
    srgan: SRGAN = None,
    segmenter: Annotated[str, "Segments every super-resolved image."] = "nuclei",
    also: Annotated[
        tuple[tuple[str, Path], ...],
        option(
            type=(str, click.Path(path_type=Path, exists=True)),
            metavar="LABEL SEGMENTER",
            help="A segmenter that was trained on variables of a product, such as its mean and std.",
        ),
    ] = (),
    n: Members = 32,
    sides: Annotated[tuple[int, ...], option("--memory", help="Measure memory for images of this side, too.")] = (),
    limit: Limit = None,
    seed: Seed = 0,
) -> Iterator[Result]:
    """Yield the table of figures, then that of tests; write a figure for each model."""
    drawers, finder = measured(models, bands=1), load_segmenter(segmenter)
    baseline = bayesr.load(srgan) if srgan else None
    others = {label: load_segmenter(path) for label, path in also}
    for label, other in others.items():
        if other.inputs == ("member",):
            raise InvalidArgument(
                f"{label}: {other.name} takes images, not variables of a product: give it as --segmenter."
            )
    notes, found = facts_of(finder, baseline, others), {}
    for one in drawers:
        suffix = f", {one.label}" if len(drawers) > 1 else ""
        found[one.label], example = study(data, Systems(one.model, baseline, finder, others), n, seed, limit)
        notes |= {f"{key}{suffix}": fact for key, fact in about(found[one.label], one.model, seed).items()}
        for side in sides:
            size, taken = peak(side, one.file, segmenter, n)
            sampled = side * one.model.scale
            notes[f"sampling and segmenting {side}x{side} pixels to {sampled}x{sampled}{suffix}"] = (
                f"{size:.0f} MiB at the peak, whole process; {taken:.0f} s"
            )
        if find_spec("matplotlib") is not None and example is not None:
            file = f"{name}-{one.label}.png" if len(drawers) > 1 else f"{name}.png"
            draw(found[one.label].diagrams, ("bicubic", "mean", ALL), example, out / file)
    yield Result(by_model(drawers, lambda one: rows_of(found[one.label])), notes)
    test = (
        "Wilcoxon signed-rank over images, two-sided; Holm over all rows; effect: matched-pairs rank-biserial "
        "correlation; from, to: 95% bootstrap interval of the mean difference"
    )
    tests = by_model(drawers, lambda one: comparisons(found[one.label], seed))
    yield Result(tests, notes, suffix="-tests", estimators=test)
