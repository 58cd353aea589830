"""The command line. Commands import what they need when they run, so that help comes at once."""

from __future__ import annotations

import warnings
from typing import Any

import click

from bayesr import __version__
from bayesr.cli import models, pages, plugins, products, sampling, segmenters


class _Group(click.Group):
    """Shows errors of bayesr as one line with exit status 1, and warnings as lines; has commands of plugins, too."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *plugins.names()})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return super().get_command(ctx, name) or plugins.command(name)

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


for command in (
    sampling.sample, sampling.demo, sampling.extend, sampling.check,
    products.score, products.components, products.segment, products.aggregate, pages.report,
    models.models, models.card, models.train, models.curves, models.calibrate,
    segmenters.train_segmenter,
):  # fmt: skip
    main.add_command(command)
