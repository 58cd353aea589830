"""Score the retina vessels that are found in super-resolved images against two annotators.

    bayesr bench annotators --data FOLDER --keep MODELS
    bayesr bench vessels --data FOLDER --keep MODELS

The second command uses the U-Nets that the first one trained, each for the children that it was not trained on. Images
are downsampled to a quarter of their size by the model's forward operator, super-resolved, and downsampled to the size
that the U-Nets were trained at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.model.model import Model
from bayesr.resampling import resize
from bayesr.segmentation.agreement import agreement
from bayesr.segmentation.cases import Case
from bayesr.segmentation.fit import folds
from bayesr.segmentation.segmenter import Segmenter, load
from bayesr_bench import measures
from bayesr_bench.harness import Result, option, significant, table
from bayesr_bench.nuclei import ALL
from bayesr_bench.options import FOLDER, SRGAN, Data, Limit, Members, ModelName, Seed
from bayesr_bench.paired import compare
from bayesr_bench.retina import FACTOR, GREEN, colour_cases, downsampled, retina
from bayesr_bench.sets import sample
from bayesr_bench.tables.annotators import COLUMNS

BRIER = "Brier"
FIGURES = {
    name: COLUMNS[name] for name in ("QUBIQ Dice", "Dice", "energy distance", "correlation over marked pixels")
} | {BRIER: BRIER}
TESTED = ("Dice", "energy distance", BRIER)

Array = NDArray[Any]
Row = dict[str, Any]


def super_resolve(case: Case, model: Model, srgan: Model | None, n: int, seed: int) -> dict[str, Array]:
    """Downsample a colour image, and super-resolve it in all ways.

    Returns
    -------
    dict
        For each system, a stack of green bands, ``member x y x x``. The first is the image itself.
    """
    s = model.scale
    height, width = (size // s * s for size in case.image.shape[1:])
    high = torch.from_numpy(np.ascontiguousarray(case.image[:, :height, :width]))
    low = model.forward_operator.observe(high.double()).clamp(0, 255).round().to(torch.uint8)
    given = low.permute(1, 2, 0).numpy()
    found: dict[str, Array] = {
        "high resolution": high[GREEN][None].numpy(),
        "bicubic": resize(low.float(), "bicubic", s)[GREEN][None].numpy(),
    }
    ds = sample(model, given, n, seed=seed)
    if srgan is not None:
        found["srgan"] = sample(srgan, given, 1, seed=seed)["mean"].to_numpy()[[GREEN]]
    members = ds["samples"].to_numpy()[:, GREEN]
    return found | {"mean": ds["mean"].to_numpy()[[GREEN]], "one member": members[:1], ALL: members}


def figures_of(case: Case, segmenter: Segmenter, images: dict[str, Array]) -> list[Row]:
    """Segment the images of all systems; return, for each, how its masks agree with the annotators' masks."""
    rows = []
    for system, stack in images.items():
        maps = []
        for image in np.asarray(stack, np.float32):
            masks = case.masks[:, : image.shape[0], : image.shape[1]]
            small = downsampled(replace(case, image=image[None], masks=masks), FACTOR)
            maps.append(segmenter(small.image, case.value_range).probability)
        p = np.mean(maps, 0)
        drawn = np.stack(maps) >= segmenter.threshold
        figures = agreement(np.stack(maps), small.masks, p, drawn)
        figures[BRIER] = float(np.mean((p - (small.masks > 0)) ** 2))
        rows.append({"system": system, "case": case.name, "group": case.group} | figures)
    return rows


def rows_of(figures: Sequence[Row]) -> list[Row]:
    """Return one row per system: means, standard errors, and tests of all members against each other system."""
    systems = list(dict.fromkeys(one["system"] for one in figures))
    values = {
        column: {system: np.array([one[key] for one in figures if one["system"] == system]) for system in systems}
        for column, key in FIGURES.items()
    }
    others = [system for system in systems if system != ALL]
    tests = {
        name: {one.second: one.p_holm for one in compare(values[name], [(ALL, other) for other in others])}
        for name in TESTED
    }
    return [
        {"segmentation of": system, "images": len(values[BRIER][system])}
        | measures.averages({column: known[system].tolist() for column, known in values.items()})
        | {f"p, {name}": p_values.get(system, float("nan")) for name, p_values in tests.items()}
        for system in systems
    ]


@table(
    rounding=significant(4),
    estimators="against both annotators: Dice from probability 0.5 on; energy distance of the masks of all members (of "
    f"others, one mask); Brier against each annotator's pixels; ± standard error over images; of {ALL} the mean "
    "probability",
    notes={
        "segmenter": "the U-Nets of `bayesr bench annotators`, trained on high-resolution images of other children",
        "p": f"Wilcoxon signed-rank, {ALL} against the row's system, over images, Holm over the column",
    },
)
def command(
    data: Data,
    keep: Annotated[Path, option(type=FOLDER, help="Folder with the networks of `bayesr bench annotators`.")],
    model: Annotated[ModelName, "Model that draws the members, by name or file."] = "natural-x4",
    srgan: SRGAN = None,
    count: Annotated[int, option("--folds", help="Folds, as in the training of the networks.")] = 3,
    n: Members = 16,
    seed: Annotated[Seed, "Seed of the networks' training, and of the members."] = 0,
    limit: Annotated[Limit, "Images of each fold, for a quick look."] = None,
) -> Result:
    """Return one row per system."""
    drawer, baseline = bayesr.load(model), bayesr.load(srgan) if srgan else None
    if drawer.bands != 3:
        raise InvalidArgument(f"Retinas are colour images, and {drawer.name} takes {drawer.bands} band(s).")
    colour = {case.name: case for case in colour_cases(data)}
    splits = folds(retina(data), count, seed)
    segmenters = [_segmenter(keep, k, training) for k, (training, _) in enumerate(splits)]
    figures: list[Row] = []
    for (_, held_out), segmenter in zip(splits, segmenters, strict=True):
        for small in held_out[:limit]:
            case = replace(colour[small.name], group=small.group)
            figures += figures_of(case, segmenter, super_resolve(case, drawer, baseline, n, seed))
            click.echo(f"{case.name}: Dice of all members {figures[-1]['dice']:.3f}", err=True)
    notes = {
        "images": f"CHASE_DB1, {len(figures) // len({f['system'] for f in figures})} images, 2 annotators; downsampled "
        f"x{drawer.scale}, super-resolved, downsampled to 1/{FACTOR} of the size; {count} folds of children",
        "members": f"of {drawer.name} {drawer.sha256[:12]}, which is made for photographs",
    }
    return Result(rows_of(figures), notes)


def _segmenter(keep: Path, k: int, training: Sequence[Case]) -> Segmenter:
    """Load the U-Net of the k-th fold, and check that it was trained on the children of that fold."""
    found = load(keep / f"u-net-{k}.safetensors")
    if {case.name for case in training} != set(found.card["terms"]["images"]):
        raise InvalidArgument(
            f"{found.name} was trained on other children: give the --folds and the --seed of its training."
        )
    return found
