"""The command line. Commands import what they need when they run, so that help comes at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from bayesr import __version__

Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns every error that bayesr raises on purpose into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        from bayesr.errors import BayesrError

        try:
            return super().invoke(ctx)
        except BayesrError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bayesr")
def main() -> None:
    """Super-resolution that says what it does not know."""


_TABLES = {
    "quality": "Fidelity of the mean and quality of the spread on Set5, Set14 and BSD100.",
    "speed": "Time of 32 members against one pass of SRGAN's generator; memory; start-up.",
}


class _Tables(click.Group):
    """Loads the module of a table when it is asked for: they need nearly everything."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_TABLES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _TABLES:
            return None
        found: click.Command = import_module(f"bayesr.bench.{name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Tables"):
            formatter.write_dl(list(_TABLES.items()))


@main.group(cls=_Tables)
def bench() -> None:
    """Measure what bayesr claims, and record it."""


def _sampling_options(command: Command) -> Command:
    for option in (
        click.option("-n", default=32, show_default=True, help="Members."),
        click.option("--model", default="natural-x4", show_default=True, help="A bundled name, or a model file."),
        click.option("--seed", default=0, show_default=True),
        click.option("--masks", type=int, help="Dropout masks; divides n."),
        click.option("--level", default=0.9, show_default=True, help="Of the interval, in (0, 1)."),
        click.option("--keep-samples", is_flag=True, help="Write the members too."),
        click.option("--overwrite", is_flag=True, help="Replace a store that is there."),
        click.option("--device", default="auto", show_default=True),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("img", metavar="IN")
@click.argument("out", metavar="OUT.zarr")
@_sampling_options
@click.option("--resume", is_flag=True, help="Go on with an unfinished store.")
@click.option("--dims", help='Names of the axes where they are ambiguous: "yxb" or "byx".')
@click.option("--nodata", type=float, help="The value of missing pixels.")
@click.option("--value-range", type=(float, float), help="Input values that the network sees as 0 and 1.")
@click.option("--tile", type=int, help="Side of a tile, in input pixels.")
def sample(img: str, out: str, **options: Any) -> None:
    """Draw members of the image IN and write the product to OUT.zarr."""
    import bayesr

    ds = bayesr.sample(img, options.pop("n"), store=out, progress=True, **options)
    _tell(ds, out)


@main.command()
@click.argument("out", metavar="[OUT.zarr]", default="bayesr-demo.zarr")
@_sampling_options
def demo(out: str, **options: Any) -> None:
    """Run the main job on a bundled photograph."""
    import bayesr

    image = Path(__file__).parent / "examples" / "coffee-x4.png"
    _tell(bayesr.sample(image, options.pop("n"), store=out, progress=True, **options), out)


def _tell(ds: Any, out: str) -> None:
    sizes = " x ".join(f"{ds.sizes[dim]} {dim}" for dim in ("band", "y", "x"))
    click.echo(f"{ds.attrs['n']} members of {sizes}, model {ds.attrs['model']}")
    click.echo(f"mean of std: {float(ds['std'].mean()):.3g}; interval at level {ds.attrs['level']:g}")
    click.echo(f"The product lies at {Path(out).absolute()}")
    click.echo(f"Open it with: xarray.open_zarr({out!r})")


@main.command()
def models() -> None:
    """List the models at hand."""
    from rich.console import Console
    from rich.table import Table

    from bayesr.catalogue import models as known

    table = Table("name", "domain", "scale", "bands", "parameters", "size", "scores")
    for info in known():
        scores = ", ".join(f"{name} {value['PSNR']:.2f} dB" for name, value in info.scores.items())
        size = f"{info.bytes / 2**20:.1f} MiB"
        table.add_row(info.name, info.domain, f"x{info.scale}", str(info.bands), f"{info.parameters:,}", size, scores)
    Console().print(table)


def _steps(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int]:
    try:
        return {name: int(count) for name, count in (part.split("=") for part in (value or "").split(",") if part)}
    except ValueError as error:
        raise click.BadParameter("write it as fidelity=12000,score=5000") from error


@main.command()
@click.argument("recipe")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--time-limit", type=float, default=float("inf"), help="Seconds, after which --resume goes on.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside OUT.")
@click.option("--start", help="A model of the same architecture to start from.")
@click.option("--steps", callback=_steps, help="Steps by stage, such as fidelity=12000,score=5000.")
@click.option("--held-out", default=120, show_default=True, help="Images kept for calibration.")
@click.option("--kernel", default="bicubic", show_default=True, help="bicubic, gaussian or box.")
@click.option("--sigma", default=0.0, help="Of the gaussian kernel, in high-resolution pixels.")
@click.option("--scale", default=4, show_default=True)
@click.option("--bands", default=3, show_default=True, help="3 for colour, 1 for grey.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--domain", default="", help="For the model's papers.")
@click.option("--licence", default="", help="Of the training data, for the model's papers.")
def train(kernel: str, sigma: float, scale: int, domain: str, licence: str, **options: Any) -> None:
    """Train RECIPE on the images in DATA, calibrate it, and write a model file."""
    import bayesr
    from bayesr.observe import Separable

    def report(record: dict[str, Any]) -> None:
        line = " ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items())
        click.echo(line, err=True)

    model = bayesr.train(
        observation=Separable(kernel, scale, sigma), card={"domain": domain, "licence": licence},
        progress=True, report=report, **options,
    )  # fmt: skip
    if model is None:
        click.echo(f"Time is up; go on with --resume. The checkpoint is {options['out'].with_suffix('.npz')}")
        sys.exit(3)
    click.echo(f"The model lies at {options['out'].absolute()}")


if __name__ == "__main__":
    main()
