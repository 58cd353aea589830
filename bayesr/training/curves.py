"""Plots of training histories: losses, and scores on held-out images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bayesr.errors import InvalidArgument
from bayesr.files import write_atomically
from bayesr.training.history import Record

SCORES = {
    "psnr": "PSNR of the mean (dB), held out",
    "fair_crps": "fair CRPS / value range, held out",
    "spread_skill": "spread / skill, held out",
    "lpips": "LPIPS of members, held out",
}
NOT_LOSSES = {"step", "stage", "seconds", *SCORES}


@np.errstate(over="ignore", invalid="ignore")  # losses near the end of double precision
def draw(runs: Mapping[str, Sequence[Record]], path: str | Path) -> Path:
    """Plot the curves of trainings, and write them as an image.

    Colours distinguish losses, line styles trainings. Vertical lines mark the ends of the first training's stages. This
    needs Matplotlib (the extra ``report``).

    Parameters
    ----------
    runs : mapping of str to sequence of dict
        Histories by name of training.
    path : path
        Image file, whose suffix determines the format; PNG without one.

    Raises
    ------
    InvalidArgument
        If Matplotlib does not know the format.
    StoreFailed
        If the file cannot be written.
    """
    from matplotlib.figure import Figure  # optional: the extra `report`

    scores = [name for name in SCORES if any(name in record for records in runs.values() for record in records)]
    figure = Figure(figsize=(8, 2.6 * (1 + len(scores))), layout="constrained")
    panels = figure.subplots(1 + len(scores), 1, sharex=True, squeeze=False)[:, 0]
    losses: dict[str, str] = {}
    for number, (run, records) in enumerate(runs.items()):
        style = ("-", "--", ":", "-.")[number % 4]
        for name in dict.fromkeys(name for record in records for name in record if name not in NOT_LOSSES):
            label = "" if name in losses else name
            colour = losses.setdefault(name, f"C{len(losses) % 10}")
            panels[0].plot(*_series(records, name), style, color=colour, label=label, linewidth=1)
        for panel, name in zip(panels[1:], scores, strict=True):
            if any(name in record for record in records):
                panel.plot(*_series(records, name), style, color=f"C{number % 10}", label=run, linewidth=1)
    panels[0].set(ylabel="losses, weighted", yscale="log")
    if losses:
        panels[0].legend(fontsize="x-small", ncols=3)
    for panel, name in zip(panels[1:], scores, strict=True):
        panel.set(ylabel=SCORES[name])
        if len(runs) > 1:
            panel.legend(fontsize="x-small")
    first = next(iter(runs.values()))
    changes = [b["step"] for a, b in pairwise(first) if a.get("stage") != b.get("stage")]
    for panel in panels:
        panel.grid(alpha=0.3)
        for step in changes:
            panel.axvline(step, color="0.6", linewidth=0.8)
    panels[-1].set(xlabel="step")
    return _save(figure, Path(path))


def _save(figure: Any, path: Path) -> Path:
    file_format, supported = path.suffix.removeprefix(".").lower() or "png", figure.canvas.get_supported_filetypes()
    if file_format not in supported:
        raise InvalidArgument(f"Curves cannot be drawn as {path.name}: choose one of {', '.join(sorted(supported))}.")
    encoded = io.BytesIO()
    figure.savefig(encoded, dpi=120, format=file_format)
    write_atomically(path, encoded.getvalue())
    return path


def _series(records: Sequence[Record], name: str) -> tuple[list[int], list[float]]:
    with_value = [record for record in records if name in record]
    return [record["step"] for record in with_value], [record[name] for record in with_value]
