"""The figure of `bayesr bench segmentation`: nuclei, what members disagree about, and reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Array = NDArray[Any]
Diagrams = Mapping[str, list[tuple[Array, Array, Array]]]
"""By system, a reliability diagram an image: mean probability, share of foreground and pixels, by bin."""
Example = tuple[Array, xr.Dataset, xr.Dataset, Array]
"""The high-resolution image, the product, the segmentation of all members, and the true labels."""


def draw(diagrams: Diagrams, systems: Sequence[str], example: Example, path: Path) -> None:
    """Write the figure: one image through the segmenter, and the reliability diagrams of some systems."""
    from matplotlib.figure import Figure

    high, ds, together, labels = example
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    panels = figure.subplots(2, 4).ravel()
    images = {
        "truth": (high, "gray"),
        "mean": (ds["mean"].to_numpy()[0], "gray"),
        "std": (ds["std"].to_numpy()[0], "magma"),
        "true objects": (np.where(labels > 0, labels * 7 % 19 + 1, 0), "nipy_spectral"),
        "probability": (together["probability"].to_numpy(), "viridis"),
        "mutual information, nats": (together["mutual_information"].to_numpy(), "magma"),
        "objects, by existence": (_existence(together), "viridis"),
    }
    for panel, (title, (image, colours)) in zip(panels, images.items(), strict=False):
        shown = panel.imshow(image, cmap=colours, interpolation="nearest")
        panel.set(title=title, xticks=[], yticks=[])
        if title in ("std", "probability", "mutual information, nats", "objects, by existence"):
            figure.colorbar(shown, ax=panel, shrink=0.8)
    last = panels[-1]
    last.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for system in systems:
        predicted, share = pooled(diagrams[system])
        last.plot(predicted, share, marker="o", markersize=3, label=system)
    last.set(title="reliability, all images", xlabel="probability", ylabel="share that is nucleus", aspect="equal")
    last.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def pooled(diagrams: list[tuple[Array, Array, Array]]) -> tuple[Array, Array]:
    """(mean probability, share of foreground) by bin, over the pixels of all images; empty bins left out."""
    pixels = np.sum([d[2] for d in diagrams], 0)
    sums = [np.sum([np.nan_to_num(d[part]) * d[2] for d in diagrams], 0) for part in (0, 1)]
    return sums[0][pixels > 0] / pixels[pixels > 0], sums[1][pixels > 0] / pixels[pixels > 0]


def _existence(together: xr.Dataset) -> Array:
    shares = np.concatenate([[np.nan], together["existence"].to_numpy()])
    found: Array = shares[together["labels"].to_numpy()]
    return found
