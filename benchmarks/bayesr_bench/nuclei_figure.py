"""The figure of `bayesr bench segmentation`: nuclei, where members disagree, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr_bench.record import save_figure

Array = NDArray[Any]
Diagram = tuple[Array, Array, Array]
"""For each bin, the mean probability, the share of foreground, and the number of pixels."""
Example = tuple[Array, xr.Dataset, xr.Dataset, Array]
"""The high-resolution image, the product, the segmentation of all members, and the true labels."""

_WITH_SCALE = ("std", "probability", "mutual information, nats", "objects, by existence")


def draw(diagrams: Mapping[str, list[Diagram]], systems: Sequence[str], example: Example, path: Path) -> None:
    """Write the figure.

    Parameters
    ----------
    diagrams : mapping
        For each system, one reliability diagram per image.
    systems : sequence of str
        Systems whose diagrams are drawn.
    example : Example
        The image that is drawn.
    path : Path
        Its folder is made if necessary.
    """
    from matplotlib.figure import Figure  # optional package

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
        drawn = panel.imshow(image, cmap=colours, interpolation="nearest")
        panel.set(title=title, xticks=[], yticks=[])
        if title in _WITH_SCALE:
            figure.colorbar(drawn, ax=panel, shrink=0.8)
    last = panels[-1]
    last.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for system in systems:
        predicted, share = pooled(diagrams[system])
        last.plot(predicted, share, marker="o", markersize=3, label=system)
    last.set(title="reliability, all images", xlabel="probability", ylabel="share that is nucleus", aspect="equal")
    last.legend(fontsize="small")
    save_figure(figure, path, dpi=100)


def pooled(diagrams: Sequence[Diagram]) -> tuple[Array, Array]:
    """Return mean probability and share of foreground by bin, over the pixels of all images, without empty bins."""
    pixels = np.sum([d[2] for d in diagrams], 0)
    sums = [np.sum([np.nan_to_num(d[part]) * d[2] for d in diagrams], 0) for part in (0, 1)]
    return sums[0][pixels > 0] / pixels[pixels > 0], sums[1][pixels > 0] / pixels[pixels > 0]


def _existence(together: xr.Dataset) -> Array:
    """Return an image with the existence probability of the object at every pixel, NaN in the background."""
    probabilities = np.concatenate([[np.nan], together["existence"].to_numpy()])
    found: Array = probabilities[together["labels"].to_numpy()]
    return found
