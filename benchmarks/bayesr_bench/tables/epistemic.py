"""Compare aleatoric and epistemic with the exact posterior variance, by training data and domain.

    bayesr bench epistemic

The posterior variance of Gaussian fields is known. ``bayes-srgan`` is trained for the same number of steps on more and
more scenes. It is then applied to fields like those of its training, and to fields of other domains. `aleatoric` should
equal the exact posterior variance. `epistemic` should fall with training data and rise on other domains, as the model's
error does: the squared distance of its mean from the exact posterior mean, which is known for such a problem only.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch

from bayesr_bench.harness import Result, table
from bayesr_bench.known_posterior import Entry, describe_training, flagship, train
from bayesr_bench.options import Members, Seed
from bayesr_bench.problems import DEVIATION, MIDDLE, GaussianField
from bayesr_bench.record import save_figure

SCENES = (64, 256, 1024, 4096)
"""Numbers of training scenes; the last row has scenes that never repeat."""
FIGURES = ("aleatoric", "epistemic", "error of the mean")


def domains(scenes: int, seed: int) -> dict[str, tuple[GaussianField, torch.Tensor]]:
    """Return, for each domain, its field and low-resolution images."""
    own = GaussianField()
    rough = replace(own, slope=1.5)
    low, low_rough = (field.batch(scenes, torch.Generator().manual_seed(seed))[0] for field in (own, rough))
    return {
        "own domain": (own, low),
        "rougher fields": (rough, low_rough),
        "three times the contrast": (own, MIDDLE + 3 * (low - MIDDLE)),
        "brighter by three standard deviations": (own, low + 3 * DEVIATION),
    }


def measure(problem: GaussianField, steps: int, scenes: int, n: int, seed: int) -> list[dict[str, Any]]:
    """Train on a problem, and return one row per domain."""
    model, _ = train(Entry("bayes-srgan", flagship, {"dropout": 0.02}), problem, steps, seed)
    exact = float(problem.posterior_variance.mean())
    rows = []
    for name, (field, low) in domains(scenes, seed + 1).items():
        products = [
            model.sample(y.numpy(), n, value_range=(0, 1), dims=("band", "y", "x"), seed=i) for i, y in enumerate(low)
        ]
        mean = np.stack([ds["mean"].to_numpy() for ds in products])
        parts = {part: float(np.mean([ds[part].mean() for ds in products])) for part in ("aleatoric", "epistemic")}
        error = float(np.mean((mean - field.posterior_mean(low).numpy()) ** 2))
        sampling = (parts["aleatoric"] + parts["epistemic"]) / n
        row = parts | {"error of the mean": max(error - sampling, 0.0)}
        rows.append(
            {"training scenes": problem.scenes or "endless", "input": name}
            | {figure: row[figure] / exact for figure in FIGURES}
        )
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the figure: one panel per column, one line per domain, over the number of training scenes."""
    from matplotlib.figure import Figure  # optional package

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    names = list(dict.fromkeys(row["input"] for row in rows))
    ticks = list(dict.fromkeys(str(row["training scenes"]) for row in rows))
    for panel, column in zip(panels, FIGURES, strict=True):
        for name in names:
            panel.plot(ticks, [row[column] for row in rows if row["input"] == name], marker="o", label=name)
        panel.set(title=column, xlabel="training scenes")
        panel.grid(alpha=0.3)
    panels[0].axhline(1, color="black", linewidth=0.8)
    panels[0].set(ylabel="over the exact posterior variance", ylim=(0, 1.15))
    panels[1].axhline(0, color="black", linewidth=0.8)
    for panel in panels[1:]:  # linear near zero, since an unbiased estimate of zero may be negative
        panel.set_yscale("symlog", linthresh=1e-3)
        panel.set_ylim(bottom=-1e-3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    save_figure(figure, path, dpi=110)


@table(
    estimators="unbiased variances of members, divided by the mean exact posterior variance of the own domain",
    notes={
        "error of the mean": "squared distance from the exact posterior mean, without the part that is due to sampling "
        "n members",
    },
)
def command(
    out: Path,
    steps: Annotated[int, "Training steps, for every number of scenes."] = 1500,
    scenes: Annotated[int, "Low-resolution images that are measured, per domain."] = 64,
    n: Members = 64,
    seed: Seed = 0,
) -> Result:
    """Return one row per number of training scenes and domain, and draw the figure."""
    if find_spec("matplotlib") is None:  # before the work, not after it
        raise click.ClickException("The figure needs matplotlib: pip install 'bayesr[report]'.")
    rows: list[dict[str, Any]] = []
    for size in (*SCENES, None):
        rows += measure(GaussianField(scenes=size), steps, scenes, n, seed)
        click.echo(f"{rows[-4]} of 4 domains", err=True)
    draw(rows, out / "epistemic.png")
    notes = {
        "training": describe_training(steps, GaussianField()),
        "members": f"8 masks, {scenes} scenes per domain, drawn by bayesr.sample",
    }
    return Result(rows, notes)
