"""The command line. Commands import what they need when they run, so that help comes at once."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import click

from bayesr import __version__
from bayesr.cli import data, models, pages, products, rating, sampling, segmenters


class _Group(click.Group):
    """Turns every error that bayesr raises on purpose into one line and exit status 1, its warnings into lines."""

    def invoke(self, ctx: click.Context) -> Any:
        from bayesr.errors import BayesrError, TilesDiffer, UnfamiliarInput

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            text = str(message) if category in (UnfamiliarInput, TilesDiffer) else f"{category.__name__}: {message}"
            click.echo(f"Warning: {text}", err=True)

        try:
            with warnings.catch_warnings():
                warnings.showwarning = show
                return super().invoke(ctx)
        except BayesrError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bayesr")
def main() -> None:
    """Super-resolution that says what it does not know."""


_TABLES = {
    "posterior": "Scores as ratios to an exact posterior, of bayes-srgan and of what else is used.",
    "epistemic": "Aleatoric and epistemic against the exact posterior variance, by training data and domain.",
    "quality": "Fidelity of the mean and quality of the spread on Set5, Set14 and BSD100.",
    "domains": "Every model on every set, and how models of a domain compare with that of photographs.",
    "realism": "Members against the truth: power by frequency, a network that tells them apart, and their scores.",
    "systems": "Every recipe after an equal budget of training on equal data, on photographs and on fluorescence.",
    "rivals": "What others draw from the same images: samplers of deepinv, ensembles, quantiles, rcGAN's recipe.",
    "sheet": "Twelve crops: input, mean, four members, standard deviation, truth, as one picture.",
    "calibration": "Coverage of intervals on photographs, and on aerial images they were not calibrated for.",
    "inputs": "The share of images, as they are and degraded, that the input check warns about.",
    "search": "Tails and losses that were tried: score and time of each, with the same trunk and training.",
    "losses": "Five losses of segmentation over the folds of a cross-validation.",
    "annotators": "Several annotators of a retina: plausible masks against theirs.",
    "vessels": "What two annotators drew on retinas, against each answer to their reduced images.",
    "aggregate": "Intervals of regional means and sums on Gaussian fields, where they are known exactly.",
    "segmentation": "What nuclei are found in each answer to their low-resolution images, and how surely.",
    "compression": "Size of products and time of writing them, by codec.",
    "scale": "Time, memory and throughput of growing images, streamed, in memory, and by workers.",
    "simulation": "Where driver and scheduler saturate, and what is done about it: thousands of workers, simulated.",
    "speed": "Time of 32 members against one pass of SRGAN's generator; memory; start-up.",
}

_TOOLS = {
    "all": (
        "everything",
        "The tables that decide, one after the other: quality, posterior, systems, rivals, ..., speed.",
    ),
    "compare": ("compare", "What changed beyond noise between two recordings of a table."),
}


class _Tables(click.Group):
    """Loads the module of a table when it is asked for: they need nearly everything."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_TOOLS, *_TABLES]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _TABLES and name not in _TOOLS:
            return None
        module = _TOOLS[name][0] if name in _TOOLS else name
        found: click.Command = import_module(f"bayesr.bench.{module}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in _TOOLS.items()])
        with formatter.section("Tables"):
            formatter.write_dl(list(_TABLES.items()))


@main.group(cls=_Tables)
def bench() -> None:
    """Measure what bayesr claims, and record it."""


for command in (
    sampling.sample, sampling.demo, sampling.extend, sampling.check,
    products.score, products.components, products.segment, products.aggregate, pages.report,
    models.models, models.card, models.train, models.curves, models.calibrate,
    segmenters.train_segmenter,
    data.data,
    rating.rate,
):  # fmt: skip
    main.add_command(command)
