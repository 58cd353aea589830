"""Score the nuclei that are found in each answer to low-resolution images.

    bayesr bench segmentation --data FOLDER --srgan MODEL --also "mean + std" SEGMENTER

One segmenter, trained on high-resolution images, sees the truth (the ceiling), an interpolation, one answer of a
trained SRGAN, and the mean, one member, and all members of a stochastic model; others, trained on means and standard
deviations, see these. Figures are of images; tests are paired over images.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import bayesr
from bayesr.errors import InvalidArgument, UnfamiliarInput
from bayesr.model.model import Model
from bayesr.resampling import resize
from bayesr.scoring.paired import compare, holm
from bayesr.segmentation import conformal
from bayesr.segmentation.evaluation import dice, object_f1
from bayesr.segmentation.probability_scores import brier, ece, reliability
from bayesr.segmentation.segmenter import Segmentation
from bayesr.segmentation.segmenter import load as load_segmenter
from bayesr_bench import measures
from bayesr_bench.nuclei_figure import Example, draw
from bayesr_bench.options import budget_option, data_option, models_option, out_option
from bayesr_bench.record import error_of_mean, record
from bayesr_bench.sets import Picture, labels, observe, read_set

ALL = "all members"
LEVEL = 0.9
OVERLAPS = (0.5, 0.6, 0.7, 0.8, 0.9)
FIGURES = {"Dice": 1, "F1 at 0.5": 1, "F1, mean": 1, "count error": -1, "Brier": -1, "ECE": -1}
"""What is compared, and whether more is better."""
TESTED = ("Dice", "F1, mean", "count error", "Brier")
BINS = 10
SPLITS = 500
"""Random halves of the images: one fits the count's interval, the other is counted."""

Array = NDArray[Any]
Row = dict[str, Any]


@dataclass
class Found:
    """What was measured, system by system: of every figure one value an image; and the reliability diagrams."""

    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    diagrams: dict[str, list[tuple[Array, Array, Array]]] = field(default_factory=dict)
    counts: list[tuple[float, float, float]] = field(default_factory=list)
    """Lower and upper end of the members' interval, and the truth."""

    def add(self, system: str, segmentation: Segmentation, mask: Array, count: float, labels: Array) -> None:
        """What a system says of an image, and the image's true labels."""
        truth = labels > 0
        f1 = object_f1(segmentation.labels, labels, OVERLAPS)  # type: ignore[arg-type]
        row = {"Dice": dice(mask, truth)} | {f"F1 at {t}": float(v) for t, v in zip(OVERLAPS, f1, strict=True)}
        row |= {"F1, mean": float(f1.mean()), "count error": abs(count - _count(labels))}
        row |= {"Brier": brier(segmentation.probability, truth), "ECE": ece(segmentation.probability, truth)}
        for name, value in row.items():
            self.figures.setdefault(system, {}).setdefault(name, []).append(value)
        self.diagrams.setdefault(system, []).append(reliability(segmentation.probability, truth, BINS))


def measure(
    found: Found, picture: Picture, labels: Array, systems: Mapping[str, Any], n: int, seed: int
) -> tuple[xr.Dataset, xr.Dataset]:
    """Segment every answer to a picture's low-resolution image; (the product, the segmentation of all members)."""
    model, srgan, segmenter, others = (systems[name] for name in ("model", "srgan", "segmenter", "others"))
    low = observe(picture.pixels, model.observation)
    high = picture.pixels.transpose(2, 0, 1).astype(np.float32)
    upsampled = resize(torch.from_numpy(low.transpose(2, 0, 1).astype(np.float32)), "bicubic", model.scale).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        ds = model.sample(low, n, seed=seed, level=LEVEL, dims="yxb", progress=False)
        images = {"high resolution": high, "bicubic": upsampled}
        if srgan is not None:
            answer = srgan.sample(low, 1, seed=seed, dims="yxb", progress=False)
            images["srgan"] = answer["mean"].to_numpy()
    images |= {"mean": ds["mean"].to_numpy(), "one member": ds["samples"].to_numpy()[0]}
    for name, image in images.items():
        one = segmenter(image, (0.0, 255.0))
        found.add(name, one, one.probability >= segmenter.threshold, _count(one.labels), labels)
    together = bayesr.segment(ds, segmenter, level=LEVEL, threshold=segmenter.threshold, progress=False)
    both = Segmentation(together["probability"].to_numpy(), together["labels"].to_numpy())
    found.add(ALL, both, together["mask"].to_numpy() > 0, float(together["count"]), labels)
    found.counts.append((float(together["count_lower"]), float(together["count_upper"]), _count(labels)))
    for name, other in others.items():
        one = other(np.concatenate([ds[variable].to_numpy() for variable in other.inputs]), (0.0, 255.0))
        found.add(name, one, one.probability >= other.threshold, _count(one.labels), labels)
    return ds, together


def _count(labels: Array | None) -> float:
    assert labels is not None
    return float(len(np.unique(labels[labels > 0])))


def covered(counts: Array, seed: int) -> dict[str, float]:
    """Share of images whose true count the members' interval holds: as it is, and conformalised on random halves.

    `counts` is image x (lower, upper, truth). With the coverage go the mean widths, and the standard deviation of the
    conformalised coverage over splits.
    """
    lower, upper, truth = counts.T
    row = {
        "members' interval": measures.coverage(truth, lower, upper),
        "its width": float(np.mean(upper - lower)),
    }
    if len(truth) // 2 < math.ceil(LEVEL / (1 - LEVEL)):
        return row  # too few images to conformalise with
    rng, shares, widths = np.random.default_rng(seed), [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(truth))
        fitted, kept = order[: len(order) // 2], order[len(order) // 2 :]
        model = conformal.fit(lower[fitted], upper[fitted], truth[fitted], level=LEVEL)
        low, high = model.apply(lower[kept], upper[kept])
        low, high = np.maximum(np.ceil(low), 0), np.floor(high)  # a count between them is no further in
        shares.append(np.mean((truth[kept] >= low) & (truth[kept] <= high)))
        widths.append(np.mean(high - low))
    row |= {"conformalised": float(np.mean(shares)), "conformalised ±": float(np.std(shares))}
    return row | {"width of that": float(np.mean(widths))}


def rows_of(found: Found) -> list[dict[str, Any]]:
    """A row a system: means over images, and their standard errors."""
    rows = []
    for system, figures in found.figures.items():
        row: dict[str, Any] = {"segmentation of": system}
        for name, values in figures.items():
            row[name] = float(np.mean(values))
            if name in FIGURES:
                row[f"{name} ±"] = error_of_mean(values)
        rows.append(row)
    return [{k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def comparisons(found: Found, seed: int) -> list[dict[str, Any]]:
    """All members against every other system, corrected for all these comparisons together."""
    pairs = [(ALL, other) for other in found.figures if other != ALL]
    rows: list[dict[str, Any]] = []
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
    return [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def peak(side: int, model: str, segmenter: str, n: int) -> tuple[float, float]:
    """Peak MiB of a whole process that samples and segments an image of side x side pixels, and its seconds."""
    code = f"""
import resource, time, numpy as np, PIL.Image, bayesr
tile = np.asarray(PIL.Image.open({str(Path(bayesr.__file__).parent / "examples" / "nuclei-x4.png")!r}))
times = -(-{side} // min(tile.shape))
image = np.tile(tile, (times, times))[:{side}, :{side}]
begun = time.perf_counter()
bayesr.segment(image, {segmenter!r}, model={model!r}, n={n}, store="s.zarr", progress=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, time.perf_counter() - begun)
"""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-W", "ignore", "-c", code]
        said = subprocess.run(run, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
    size, taken = map(float, said.split())
    return size, taken


def true_labels(data: Path, name: str, size: tuple[int, ...]) -> Array:
    """The label image of a picture of the set of nuclei, cropped as the picture was."""
    import PIL.Image

    path = data / "dsb2018" / "labels" / f"{name}.png"
    if not path.is_file():
        raise InvalidArgument(f"There is no label image {path}: labels lie beside the images, under the same names.")
    with PIL.Image.open(path) as picture:
        return np.asarray(picture, np.int64)[: size[0], : size[1]]


def study(data: Path, systems: Mapping[str, Any], n: int, seed: int, limit: int | None) -> tuple[Found, Example | None]:
    """(what was measured of the set of nuclei, the image on which members disagree most, for the figure)."""
    pictures = dict(list(read_set(data, "nuclei").items())[:limit])
    truths = {file: true_labels(data, file, p.pixels.shape) for file, p in pictures.items()}
    found, example, most = Found(), None, -1.0
    for file, picture in pictures.items():
        ds, together = measure(found, picture, truths[file], systems, n, seed)
        if float(together["mutual_information"].mean()) > most:  # where members disagree most there is most to see
            most = float(together["mutual_information"].mean())
            example = picture.pixels[..., 0], ds, together, truths[file]
        click.echo(f"{file}: Dice {found.figures[ALL]['Dice'][-1]:.3f}", err=True)
    return found, example


def about(found: Found, drawer: Model, seed: int) -> Row:
    """What a table says of a model's members, and of the intervals of their counts."""
    counts = covered(np.array(found.counts), seed)
    return {
        "images": f"{len(found.counts)} fluorescence images of nuclei (DSB 2018), observed x{drawer.scale}",
        "members": f"of {drawer.name} {drawer.sha256[:12]}",
        "counts": f"{LEVEL:.0%} intervals, {SPLITS} random halves: "
        + ", ".join(f"{name} {value:.3g}" for name, value in counts.items()),
    }


@click.command()
@data_option
@models_option("fluorescence-x4")
@budget_option(limit=8, n=8)
@click.option("--srgan", type=click.Path(path_type=Path, exists=True), help="A trained srgan to compare with.")
@click.option("--segmenter", default="nuclei", show_default=True, help="Sees every answer.")
@click.option(
    "--also", multiple=True, type=(str, click.Path(path_type=Path, exists=True)), metavar="LABEL SEGMENTER",
    help="One that was trained on a product's variables, such as its mean and std.",
)  # fmt: skip
@click.option("-n", default=32, show_default=True, help="Members, at least 2.")
@click.option("--memory", "sides", multiple=True, type=int, help="Measure memory of images of this side too.")
@click.option("--limit", type=click.IntRange(min=1), help="Images, for a quick look.")
@click.option("--seed", default=0, show_default=True)
@click.option("--name", default="segmentation", show_default=True, help="Of the tables.")
@out_option
def command(
    data: Path,
    models: tuple[str, ...],
    budget: str,
    srgan: Path | None,
    segmenter: str,
    also: tuple[tuple[str, Path], ...],
    n: int,
    sides: tuple[int, ...],
    limit: int | None,
    seed: int,
    name: str,
    out: Path,
) -> None:
    """What nuclei are found in each answer to their low-resolution images, and how surely."""
    files = list(dict.fromkeys(models))
    drawers, finder = [bayesr.load(file) for file in files], load_segmenter(segmenter)
    for drawer in drawers:
        if drawer.bands != 1:
            raise InvalidArgument(f"{drawer.name} takes {drawer.bands} bands, and nuclei are grey images.")
    rival: Model | None = bayesr.load(srgan) if srgan else None
    others = {label: load_segmenter(path) for label, path in also}
    for label, other in others.items():
        if other.inputs == ("member",):
            raise InvalidArgument(
                f"{label}: {other.name} sees images, no variables of a product: give it as --segmenter."
            )
    facts: Row = {
        "segmenter": f"{finder.name} {finder.sha256[:12]}, trained on {finder.card.get('data')}",
        "srgan": "not given"
        if rival is None
        else f"{rival.card.get('processor_seconds')} processor seconds of training",
        "others": "; ".join(f"{k}: {v.name} {v.sha256[:12]}, sees {', '.join(v.inputs)}" for k, v in others.items()),
    }
    rows, tests = [], []
    for label, file, drawer in zip(labels(drawers), files, drawers, strict=True):
        systems = {"model": drawer, "srgan": rival, "segmenter": finder, "others": others}
        own = {"model": label} if len(files) > 1 else {}
        suffix = f", {label}" if own else ""
        found, example = study(data, systems, n, seed, limit)
        facts |= {f"{key}{suffix}": value for key, value in about(found, drawer, seed).items()}
        for side in sides:
            size, taken = peak(side, file, segmenter, n)
            sampled = side * drawer.scale
            facts[f"sampling and segmenting {side}x{side} pixels to {sampled}x{sampled}{suffix}"] = (
                f"{size:.0f} MiB at the peak, whole process; {taken:.0f} s"
            )
        rows += [own | row for row in rows_of(found)]
        tests += [own | row for row in comparisons(found, seed)]
        if find_spec("matplotlib") is not None and example is not None:
            out.mkdir(parents=True, exist_ok=True)
            draw(
                found.diagrams,
                ("bicubic", "mean", ALL),
                example,
                out / f"{name}{'-' * bool(own)}{label * bool(own)}.png",
            )
    how = (
        "means over images, ± their standard errors; F1 of objects matched at an overlap (intersection over union) of "
        "0.5 to 0.9; count error absolute; Brier and ECE (15 bins) of the probability at every pixel; of "
        f"{ALL} the mean probability, objects that half of the members see, mean count"
    )
    record(name, rows, facts, out, seed=seed, n=n, estimators=how)
    test = (
        "Wilcoxon signed-rank over images, two-sided; Holm over all rows; effect: matched-pairs rank-biserial "
        "correlation; from, to: 95% bootstrap interval of the mean difference"
    )
    record(f"{name}-tests", tests, facts, out, seed=seed, n=n, estimators=test)
