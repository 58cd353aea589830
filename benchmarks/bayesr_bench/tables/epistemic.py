"""Compare aleatoric and epistemic with the exact posterior variance, by training data and domain.

    bayesr bench epistemic

On Gaussian fields, whose posterior variance is known: ``bayes-srgan`` (scoring rules, learnt dropout, no
critic) is trained for the same number of steps on more and more scenes, then shown fields like those
of its training and fields of other domains. `aleatoric` should come to the exact posterior variance, and
`epistemic` should fall with training data and rise on other domains, as the model's error does: the
squared distance of its mean from the exact posterior mean, which no one knows outside such a problem.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from bayesr.training.problems import DEVIATION, MIDDLE, GaussianField
from bayesr_bench.options import out_option
from bayesr_bench.record import record
from bayesr_bench.tables.posterior import BATCH, NETWORK, Row, extent, scored, trained

SCENES = (64, 256, 1024, 4096)


def domains(scenes: int, seed: int) -> dict[str, tuple[GaussianField, torch.Tensor]]:
    """Fields by domain, and their low-resolution images."""
    own = GaussianField()
    rough = replace(own, slope=1.5)
    low = {name: field.batch(scenes, torch.Generator().manual_seed(seed))[0] for name, field in
           (("own", own), ("rough", rough))}  # fmt: skip
    return {
        "own domain": (own, low["own"]),
        "rougher fields": (rough, low["rough"]),
        "three times the contrast": (own, MIDDLE + 3 * (low["own"] - MIDDLE)),
        "brighter by three standard deviations": (own, low["own"] + 3 * DEVIATION),
    }


def measure(problem: GaussianField, steps: int, scenes: int, n: int, seed: int) -> list[dict[str, Any]]:
    """One row a domain."""
    row = Row("bayes-srgan", scored, {"dropout": 0.1})
    model, _ = trained(row, problem, steps, seed)
    exact = float(problem.posterior_variance.mean())
    table = []
    for name, (field, low) in domains(scenes, seed + 1).items():
        products = [model.sample(y.numpy(), n, value_range=(0, 1), dims=("band", "y", "x"), seed=i)
                    for i, y in enumerate(low)]  # fmt: skip
        mean = np.stack([ds["mean"].to_numpy() for ds in products])
        parts = {part: float(np.mean([ds[part].mean() for ds in products])) for part in ("aleatoric", "epistemic")}
        ignorance = float(np.mean((mean - field.posterior_mean(low).numpy()) ** 2))
        sampling = (parts["aleatoric"] + parts["epistemic"]) / n
        table.append(
            {
                "training scenes": problem.scenes or "endless",
                "input": name,
                "aleatoric": parts["aleatoric"] / exact,
                "epistemic": parts["epistemic"] / exact,
                "error of the mean": max(ignorance - sampling, 0.0) / exact,
            }
        )
    return table


def draw(table: list[dict[str, Any]], path: Path) -> None:
    """The figure: aleatoric and epistemic by training scenes, a line a domain."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    names = list(dict.fromkeys(row["input"] for row in table))
    ticks = list(dict.fromkeys(str(row["training scenes"]) for row in table))
    for panel, what in zip(panels, ("aleatoric", "epistemic", "error of the mean"), strict=True):
        for name in names:
            panel.plot(ticks, [row[what] for row in table if row["input"] == name], marker="o", label=name)
        panel.set(title=what, xlabel="training scenes")
        panel.grid(alpha=0.3)
    panels[0].axhline(1, color="black", linewidth=0.8)
    panels[0].set(ylabel="over the exact posterior variance", ylim=(0, 1.15))
    panels[1].axhline(0, color="black", linewidth=0.8)
    for panel in panels[1:]:  # linear near zero, around which an unbiased estimate of nothing lies
        panel.set_yscale("symlog", linthresh=1e-3)
        panel.set_ylim(bottom=-1e-3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--steps", default=1500, show_default=True, help="Training steps, for every number of scenes.")
@click.option("--scenes", default=64, show_default=True, help="Observations that are measured, a domain.")
@click.option("-n", default=64, show_default=True, help="Members.")
@click.option("--seed", default=0, show_default=True)
@out_option
def command(steps: int, scenes: int, n: int, seed: int, out: Path) -> None:
    """Aleatoric and epistemic against the exact posterior variance, by training data and domain."""
    if find_spec("matplotlib") is None:  # said before the work, not after it
        raise click.ClickException("The figure needs matplotlib: pip install 'bayesr[report]'.")
    table: list[dict[str, Any]] = []
    for size in (*SCENES, None):
        table += measure(GaussianField(scenes=size), steps, scenes, n, seed)
        click.echo(f"{table[-4]} of 4 domains", err=True)
    notes = {
        "error of the mean": "squared distance from the exact posterior mean, without what n members leave to chance",
        "training": f"{steps} steps of {BATCH} scenes, {extent(GaussianField())} (bicubic x4), network {NETWORK}",
        "members": f"8 masks, {scenes} scenes a domain, through bayesr.sample",
    }
    estimators = "unbiased variances of members, over the mean exact posterior variance of the own domain"
    record("epistemic", table, notes, out, seed=seed, n=n, estimators=estimators)
    draw(table, out / "epistemic.png")
