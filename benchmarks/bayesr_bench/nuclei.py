"""Segmentation of nuclei in images that were super-resolved in different ways, for `bayesr bench segmentation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image
import torch
import xarray as xr
from numpy.typing import NDArray

import bayesr
from bayesr.calibration.intervals import images_for
from bayesr.errors import InvalidArgument
from bayesr.model.model import Model
from bayesr.resampling import resize
from bayesr.segmentation import conformal
from bayesr.segmentation.evaluation import dice, object_f1
from bayesr.segmentation.probability_scores import brier, ece, reliability
from bayesr.segmentation.segmenter import Segmentation, Segmenter
from bayesr_bench import measures
from bayesr_bench.nuclei_figure import Diagram, Example
from bayesr_bench.sets import Picture, observe, read_set, sample

ALL = "all members"
LEVEL = 0.9
OVERLAPS = (0.5, 0.6, 0.7, 0.8, 0.9)
BINS = 10
"""Bins of reliability diagrams."""
SPLITS = 500
"""Random halves of the images: one half fits the interval of the count, the other half measures its coverage."""
RANGE = (0.0, 255.0)

Array = NDArray[Any]


@dataclass(frozen=True)
class Systems:
    """The models and segmenters that are compared.

    Attributes
    ----------
    model : Model
        Draws the members.
    srgan : Model or None
        A trained SRGAN.
    segmenter : Segmenter
        Segments images.
    others : mapping
        By name, segmenters of variables of a product, such as its mean and std.
    """

    model: Model
    srgan: Model | None
    segmenter: Segmenter
    others: Mapping[str, Segmenter]


@dataclass
class Found:
    """Measurements, by system.

    Attributes
    ----------
    figures : dict
        For each system and figure, one value per image.
    diagrams : dict
        For each system, one reliability diagram per image.
    counts : list
        For each image, the bounds of the members' interval of the count, and the true count.
    """

    figures: dict[str, measures.Scores] = field(default_factory=dict)
    diagrams: dict[str, list[Diagram]] = field(default_factory=dict)
    counts: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, system: str, segmentation: Segmentation, mask: Array, count: float, labels: Array) -> None:
        """Compare a system's segmentation, mask and count with the true labels of an image."""
        truth = labels > 0
        f1 = object_f1(segmentation.labels, labels, OVERLAPS)  # type: ignore[arg-type]
        row = {"Dice": dice(mask, truth)} | {f"F1 at {t}": float(v) for t, v in zip(OVERLAPS, f1, strict=True)}
        row |= {"F1, mean": float(f1.mean()), "count error": abs(count - count_objects(labels))}
        row |= {"Brier": brier(segmentation.probability, truth), "ECE": ece(segmentation.probability, truth)}
        for name, value in row.items():
            self.figures.setdefault(system, {}).setdefault(name, []).append(value)
        self.diagrams.setdefault(system, []).append(reliability(segmentation.probability, truth, BINS))

    def add_image(self, system: str, segmenter: Segmenter, image: Array, labels: Array) -> None:
        """Segment an image, ``band x y x x`` in grey levels, and compare the result with the true labels."""
        found = segmenter(image, RANGE)
        self.add(system, found, found.probability >= segmenter.threshold, count_objects(found.labels), labels)


def count_objects(labels: Array | None) -> float:
    """Return the number of objects in a label image."""
    assert labels is not None
    return float(len(np.unique(labels[labels > 0])))


def measure(
    found: Found, picture: Picture, labels: Array, systems: Systems, n: int, seed: int
) -> tuple[xr.Dataset, xr.Dataset]:
    """Segment a picture and everything that is computed from its low-resolution image, and add the results to `found`.

    Parameters
    ----------
    found : Found
    picture : Picture
        The high-resolution image.
    labels : ndarray
        Its true labels, ``y x x``.
    systems : Systems
    n, seed : int
        Number of members, and their seed.

    Returns
    -------
    Dataset
        The product.
    Dataset
        The segmentation of all members.
    """
    model, segmenter = systems.model, systems.segmenter
    low = observe(picture.pixels, model.forward_operator)
    images = {
        "high resolution": picture.pixels.transpose(2, 0, 1).astype(np.float32),
        "bicubic": resize(torch.from_numpy(low.transpose(2, 0, 1).astype(np.float32)), "bicubic", model.scale).numpy(),
    }
    ds = sample(model, low, n, seed=seed, level=LEVEL)
    if systems.srgan is not None:
        images["srgan"] = sample(systems.srgan, low, 1, seed=seed)["mean"].to_numpy()
    images |= {"mean": ds["mean"].to_numpy(), "one member": ds["samples"].to_numpy()[0]}
    for name, image in images.items():
        found.add_image(name, segmenter, image, labels)
    together = bayesr.segment(ds, segmenter, level=LEVEL, threshold=segmenter.threshold, progress=False)
    both = Segmentation(together["probability"].to_numpy(), together["labels"].to_numpy())
    found.add(ALL, both, together["mask"].to_numpy() > 0, float(together["count"]), labels)
    found.counts.append((float(together["count_lower"]), float(together["count_upper"]), count_objects(labels)))
    for name, other in systems.others.items():
        found.add_image(name, other, np.concatenate([ds[variable].to_numpy() for variable in other.inputs]), labels)
    return ds, together


def study(data: Path, systems: Systems, n: int, seed: int, limit: int | None) -> tuple[Found, Example | None]:
    """Measure all systems on the set of nuclei.

    Returns
    -------
    Found
    Example or None
        For the figure, the image on which the members disagree most.
    """
    pictures = read_set(data, "nuclei", limit=limit)
    truths = {file: true_labels(data, file, picture.pixels.shape) for file, picture in pictures.items()}
    found, example, most = Found(), None, -1.0
    for file, picture in pictures.items():
        ds, together = measure(found, picture, truths[file], systems, n, seed)
        disagreement = float(together["mutual_information"].mean())
        if disagreement > most:
            most, example = disagreement, (picture.pixels[..., 0], ds, together, truths[file])
        click.echo(f"{file}: Dice {found.figures[ALL]['Dice'][-1]:.3f}", err=True)
    return found, example


def true_labels(data: Path, name: str, size: tuple[int, ...]) -> Array:
    """Read the label image of a nuclei picture, and crop it to the size of the picture.

    Raises
    ------
    InvalidArgument
        If there is no such file.
    """
    path = data / "dsb2018" / "labels" / f"{name}.png"
    if not path.is_file():
        raise InvalidArgument(
            f"There is no label image {path}: the folder labels must hold a file for every file in the folder images "
            "beside it, with the same name."
        )
    with PIL.Image.open(path) as picture:
        return np.asarray(picture, np.int64)[: size[0], : size[1]]


def count_coverage(counts: Array, seed: int) -> dict[str, float]:
    """Return coverage and mean width of the count's interval, as the members give it and conformalised.

    The conformal interval is fitted on one half of the images and measured on the other.

    Parameters
    ----------
    counts : ndarray
        For each image, lower bound, upper bound and truth, ``image x 3``.
    seed : int
        Seed of the random halves.

    Returns
    -------
    dict
        ``conformalised ±`` is the standard deviation over the random halves. Half of the images may be too few for a
        conformal interval; the figures of that are left out then.
    """
    lower, upper, truth = counts.T
    row = {"members' interval": measures.coverage(truth, lower, upper), "its width": measures.width(lower, upper)}
    if len(truth) // 2 < images_for(LEVEL):
        return row
    rng, shares, widths = np.random.default_rng(seed), [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(truth))
        fitted, measured = order[: len(order) // 2], order[len(order) // 2 :]
        widening = conformal.fit(lower[fitted], upper[fitted], truth[fitted], level=LEVEL)
        low, high = widening.apply(lower[measured], upper[measured])
        low, high = np.maximum(np.ceil(low), 0), np.floor(high)  # counts are whole numbers
        shares.append(measures.coverage(truth[measured], low, high))
        widths.append(measures.width(low, high))
    row |= {"conformalised": float(np.mean(shares)), "conformalised ±": float(np.std(shares))}
    return row | {"width of that": float(np.mean(widths))}


def about(found: Found, model: Model, seed: int) -> dict[str, str]:
    """Return the facts about the images, a model's members, and the intervals of their counts."""
    counts = count_coverage(np.array(found.counts), seed)
    return {
        "images": f"{len(found.counts)} fluorescence images of nuclei (DSB 2018), downsampled x{model.scale}",
        "members": f"of {model.name} {model.sha256[:12]}",
        "counts": f"{LEVEL:.0%} intervals, {SPLITS} random halves: "
        + ", ".join(f"{name} {value:.3g}" for name, value in counts.items()),
    }
